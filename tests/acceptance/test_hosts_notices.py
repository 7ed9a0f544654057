"""A cloud's notice on its real address: the machine's work moves on with the same bits, and the notice is counted.

attic is in a cloud whose metadata service is ours (tests/metadata_server.py); the head, which has a worker, is in none.
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

import pytest

from tests.host_farm import PORTS, Farm, farm_hosts
from tests.hosts import SHARED, Net, line_of, skip_without_hosts
from tests.metadata_server import EVENTS, NAME, PREEMPTED, REBALANCE, SPOT
from tests.patience import patient, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]
ADDRESS = "169.254.169.254"
SLOT, HEAD = "attic-0", "worker-0"


class Cloud:
    """The metadata service on attic, and what it is asked."""

    def __init__(self, net: Net) -> None:
        """Without a machine in the farm."""
        self._file, self._log = net.folder / "cloud.json", net.folder / "cloud.log"
        self.says("aws")
        attic = net["attic"]
        attic.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        names = net.folder / ".hosts"
        names.write_text(f"{names.read_text()}{ADDRESS} metadata.google.internal\n")
        argv = (sys.executable, "-m", "tests.metadata_server", ADDRESS, f"{SHARED}/cloud.json", f"{SHARED}/cloud.log")
        assert line_of(attic.start(*argv, log="cloud.err"), seconds=30) == "up\n"

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
    """The service, before anybody looks for it."""
    return Cloud(net)


@pytest.fixture(scope="module")
def farm(net: Net, cloud: Cloud) -> Farm:
    """The farm with attic in it."""
    farm = Farm(net, workers=1)
    farm.attic = join(farm)
    return farm


@pytest.fixture(scope="module")
def undisturbed(farm: Farm) -> bytes:
    """The video when nothing happens."""
    return farm.finished(farm.submit())


def join(farm: Farm, **settings: str) -> subprocess.Popen[str]:
    """The machine attic in the farm; on a busy machine Ray may not start in the time that it has."""
    for _ in range(5):
        process = farm.join("attic", "--ports", PORTS, **settings)
        line = line_of(process, seconds=90)
        if line or "timed out during startup" not in farm.log("attic.log"):
            break
    assert line == f"joined {farm.address} as attic\n", farm.log("attic.log")
    return process


def on_attic(farm: Farm) -> tuple[str, int]:
    """A video in the middle of its section there, and the step that was heard of; the head may go on with it."""
    farm.wish(HEAD, "pause")
    farm.await_worker(SLOT, "idle")
    video = farm.submit()
    farm.in_the_middle(video)
    step = farm.http.get(f"/v1/videos/{video}").json()["step"]
    farm.wish(HEAD, "resume")
    return video, step


def counted(farm: Farm, cloud: str, kind: str) -> float:
    """What the page of metrics says."""
    page = farm.http.get("/metrics").text
    lines = [line for line in page.splitlines() if line.startswith("ray_framefarm_notices_total{")]
    return sum(float(line.split()[-1]) for line in lines if f'cloud="{cloud}"' in line and f'kind="{kind}"' in line)


def times(text: str, action: str) -> list[datetime]:
    """When the log's lines of that action were written."""
    return [datetime.fromisoformat(at) for at in re.findall(rf"(\S+Z) \w+ \S+ action={action}\b", text)]


def test_an_interruption_moves_the_video(farm: Farm, cloud: Cloud, undisturbed: bytes) -> None:
    """The service fails, its token ends, the notice comes: the lease is given back, at most one step is made again."""
    video, step = on_attic(farm)
    cloud.says("aws", fault="503")
    wait_for(lambda: "metadata_unanswered" in farm.log("attic.log") or None, seconds=20, what="the failure")
    end = (datetime.now(UTC) + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    given = datetime.now(UTC)
    cloud.says("aws", {SPOT: json.dumps({"action": "terminate", "time": end})}, token="t2")
    assert farm.finished(video) == undisturbed
    up = (farm.net.folder / "up.log").read_text()
    assert f"action=notice cloud=aws kind=spot deadline={end} node=attic" in up
    (back,) = [at for at in times(up, "given_back") if at > given]
    assert (back - given).total_seconds() < patient(5)
    (saved,) = [event["artifacts"]["step"]["key"] for event in farm.events(video) if event["name"] == "released"]
    assert int(re.findall(r"\.s(\d+)\.", saved)[0]) >= step
    wait_for(lambda: counted(farm, "aws", "spot") == 1 or None, seconds=20, what="the count")
    assert SLOT not in farm.workers()
    cloud.says("aws", token="t2")  # taken back
    farm.await_worker(SLOT, "idle")
    assert f"deadline={end}" in farm.log("attic.log")
    assert "notice_heeded" in farm.log("attic.log")


def test_a_hint_lets_the_section_end(farm: Farm, cloud: Cloud, undisturbed: bytes) -> None:
    """The worker finishes what it does, and begins nothing; the farm goes on without it until the hint is gone."""
    video, _ = on_attic(farm)
    cloud.says("aws", {REBALANCE: '{"noticeTime": "2026-11-27T12:00:00Z"}'}, token="t2")
    farm.await_worker(SLOT, "draining")
    assert farm.finished(video) == undisturbed
    sections = [event for event in farm.events(video) if event.get("key") == "section/0"]
    assert [event["name"] for event in sections] == ["leased", "committed"]
    assert sections[-1]["worker"].startswith(SLOT)
    wait_for(lambda: SLOT not in farm.workers() or None, seconds=30, what="the worker's end")
    assert counted(farm, "aws", "rebalance") == 1
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
    wait_for(lambda: SLOT not in farm.workers() or None, seconds=30, what="the worker's end")
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
    event = {"EventId": "e1", "EventStatus": "Scheduled", "EventType": "Preempt", "ResourceType": "VirtualMachine"}
    event |= {"NotBefore": before, "Description": "", "EventSource": "Platform", "DurationInSeconds": -1}
    listed = [event | {"Resources": list(machines)}] if machines else []
    return json.dumps({"DocumentIncarnation": 1, "Events": listed})


def test_where_there_is_no_service_nothing_is_said(farm: Farm) -> None:
    """The head looked once; its log is as ever."""
    up = (farm.net.folder / "up.log").read_text()
    assert "deploy.node.notices" not in up
