"""A farm on several hosts, behind firewalls: how a machine joins, and what a cut or a dead head costs.

den joins with the system's Python where that has the same second number, and a network card that leads elsewhere. The
tests follow one farm; each leaves it as it found it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from farm.contract import slot_of
from farm.keys import new_key
from tests.hosts import SHARED, Net, hosts, line_of, skip_without_hosts
from tests.imports import ROOT
from tests.patience import patient, wait_for
from tests.s3_servers import BUCKET, KEYS

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]
PORTS, RAY_PORT, STORE_PORT, HTTP_PORT = "20000-20031", 6379, 9000, 8000
KEY, ENTRY = new_key("alice")
FIELDS = {
    "prompt": "a cat",
    "seconds": "1.2",
    "seed": "7",
    "model": "tiny",
    "num_inference_steps": "30",
    "size": "256x256",
    "no_metadata": "true",  # it names the video
}
COMMON = {**KEYS, "RAY_AUTH_TOKEN": "7" * 64, "FARM_CACHE": f"{SHARED}/cache", "FARM_CPU_THREADS": "1"}
CUT_S = 60.0  #: twice what a lease lasts, and longer than Ray waits for a silent node


def other_python() -> str:
    """The system's Python if it differs from ours in the third number, with our packages; else ours."""
    system = "/usr/bin/python3"
    asked = subprocess.run([system, "-V"], capture_output=True, text=True, check=False).stdout.split(" ")[-1].strip()
    is_alike = asked.split(".")[:2] == [str(number) for number in sys.version_info[:2]]
    return system if is_alike else sys.executable


class Farm:
    """The farm on the host `head`, and the machine `den` in it."""

    den: subprocess.Popen[str]  #: its `framefarm join`

    def __init__(self, net: Net) -> None:
        self.net = net
        self.start()
        self.http = net["head"].client(f"http://127.0.0.1:{HTTP_PORT}", authorization=f"Bearer {KEY}")

    def start(self) -> None:
        """Run `framefarm up` until it is ready; Ray gives up a start after 15 s, which a busy machine may take."""
        for _ in range(5):
            self.up = self._up()
            line = line_of(self.up, seconds=120)
            if line or "timed out during startup" not in self.log("up.log"):
                break
        assert line == f"ready http://{self.net['head'].address}:{HTTP_PORT}\n", self.log("up.log")

    def _up(self) -> subprocess.Popen[str]:
        head = self.net["head"]
        flags = ("--workers", "0", "--model", "tiny", "--host", head.address, "--node-ip", head.address)
        ports = ("--ports", PORTS, "--ray-port", str(RAY_PORT))
        return head.start(
            *("framefarm", "up", "--storage", f"s3://{BUCKET}/one", *flags, *ports),
            log="up.log",
            **COMMON,
            FARM_S3_ENDPOINT=f"http://store:{STORE_PORT}",
            FARM_API_KEYS=ENTRY,
        )

    def join(self, name: str, *flags: str, python: str = sys.executable) -> subprocess.Popen[str]:
        """Run `framefarm join` on a host."""
        packages = Path(httpx.__file__).parents[1]
        return self.net[name].start(
            *(python, "-m", "deploy.cli", "join", self.address, *flags),
            log=f"{name}.log",
            **COMMON,
            PYTHONPATH=f"{ROOT}:{packages}",
        )

    @property
    def address(self) -> str:
        """Where machines join."""
        return f"{self.net['head'].address}:{RAY_PORT}"

    def log(self, name: str) -> str:
        """What a command said last on stderr."""
        return (self.net.folder / name).read_text()[-3000:]

    def workers(self) -> dict[str, str]:
        """Slot -> state; {} while the farm does not answer."""
        try:
            listed = self.http.get("/v1/workers").json()["data"]
        except (httpx.TransportError, KeyError):
            return {}
        return {slot_of(worker["id"]): worker["state"] for worker in listed}

    def submit(self) -> str:
        """Ask for the video."""
        files = {"input_reference": ("cat.jpg", (ROOT / "examples" / "cat.jpg").read_bytes())}
        answer = self.http.post("/v1/videos", data=FIELDS, files=files)
        assert answer.status_code == 200, answer.text
        video: str = answer.json()["id"]
        return video

    def await_video(self, video: str, look: Callable[[dict[str, Any]], bool], *, what: str) -> dict[str, Any]:
        """Wait until the video is as `look` wants it."""

        def there() -> dict[str, Any] | None:
            try:
                shown: dict[str, Any] = self.http.get(f"/v1/videos/{video}").json()
            except httpx.TransportError:
                return None
            return shown if "status" in shown and look(shown) else None

        return wait_for(there, seconds=240, what=what)

    def finished(self, video: str) -> bytes:
        """Wait for the video's end; its file."""
        shown = self.await_video(video, lambda it: it["status"] not in {"queued", "in_progress"}, what="the video")
        assert shown["status"] == "completed", shown["error"]
        return self.http.get(f"/v1/videos/{video}/content").content

    def in_the_middle(self, video: str) -> None:
        """Wait until its section has begun, and is far from its end."""
        self.await_video(video, lambda it: it["stage"] == "section" and (it["step"] or 0) >= 3, what="the third step")


def put_up_walls(net: Net) -> None:
    """Each host opens what docs/reference/ports.md names, and drops the rest."""
    net["head"].firewall(str(HTTP_PORT), str(RAY_PORT), PORTS)
    net["den"].firewall(PORTS)
    net["store"].firewall(str(STORE_PORT))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[Net]:
    """Head, store and two machines; den has a second network card, with the route to everywhere."""
    skip_without_hosts()
    folder = tmp_path_factory.mktemp("hosts")
    shutil.copytree(tiny_cache, folder / "cache")
    with hosts("head", "den", "attic", "store", folder=folder, two_cards=["den"]) as net:
        net["den"].run("ip", "route", "add", "default", "dev", "eth1")
        settings = {"HOST": "0.0.0.0", "GATEWAY_PORT": str(STORE_PORT), "SERVICES": "s3", "IOT_MTLS_ENABLED": "0"}
        folders = {"S3_PERSIST": "1", "S3_DATA_DIR": f"{SHARED}/s3", "STATE_DIR": f"{SHARED}/state"}
        net["store"].start("ministack", log="store.log", **settings, **folders, **KEYS)
        with net["store"].client(f"http://127.0.0.1:{STORE_PORT}") as client:

            def bucket() -> bool | None:
                try:
                    return client.put(f"/{BUCKET}").is_success or None
                except httpx.TransportError:
                    return None

            wait_for(bucket, seconds=60, what="the store")
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
    """What listens on addresses that others reach; Serve's processes and Ray's own metrics talk to their machine."""
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
    assert head.pop(HTTP_PORT).startswith("ray::ProxyActor")
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
