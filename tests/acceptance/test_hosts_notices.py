"""A cloud's notice on its real address: the machine's work moves on with the same bits, and the notice is counted.

attic and the head, which has a worker, are in clouds whose metadata services are ours (tests/metadata_server.py).
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.host_farm import PORTS, Farm, farm_hosts
from tests.hosts import SHARED, Net, line_of, skip_without_hosts
from tests.metadata_server import EVENTS, LIFECYCLE, NAME, PREEMPTED, REBALANCE, SPOT
from tests.patience import patient, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]
ADDRESS = "169.254.169.254"
SLOT, HEAD = "attic-0", "worker-0"
STEPS = "100"  #: so many that the section lasts longer than it takes to hear of a failure and of a notice


class Cloud:
    """The metadata service on a host, and what it is asked."""

    def __init__(self, net: Net, name: str) -> None:
        """Speak for AWS, which has no news."""
        self._file, self._log = net.folder / f"{name}-cloud.json", net.folder / f"{name}-cloud.log"
        self.says("aws")
        host, files = net[name], (f"{SHARED}/{self._file.name}", f"{SHARED}/{self._log.name}")
        host.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        serve = (sys.executable, "-m", "tests.metadata_server", ADDRESS, *files)
        assert line_of(host.start(*serve, log=f"{name}-cloud.err"), seconds=30) == "up\n"

    def says(self, cloud: str, items: dict[str, str] | None = None, *, fault: str = "", token: str = "t1") -> None:
        """Change what it answers. items: path -> text."""
        state = {"cloud": cloud, "fault": fault, "token": token, "items": items or {}}
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._file)

    def asked(self) -> list[str]:
        """The requests up to now."""
        return self._log.read_text().splitlines()


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[Net]:
    """Head, store and machines."""
    skip_without_hosts()
    with farm_hosts(tmp_path_factory.mktemp("notices"), tiny_cache) as net:
        yield net


@pytest.fixture(scope="module")
def cloud(net: Net) -> Cloud:
    """The service on attic, before anybody looks for it."""
    names = net.folder / ".hosts"
    names.write_text(f"{names.read_text()}{ADDRESS} metadata.google.internal\n")
    return Cloud(net, "attic")


@pytest.fixture(scope="module")
def head_cloud(net: Net) -> Cloud:
    """The one on the head."""
    return Cloud(net, "head")


@pytest.fixture(scope="module")
def farm(net: Net, cloud: Cloud, head_cloud: Cloud) -> Farm:
    """The farm with attic in it."""
    farm = Farm(net, workers=1)
    farm.attic = join(farm)
    return farm


@pytest.fixture(scope="module")
def undisturbed(farm: Farm) -> bytes:
    """The video when nothing happens."""
    return farm.finished(farm.submit(num_inference_steps=STEPS))


def join(farm: Farm, **settings: str) -> subprocess.Popen[str]:
    """The machine attic in the farm; on a busy machine Ray may not start in the time that it has."""
    for _ in range(5):
        process = farm.join("attic", "--ports", PORTS, **settings)
        line = line_of(process, seconds=90)
        if line or "timed out during startup" not in farm.log("attic.log"):
            break
    assert line == f"joined {farm.address} as attic\n", farm.log("attic.log")
    return process


def on_attic(farm: Farm) -> str:
    """A video in the middle of its section there; the head may go on with it."""
    farm.wish(HEAD, "pause")
    farm.await_worker(SLOT, "idle")
    video = farm.submit(num_inference_steps=STEPS)
    farm.in_the_middle(video)
    farm.wish(HEAD, "resume")
    return video


def counted(farm: Farm, cloud: str, kind: str) -> float:
    """Return the count on the page of metrics."""
    page = farm.http.get("/metrics").text
    lines = [line for line in page.splitlines() if line.startswith("ray_framefarm_notices_total{")]
    return sum(float(line.split()[-1]) for line in lines if f'cloud="{cloud}"' in line and f'kind="{kind}"' in line)


def times(text: str, action: str) -> list[datetime]:
    """When the log's lines of that action were written."""
    return [datetime.fromisoformat(at) for at in re.findall(rf"(\S+Z) \w+ \S+ action={action}\b", text)]


def test_an_interruption_moves_the_video(farm: Farm, cloud: Cloud, undisturbed: bytes) -> None:
    """The service fails, its token ends, the notice comes: the lease is given back, at most one step is made again."""
    video = on_attic(farm)
    cloud.says("aws", fault="503")
    wait_for(lambda: "metadata_unanswered" in farm.log("attic.log") or None, seconds=20, what="the failure")
    end = (datetime.now(UTC) + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown, given = farm.http.get(f"/v1/videos/{video}").json(), datetime.now(UTC)
    cloud.says("aws", {SPOT: json.dumps({"action": "terminate", "time": end})}, token="t2")
    assert shown["stage"] == "section", "its section ended before the notice"
    assert farm.finished(video) == undisturbed
    up = (farm.net.folder / "up.log").read_text()
    assert f"action=notice cloud=aws kind=spot deadline={end} node=attic" in up
    (back,) = [at for at in times(up, "given_back") if at > given]
    assert (back - given).total_seconds() < patient(5)
    (saved,) = [event["artifacts"]["step"]["key"] for event in farm.events(video) if event["name"] == "released"]
    assert int(re.findall(r"\.s(\d+)\.", saved)[0]) >= shown["step"]
    wait_for(lambda: counted(farm, "aws", "spot") == 1 or None, seconds=20, what="the count")
    farm.await_no_worker(SLOT)
    cloud.says("aws", token="t2")  # taken back
    farm.await_worker(SLOT, "idle")
    assert f"deadline={end}" in farm.log("attic.log")
    assert "notice_heeded" in farm.log("attic.log")


def test_a_hint_lets_the_section_end(farm: Farm, cloud: Cloud, undisturbed: bytes) -> None:
    """The worker finishes what it does, and begins nothing; the farm goes on without it until the hint is gone."""
    video = on_attic(farm)
    cloud.says("aws", {REBALANCE: '{"noticeTime": "2026-11-27T12:00:00Z"}'}, token="t2")
    farm.await_worker(SLOT, "draining")
    assert farm.finished(video) == undisturbed
    sections = [event for event in farm.events(video) if event.get("key") == "section/0"]
    assert [event["name"] for event in sections] == ["leased", "committed"]
    assert sections[-1]["worker"].startswith(SLOT)
    farm.await_no_worker(SLOT)
    wait_for(lambda: counted(farm, "aws", "rebalance") == 1 or None, seconds=20, what="the count")
    cloud.says("aws", token="t2")
    farm.await_worker(SLOT, "idle")


@pytest.mark.parametrize("name", ["gcp", "azure"])
def test_the_other_clouds(farm: Farm, cloud: Cloud, name: str) -> None:
    """The machine is found to be there when it joins; it empties itself, and comes back. Azure is told that it may."""
    quiet, kind, news = {
        "gcp": ({PREEMPTED: "FALSE"}, "preempted", {PREEMPTED: "TRUE"}),
        "azure": ({NAME: "gpu_3", EVENTS: events()}, "preempt", {NAME: "gpu_3", EVENTS: events("gpu_3")}),
    }[name]
    attic = farm.net["attic"]
    attic.signal(farm.attic, signal.SIGTERM)
    assert farm.attic.wait(patient(60)) == 0
    cloud.says(name, quiet)
    farm.attic = join(farm, FARM_CLOUD="gcp" if name == "gcp" else "auto")
    farm.await_worker(SLOT, "idle")
    cloud.says(name, news)
    farm.await_no_worker(SLOT)
    wait_for(lambda: counted(farm, name, kind) == 1 or None, seconds=20, what="the count")
    wait_for(lambda: "notice_heeded" in farm.log("attic.log") or None, seconds=20, what="the machine's own word")
    posted = [line for line in cloud.asked() if line.startswith("POST")]
    assert len(posted) == (name == "azure")
    assert all('{"StartRequests":[{"EventId":"e1"}]}' in line.replace(" ", "") for line in posted)
    cloud.says(name, quiet)
    farm.await_worker(SLOT, "idle")


def events(*machines: str) -> str:
    """Azure's document: these machines are preempted."""
    before = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    event: dict[str, Any] = {
        "EventId": "e1",
        "EventStatus": "Scheduled",
        "EventType": "Preempt",
        "ResourceType": "VirtualMachine",
    }
    event |= {"NotBefore": before, "Description": "", "EventSource": "Platform", "DurationInSeconds": -1}
    listed = [event | {"Resources": list(machines)}] if machines else []
    return json.dumps({"DocumentIncarnation": 1, "Events": listed})


def test_a_head_that_is_to_end_empties_itself(farm: Farm, head_cloud: Cloud) -> None:
    """Its own worker leaves, the farm answers; when the notice is taken back, the worker comes again."""
    farm.await_worker(HEAD, "idle")
    before, up = counted(farm, "aws", "spot"), farm.net.folder / "up.log"
    head_cloud.says("aws", {SPOT: '{"action": "stop", "time": "2020-01-01T00:00:00Z"}'})  # it lives on
    wait_for(lambda: "notice_outlived" in up.read_text() or None, seconds=20, what="the head's word")
    assert (farm.workers() or {}).get(HEAD) == "idle"
    head_cloud.says("aws", {LIFECYCLE: "Terminated"})
    farm.await_no_worker(HEAD)
    wait_for(lambda: counted(farm, "aws", "autoscaling") == 1 or None, seconds=20, what="the count")
    head_cloud.says("aws", {LIFECYCLE: "InService"})
    farm.await_worker(HEAD, "idle")
    assert counted(farm, "aws", "spot") == before


def test_where_there_is_no_service_there_is_one_look(net: Net) -> None:
    """On den: one debug line, and no other word."""
    ask = """
from deploy.node.notices.find import find_cloud
from farm.logs import setup_logs
setup_logs(style="text", level="debug")
assert find_cloud("auto") is None
"""
    said = net["den"].run(sys.executable, "-c", ask)
    (line,) = (said.stdout + said.stderr).splitlines()
    assert "DEBUG deploy.node.notices.find action=no_cloud" in line
