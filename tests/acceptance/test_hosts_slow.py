"""A machine far away: 80 ms there and back, 20 Mbit/s, one frame of a thousand lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host_farm import PORTS, Farm, farm_hosts
from tests.hosts import Net, line_of, skip_without_hosts
from tests.patience import patient, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]
HERE, FAR = "worker-0", "attic-0"
SECTIONS = 3
FIELDS = {"seconds": "1.2", "latent_window_size": "3", "num_inference_steps": "40"}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[Net]:
    """Head, store and machines; attic is far away from all others."""
    skip_without_hosts()
    with farm_hosts(tmp_path_factory.mktemp("slow"), tiny_cache) as net:
        net["attic"].slow(delay_ms=40, loss=0.001, mbit=20)
        yield net


@pytest.fixture(scope="module")
def farm(net: Net) -> Farm:
    """The farm, with a worker on the head."""
    return Farm(net, workers=1)


@pytest.fixture(scope="module")
def made_here(farm: Farm) -> bytes:
    """The video, made beside the store; from now on only attic works."""
    video = farm.finished(farm.submit(**FIELDS))
    farm.wish(HERE, "pause")
    return video


def test_a_far_machine_makes_a_video_and_is_paused_and_drained(farm: Farm, made_here: bytes) -> None:
    """It joins, its progress is shown step by step, it saves a section when it is paused; the bits are the same."""
    farm.attic = farm.join("attic", "--ports", PORTS)
    assert line_of(farm.attic, seconds=120) == f"joined {farm.address} as attic\n", farm.log("attic.log")
    video, steps = farm.submit(**FIELDS), set[tuple[int, int]]()

    def second_section() -> bool | None:
        shown = farm.http.get(f"/v1/videos/{video}").json()
        if shown["stage"] == "section" and shown["step"]:
            steps.add((shown["sections_done"], shown["step"]))
        return {section for section, step in steps if step >= 3} == {0, 1} or None

    wait_for(second_section, seconds=120, what="the second section", pause_s=0.1)
    assert len(steps) > SECTIONS
    farm.wish(FAR, "pause")
    farm.await_worker(FAR, "paused")
    farm.wish(FAR, "resume")
    assert farm.finished(video) == made_here
    names = [event["name"] for event in farm.events(video) if (event.get("key") or "").startswith("section/")]
    assert names.count("committed") == SECTIONS
    assert names.count("released") == 1
    assert "expired" not in names
    farm.wish(FAR, "drain")
    farm.await_worker(FAR, "drained")
    farm.net["attic"].signal(farm.attic, signal.SIGTERM)
    assert farm.attic.wait(patient(60)) == 0
