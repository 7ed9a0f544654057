"""The net of hosts itself, without a farm: who reaches whom, and that nothing outlives the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import Host, Net, hosts, line_of, skip_without_hosts
from tests.imports import ROOT
from tests.patience import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]
SERVE = """
import socket
door = socket.create_server(("", 80))
print("up", flush=True)
while True:
    door.accept()[0].close()
"""
ASK = "import socket, sys; socket.create_connection((sys.argv[1], 80), 1)"


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    """Three machines; the middle one answers on port 80."""
    skip_without_hosts()
    with hosts("left", "middle", "right", folder=tmp_path, two_cards=["left", "right"]) as net:
        serve(net["middle"])
        yield net


def serve(host: Host) -> None:
    """Answer on port 80."""
    assert line_of(host.start(sys.executable, "-c", SERVE), seconds=20) == "up\n"


def reaches(host: Host, address: str = "middle") -> bool:
    """Whether a connection to port 80 there comes to be."""
    return host.run(sys.executable, "-c", ASK, address, check=False).returncode == 0


def test_cuts_walls_addresses_and_power(net: Net) -> None:
    """Each does what it says, to the hosts that it names, until it is undone."""
    left, middle, right = net["left"], net["middle"], net["right"]
    assert reaches(left)
    left.cut("middle")
    assert not reaches(left)
    assert reaches(right)
    left.heal()
    assert reaches(left)
    middle.cut("right", way="in")
    assert not reaches(right)
    middle.heal()
    middle.firewall("22")
    assert not reaches(left)
    middle.firewall("79-81")
    assert reaches(left)
    serve(right)
    assert reaches(left, right.addresses[1])  # on the second bridge
    old = middle.address
    assert middle.new_address() != old
    assert reaches(left)
    assert not reaches(left, old)
    middle.power_off()
    assert not reaches(left)
    middle.power_on()
    assert left.run("getent", "hosts", "middle").stdout.split()[0] == middle.address
    serve(middle)
    assert reaches(left)


def test_a_slow_link_delays_and_narrows(net: Net) -> None:
    """Both ways, everything that passes: a connection takes one round trip, and data no less than its line allows."""
    left, right = net["left"], net["right"]
    took = (
        "import socket, sys, time; begun = time.monotonic(); door = socket.create_connection((sys.argv[1], 80), 20); "
    )
    connect = took + "print(time.monotonic() - begun)"
    right.slow(delay_ms=80, mbit=2)
    serve(right)
    for host, there in ((left, "right"), (right, "middle")):
        seconds = float(host.run(sys.executable, "-c", connect, there).stdout)
        assert seconds >= 0.16
    sink = "import socket; door = socket.create_server(('', 81)); print('up', flush=True)\nd = door.accept()[0]\n"
    sink += "while d.recv(1 << 16): pass\nd.sendall(b'x')"
    assert line_of(right.start(sys.executable, "-c", sink), seconds=20) == "up\n"
    send = took.replace("80", "81") + (
        "door.sendall(bytes(250_000)); door.shutdown(1); door.recv(1); print(time.monotonic() - begun)"
    )
    assert float(left.run(sys.executable, "-c", send, "right").stdout) >= 1.0  # 2 Mbit


def test_nothing_outlives_a_killed_test(tmp_path: Path) -> None:
    """SIGKILL for the process that made the hosts: the kernel ends them, and this machine has no trace of them."""
    skip_without_hosts()

    def traces() -> list[str]:
        links = re.findall(r"^\d+: ([\w-]+)", subprocess.check_output(["ip", "link"], text=True), re.MULTILINE)
        rules = subprocess.check_output(["nft", "list", "ruleset"], text=True)
        return [*links, rules, *Path("/proc/mounts").read_text().splitlines()]

    before = traces()
    script = f"""
import pathlib, time
from tests.hosts import hosts
with hosts("left", "right", folder=pathlib.Path({str(tmp_path)!r})) as net:
    left = net["left"]
    left.firewall("22")
    left.start("sleep", "1000")
    print(net.hub_pid, *(host._pid for host in net.hosts.values()), *left.pids("sleep 1000"), flush=True)
    time.sleep(1000)
"""
    maker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pids = line_of(maker, seconds=20).split()
    assert len(pids) >= 4
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    os.kill(maker.pid, signal.SIGKILL)
    maker.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids) or None, seconds=20, what="the hosts' end")
    wait_for(lambda: traces() == before or None, seconds=10, what="a machine as before")
