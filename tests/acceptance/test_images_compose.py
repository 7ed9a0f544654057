"""docker-compose.yml, brought up: what a container costs that is stopped, killed or replaced.

podman and podman-compose run it (tests/images), with SeaweedFS as the S3 server. The tests follow one farm.
"""

from __future__ import annotations

import secrets

import pytest

from farm.keys import new_key
from tests.farm_door import Door
from tests.images.machine import Machine
from tests.patience import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.images]
HEAD, WORKER, STORE = (f"framefarm_{service}_1" for service in ("head", "worker", "store"))
KEY, ENTRY = new_key("ann")
URL = "http://127.0.0.1:8000"
STEPS = "100"  #: so many that a section lasts longer than the way of a SIGTERM to its worker
#: an orphan of process 1: its number, and its parent's
ORPHAN = "sleep 2 >/dev/null 2>&1 & echo $!"
PARENT = "cut -d' ' -f4 /proc/$0/stat"


@pytest.fixture(scope="module")
def farm(box: Machine) -> Door:
    """The farm of docker-compose.yml, with one worker."""
    box.write_project(
        {
            "FARM_API_KEYS": ENTRY,
            "FARM_CPU_THREADS": "1",
            "FARM_MODEL": "tiny",
            "AWS_ACCESS_KEY_ID": "farm",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(24),
            "AWS_DEFAULT_REGION": "us-east-1",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
    )
    box.compose("up", "-d")
    farm = Door(box.host.client(URL, authorization=f"Bearer {KEY}"))
    await_idle(box, farm)
    return farm


@pytest.fixture(scope="module")
def video(farm: Door) -> tuple[str, bytes]:
    """A video when nothing happens: its id and its file."""
    asked = farm.submit(num_inference_steps=STEPS)
    return asked, farm.finished(asked)


def await_idle(box: Machine, farm: Door) -> None:
    """Wait until the head is healthy, as Docker asks it, and has an idle worker."""

    def is_idle() -> bool | None:
        return "idle" in (farm.workers() or {}).values() or None

    try:
        wait_for(is_idle, seconds=180, what="an idle worker")
    except AssertionError as err:
        raise AssertionError("\n".join([str(err), *(box.log(name) for name in (HEAD, WORKER, STORE))])) from err
    box.podman("healthcheck", "run", HEAD)


def test_the_containers_of_the_compose_file_make_a_video(farm: Door, video: tuple[str, bytes]) -> None:
    """Head, worker and S3 server find each other by name."""
    assert video[1][4:8] == b"ftyp"
    assert len(farm.workers() or {}) == 1


def test_process_1_collects_orphans(box: Machine, farm: Door) -> None:
    """A process whose parent has ended is handed to it, and leaves no zombie."""
    orphan = box.podman("exec", WORKER, "sh", "-c", ORPHAN)
    assert box.podman("exec", WORKER, "sh", "-c", PARENT, orphan) == "1"

    def is_gone() -> bool | None:
        return "gone" in box.podman("exec", WORKER, "sh", "-c", "[ -e /proc/$0 ] || echo gone", orphan) or None

    wait_for(is_gone, seconds=20, what="the orphan's end")


def test_a_worker_container_that_is_stopped_gives_its_section_back(
    box: Machine, farm: Door, video: tuple[str, bytes]
) -> None:
    """SIGTERM to process 1: the worker saves its step, and ends with 0; another life goes on with the video."""
    asked = farm.submit(num_inference_steps=STEPS)
    farm.in_the_middle(asked)
    box.podman("stop", "--time=90", WORKER)
    assert box.podman("inspect", "--format", "{{.State.ExitCode}}", WORKER) == "0"
    assert "action=given_back" in box.log(HEAD) + box.log(WORKER)
    box.podman("start", WORKER)
    assert farm.finished(asked) == video[1]
    await_idle(box, farm)


@pytest.mark.parametrize("container", [WORKER, HEAD])
def test_a_container_that_was_killed_comes_back(
    container: str, box: Machine, farm: Door, video: tuple[str, bytes]
) -> None:
    """Its process 1 dies (not by `podman kill`, which counts as a stop); the video ends with the same bits."""
    asked = farm.submit(num_inference_steps=STEPS)
    farm.in_the_middle(asked)
    pid = box.process(container)
    box.host.run("kill", "-KILL", pid)
    wait_for(lambda: box.process(container) not in {"0", pid} or None, seconds=60, what=f"a new life of {container}")
    assert farm.finished(asked) == video[1]
    await_idle(box, farm)


def test_down_and_up_keep_every_video(box: Machine, farm: Door, video: tuple[str, bytes]) -> None:
    """The containers are other ones; the volumes are not."""
    before = box.podman("ps", "--no-trunc", "--quiet").split()
    box.compose("down")
    assert box.podman("ps", "--all", "--quiet") == ""
    box.compose("up", "-d")
    await_idle(box, farm)
    assert not set(before) & set(box.podman("ps", "--no-trunc", "--quiet").split())
    asked, made = video
    assert farm.http.get(f"/v1/videos/{asked}/content").content == made
    assert farm.finished(farm.submit(num_inference_steps=STEPS)) == made
