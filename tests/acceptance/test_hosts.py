"""A farm on several hosts, behind firewalls: how a machine joins, and what a cut or a dead head costs.

den joins with the system's Python where that has the same second number, and a network card that leads elsewhere. The
tests follow one farm; each leaves it as it found it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host_farm import HTTP_PORT, KEY, PORTS, RAY_PORT, STORE_PORT, Farm, farm_hosts, other_python
from tests.hosts import Net, line_of, skip_without_hosts
from tests.patience import patient, wait_for
from tests.s3_servers import BUCKET, KEYS

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]
CUT_S = 60.0  #: twice what a lease lasts, and longer than Ray waits for a silent node


def put_up_walls(net: Net) -> None:
    """Each host opens what docs/reference/ports.md names, and drops the rest."""
    net["head"].firewall(str(HTTP_PORT), str(RAY_PORT), PORTS)
    net["den"].firewall(PORTS)
    net["store"].firewall(str(STORE_PORT))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[Net]:
    """Head, store and two machines; den has a second network card, with the route to everywhere."""
    skip_without_hosts()
    with farm_hosts(tmp_path_factory.mktemp("hosts"), tiny_cache) as net:
        net["den"].run("ip", "route", "add", "default", "dev", "eth1")
        put_up_walls(net)
        yield net


@pytest.fixture(scope="module")
def farm(net: Net) -> Farm:
    """The farm with den in it."""
    farm = Farm(net)
    farm.den = farm.join("den", "--ports", PORTS, python=other_python())
    assert line_of(farm.den, seconds=90) == f"joined {farm.address} as den\n", farm.log("den.log")
    return farm


@pytest.fixture(scope="module")
def undisturbed(farm: Farm) -> bytes:
    """The video when nothing happens."""
    return farm.finished(farm.submit())


def test_a_video_is_rendered_through_firewalls(farm: Farm, undisturbed: bytes) -> None:
    """Every host drops what is not in FARM_PORTS; `joined` was said of a worker that the farm knows."""
    assert undisturbed[4:8] == b"ftyp"
    wait_for(lambda: farm.workers() == {"den-0": "idle"} or None, seconds=30, what="den's worker, and no other")


def test_every_port_that_is_asked_from_outside_is_in_the_range(farm: Farm) -> None:
    """Check sockets on addresses that others reach; Serve's processes and Ray's own metrics talk to their machine."""
    first, last = map(int, PORTS.split("-"))
    found = {}
    for name in ("head", "den"):
        for line in farm.net[name].run("ss", "-ltnpH").stdout.splitlines():
            where, who = line.split()[3], re.findall(r'"([^"]+)"', line)
            port = int(where.rpartition(":")[2])
            if not where.startswith("127.") and not first <= port <= last:
                found[name, port] = who[0]
    head = {port: who for (name, port), who in found.items() if name == "head"}
    assert not [name for name, _ in found if name == "den"], found
    assert head.pop(HTTP_PORT) in {"python3", "ray::ServeRepli"}
    assert head.pop(RAY_PORT) == "gcs_server"
    assert set(head.values()) <= {"ray::ServeRepli", "python3"}, head


def test_this_machines_command_line_asks_on_loopback(farm: Farm) -> None:
    """The farm listens on one address of its network, and on 127.0.0.1 for the commands beside it."""
    said = farm.net["head"].run(
        *("framefarm", "list", "--storage", f"s3://{BUCKET}/one", "--json"),
        check=True,
        **KEYS,
        FARM_S3_ENDPOINT=f"http://store:{STORE_PORT}",
        FARM_API_KEY=KEY,
    )
    assert '"completed"' in said.stdout


def test_the_card_that_leads_to_the_head_is_announced(farm: Farm) -> None:
    """Not the one with the default route, which Ray would ask by itself."""
    den = farm.net["den"]
    assert den.pids(f"--node-ip-address={den.addresses[0]}")
    assert not den.pids(f"--node-ip-address={den.addresses[1]}")


def test_a_machine_that_the_head_does_not_reach_is_told(farm: Farm) -> None:
    """Behind a firewall that lets nothing in, `join` ends with 2: which port, from where, what to do."""
    attic = farm.net["attic"]
    attic.firewall()
    join = farm.join("attic", "--ports", PORTS)
    assert join.stdout
    assert join.wait(patient(60)) == 2
    assert join.stdout.read() == ""
    said = " ".join(farm.log("attic.log").split())
    assert re.search(
        rf"{attic.address}:20\d\d\d \(timed out\) was not reached from the head, {farm.address[:-5]}", said
    )
    assert "--node-ip" in said
    assert "overlay network" in said
    assert "leaving" not in said  # it was never in
    assert not attic.pids("raylet")


def test_a_machine_that_does_not_reach_the_head_is_told(farm: Farm) -> None:
    """The head's own firewall has a hole for the port to join at, and none for the rest: nothing is started."""
    head = farm.net["head"]
    farm.net["attic"].firewall(PORTS)
    head.firewall(str(HTTP_PORT), str(RAY_PORT))
    try:
        join = farm.join("attic", "--ports", PORTS)
        assert join.wait(patient(60)) == 2
    finally:
        put_up_walls(farm.net)
    said = " ".join(farm.log("attic.log").split())
    assert f"of the head was not reached from this machine, {farm.net['attic'].address}" in said


def test_a_machine_that_was_cut_off_comes_back(farm: Farm, undisturbed: bytes) -> None:
    """A minute without network: the lease expires, Ray gives the node up, and the video ends with the same bits."""
    video = farm.submit()
    farm.in_the_middle(video)
    farm.net["den"].cut()
    time.sleep(CUT_S)
    farm.net["den"].heal()
    assert farm.finished(video) == undisturbed
    assert farm.den.poll() is None


def test_a_head_that_was_killed_comes_back(farm: Farm, undisturbed: bytes) -> None:
    """SIGKILL for all of it at once; the same command again, and the machine joins by itself."""
    video = farm.submit()
    farm.in_the_middle(video)
    farm.net["head"].kill("")
    farm.up.communicate(timeout=patient(30))
    farm.start()
    assert farm.finished(video) == undisturbed
    assert farm.den.poll() is None
