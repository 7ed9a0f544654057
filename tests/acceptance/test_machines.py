"""Two machines lend a worker each to a farm that has none: drains and pauses move a video, with the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.cluster import HEARD
from farm.contract import slot_of
from tests.acceptance.test_survival import Made, finished, photo
from tests.clean_env import clean_env
from tests.farm_process import FarmProcess, running_farm
from tests.middle import BEAT_S, STEPS, Middle, middle_of_section
from tests.patience import patient, wait_for

pytestmark = [pytest.mark.acceptance]
Machines = dict[str, "subprocess.Popen[str]"]  #: what `framefarm join` is, by the machine's name
LEASE_S = "120"  #: longer than a worker stands still until the farm knows that its machine leaves
FIELDS = {
    "prompt": "a cat",
    "seconds": "2.4",
    "seed": "7",
    "model": "tiny",
    "num_inference_steps": str(STEPS),
    "size": "64x64",
}


def command(*words: str, cache: Path, **settings: str) -> subprocess.Popen[str]:
    """A `framefarm` of another machine: nothing in its environment but what is named."""
    env = clean_env() | {"FARM_CACHE": str(cache), "FARM_CPU_THREADS": "1"}
    env |= {"FARM_HEARTBEAT_S": BEAT_S, "FARM_LEASE_S": LEASE_S} | settings
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def invitation(farm: FarmProcess) -> tuple[str, str]:
    """The address and the file of the token, as `up` tells them on stderr."""
    match = wait_for(
        lambda: re.search(r"framefarm join (\S+) \(RAY_AUTH_TOKEN_PATH=(.*)\)", farm.log.read_text()),
        seconds=10,
        what="the line that says how to join",
    )
    return match[1], match[2]


@contextlib.contextmanager
def joined(
    farm: FarmProcess, cache: Path, name: str, vram_class: str, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """A machine of that name in the farm."""
    address, token = invitation(farm)
    flags = ("--workers", "1", "--node", name, "--vram-class", vram_class)
    process = command("join", address, *flags, cache=cache, RAY_AUTH_TOKEN_PATH=token, **settings)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line == f"joined {address} as {name}\n", process.communicate()[1]
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=patient(90))


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """A farm without workers of its own."""
    storage = tmp_path_factory.mktemp("farm") / "storage"
    with running_farm(storage, cache=tiny_cache, workers=0, HEARTBEAT_S=BEAT_S, LEASE_S=LEASE_S) as farm:
        yield farm


@pytest.fixture(scope="module")
def machines(farm: FarmProcess, tiny_cache: Path) -> Iterator[Machines]:
    """Two machines of unlike memory in it; one has a folder of its own for Ray's sockets."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as own,
        joined(farm, tiny_cache, "left", "v24") as left,
        joined(farm, tiny_cache, "right", "v80", FARM_RAY_DIR=own) as right,
    ):
        assert list(Path(own).glob("session_*/sockets/raylet*"))
        wait_for(lambda: len(workers(farm)) == 2 or None, seconds=90, what="both workers")
        yield {"left": left, "right": right}


def workers(farm: FarmProcess) -> dict[str, dict[str, Any]]:
    """The workers by slot; a dispatcher that is on its way back is waited for."""
    listed = wait_for(lambda: farm.http.get("/v1/workers").json().get("data"), seconds=60, what="the list of workers")
    return {slot_of(worker["id"]): worker for worker in listed}


def await_state(farm: FarmProcess, slot: str, state: str) -> None:
    """Wait until the slot's worker is in that state; between two workers it has none."""
    wait_for(
        lambda: workers(farm).get(slot, {}).get("state") == state or None,
        seconds=90,
        what=f"a {state} worker in {slot}",
    )


def submit(farm: FarmProcess) -> str:
    """Ask for the video; its id."""
    answer = farm.http.post("/v1/videos", data=FIELDS, files={"input_reference": ("cat.png", photo())})
    assert answer.status_code == 200, answer.text
    video: str = answer.json()["id"]
    return video


@pytest.fixture(scope="module")
def undisturbed(farm: FarmProcess, machines: object) -> Made:
    """The video of a farm that nothing disturbs."""
    return finished(farm, submit(farm))


def saved_step(farm: FarmProcess, video: str) -> int:
    """The step from which the section went on, by its artifact's name in the ledger."""
    log = sorted((farm.storage / "jobs" / video / "log").iterdir())
    artifacts = [json.loads(path.read_text())["event"].get("artifacts", {}) for path in log]
    (key,) = [named["step"]["key"] for named in artifacts if "step" in named]
    return int(re.findall(r"\.s(\d+)\.", key)[0])


def worker_of(machines: Machines, slot: str) -> psutil.Process:
    """The process of that slot's worker: Ray puts the actor's class into its title."""
    for process in psutil.Process(machines[slot.removesuffix("-0")].pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if "".join(process.cmdline()[:1]).startswith("ray::RenderWorker"):
                return process
    raise AssertionError("no process of a RenderWorker")


def moved_on(farm: FarmProcess, video: str, middle: Middle, undisturbed: Made) -> None:
    """The video ended elsewhere with the same bits, and no step was made again but the one that was being made."""
    steps: list[int] = []  # of the worker that went on, as far as there was time to hear of them

    def ended() -> bool | None:
        state = farm.http.get(f"/v1/videos/{video}").json()
        here = state["stage"] == "section" and state["sections_done"] == middle.section
        if here and state["step"] and state["worker"] and slot_of(state["worker"]) != middle.slot:
            steps.append(state["step"])
        return True if state["status"] not in {"queued", "in_progress"} else None

    wait_for(ended, seconds=240, what="the video's end")
    assert finished(farm, video) == undisturbed
    saved = saved_step(farm, video)
    assert saved >= middle.step
    assert all(step >= saved for step in steps)


def test_each_machine_declares_its_workers(farm: FarmProcess, machines: object) -> None:
    """Names, classes and states of both are shown."""
    shown = {slot: (worker["node"], worker["vram_class"], worker["state"]) for slot, worker in workers(farm).items()}
    assert shown == {"left-0": ("left", "v24", "idle"), "right-0": ("right", "v80", "idle")}


def test_the_dispatcher_gives_signs(farm: FarmProcess, machines: object) -> None:
    """For as long as it lives, so that a machine with FARM_GIVE_UP_S knows."""
    address, token = invitation(farm)
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token}
    code = "import sys; from actors.cluster import told; it = told(sys.argv[1], 'left'); print(it.word, it.sign)"

    def heard() -> tuple[str, str]:  # Ray reads a process's token once
        command = [sys.executable, "-c", code, address]
        word, sign = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()
        return word, sign

    word, first = heard()
    assert word == HEARD
    wait_for(lambda: heard()[1] != first or None, seconds=20, what="the next sign")


@pytest.mark.parametrize("how", ["wrong token", "wrong address", "another store"])
def test_who_cannot_join_is_told_why(farm: FarmProcess, tiny_cache: Path, tmp_path: Path, how: str) -> None:
    """Exit 2 and one clear line; nothing of it stays in the farm."""
    address, token = invitation(farm)
    settings = {"RAY_AUTH_TOKEN_PATH": token}
    if how == "wrong token":
        settings = {"RAY_AUTH_TOKEN": "0" * 64}
    if how == "wrong address":
        address = "127.0.0.1:1"
    flags = ("--storage", str(tmp_path / "elsewhere")) if how == "another store" else ()
    process = command("join", address, *flags, cache=tiny_cache, **settings)
    out, err = process.communicate(timeout=patient(90))
    assert (process.returncode, out) == (2, "")
    want = {"wrong token": "rejects this token", "wrong address": "nothing answers", "another store": "elsewhere"}
    assert want[how] in err


def test_a_drained_worker_hands_its_video_over(farm: FarmProcess, machines: Machines, undisturbed: Made) -> None:
    """`framefarm drain` in the middle of a section: the other machine goes on behind the last finished step."""
    video = submit(farm)
    with middle_of_section(farm, video, worker_in=partial(worker_of, machines)) as middle:
        slot = middle.slot
        assert farm.http.post(f"/v1/workers/{slot}/drain").json()["state"] == "draining"
    moved_on(farm, video, middle, undisturbed)
    await_state(farm, slot, "drained")
    assert farm.http.post(f"/v1/workers/{slot}/resume").status_code == 200
    await_state(farm, slot, "idle")


def test_i_need_my_gpu_now(farm: FarmProcess, machines: Machines, undisturbed: Made) -> None:
    """A pause moves the video, and outlives the dispatcher and the paused worker's process; a resume ends it."""
    video = submit(farm)
    with middle_of_section(farm, video, worker_in=partial(worker_of, machines)) as middle:
        slot = middle.slot
        assert farm.http.post(f"/v1/workers/{slot}/pause").json()["paused"] == "operator"
    moved_on(farm, video, middle, undisturbed)
    assert workers(farm)[slot]["state"] == "paused"
    before = workers(farm)[slot]["id"]
    farm.actor("DispatcherActor").kill()
    worker_of(machines, slot).kill()

    def replaced() -> str | None:
        worker = workers(farm).get(slot, {"id": before})
        return worker["state"] if worker["id"] != before else None

    assert wait_for(replaced, seconds=120, what="the paused worker's successor") == "paused"
    assert farm.http.post(f"/v1/workers/{slot}/pause").status_code == 409
    assert farm.http.post(f"/v1/workers/{slot}/resume").status_code == 200
    await_state(farm, slot, "idle")


def test_a_machine_that_leaves_hands_its_video_over(farm: FarmProcess, machines: Machines, undisturbed: Made) -> None:
    """SIGTERM of `framefarm join`, as on a spot machine: Ray marks the node as draining, the video moves on."""
    video = submit(farm)
    with middle_of_section(farm, video, worker_in=partial(worker_of, machines)) as middle:
        slot = middle.slot
        process = machines[slot.removesuffix("-0")]
        process.send_signal(signal.SIGTERM)
        await_state(farm, slot, "draining")
    moved_on(farm, video, middle, undisturbed)
    assert process.wait(patient(60)) == 0
    wait_for(lambda: slot not in workers(farm) or None, seconds=60, what="the machine's absence")
