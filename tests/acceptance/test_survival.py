"""Kill any part of a farm while it renders: the video ends by itself, the same bit for bit, with one section redone."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image
from safetensors.numpy import load

from farm.contract import JobId
from farm.jobs import Jobs
from farm.ledger.damage import verified
from farm.store import FolderStore
from framepack_engine import StepState
from tests.farm_process import FarmProcess, alive, running_farm
from tests.middle import BEAT_S, STEPS, middle_of_section
from tests.patience import wait_for

pytestmark = [pytest.mark.acceptance]
SECTIONS = 3
LEASE_S = "10"  #: a new farm waits for the end of a lease that an old one gave
FIELDS = {  # 3.6 s: 3 sections of w = 9
    "prompt": "a cat looks around",
    "seconds": "3.6",
    "seed": "7",
    "model": "tiny",
    "size": "64x64",
    "num_inference_steps": str(STEPS),
}
Made = tuple[str, str, int]  #: digest of the latents, digest of the decoded frames, number of frames


def photo() -> bytes:
    """A picture with some structure."""
    data = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((160, 120)).save(data, "PNG")
    return data.getvalue()


def submit(farm: FarmProcess) -> str:
    """Ask for the video; its id."""
    answer = farm.http.post("/v1/videos", data=FIELDS, files={"input_reference": ("cat.png", photo())})
    assert answer.status_code == 200, answer.text
    video: str = answer.json()["id"]
    return video


def finished(farm: FarmProcess, video: str) -> Made:
    """Wait for the end; what was made."""

    def ended() -> dict[str, object] | None:
        state: dict[str, object] = farm.http.get(f"/v1/videos/{video}").json()
        return state if state["status"] not in {"queued", "in_progress"} else None

    state = wait_for(ended, seconds=240, what="the video's end")
    assert state["status"] == "completed", state["error"]
    content = f"/v1/videos/{video}/content"
    latents = load(farm.http.get(content, params={"variant": "latents"}).content)
    digest = hashlib.sha256(b"".join(latents[name].tobytes() for name in sorted(latents)))
    with av.open(io.BytesIO(farm.http.get(content).content), mode="r") as mp4:
        frames = [frame.to_ndarray().tobytes() for frame in mp4.decode(video=0)]
    return digest.hexdigest(), hashlib.sha256(b"".join(frames)).hexdigest(), len(frames)


def sections_made_twice(farm: FarmProcess, video: str) -> int:
    """How many sections were begun more often than once, by the ledger.

    A lease that expired does not count: its worker was killed with its farm, or a busy machine kept it silent.
    """
    ledger = Jobs(FolderStore(farm.storage)).ledger
    events = [entry.event for entry in ledger.following(JobId(video), -1)]
    sections = [event.name for event in events if event.key and event.key.startswith("section/")]
    return sections.count("leased") - sections.count("expired") - SECTIONS


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a disk of its own of 64 MB, where we may mount one; else any folder."""
    folder = tmp_path_factory.mktemp("farm") / "storage"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def farm(disk: Path, tiny_cache: Path) -> Iterator[FarmProcess]:
    """One farm with one worker, for the troubles that it survives itself."""
    with running_farm(disk, cache=tiny_cache, HEARTBEAT_S=BEAT_S, LEASE_S=LEASE_S) as farm:
        yield farm


@pytest.fixture(scope="module")
def undisturbed(farm: FarmProcess) -> Made:
    """The video of a farm that nothing disturbs."""
    video = submit(farm)
    made = finished(farm, video)
    assert made[2] == 36 * SECTIONS + 1
    assert sections_made_twice(farm, video) == 0
    return made


@pytest.mark.parametrize("actor", ["RenderWorker", "DispatcherActor"])
def test_an_actor_killed_in_the_middle_of_a_section(farm: FarmProcess, undisturbed: Made, actor: str) -> None:
    """SIGKILL the worker or the dispatcher: another takes its place, and nothing of the video differs."""
    video = submit(farm)
    with middle_of_section(farm, video, section=1):
        victim = farm.actor(actor)
        victim.kill()
    assert finished(farm, video) == undisturbed
    assert sections_made_twice(farm, video) == (1 if actor == "RenderWorker" else 0)
    assert farm.actor(actor).pid != victim.pid


def test_a_pause_in_the_middle_of_a_section(farm: FarmProcess, undisturbed: Made) -> None:
    """A pause stops at the next step and saves it; after a resume the section goes on from there, to the same bits."""
    video = submit(farm)
    with middle_of_section(farm, video, section=1) as middle:
        assert farm.http.post(f"/v1/videos/{video}/pause").json()["status"] == "paused"
    jobs = Jobs(FolderStore(farm.storage))
    saved = wait_for(lambda: jobs.get(video, owner=None).head.state.step, seconds=10, what="the saved step")
    assert farm.http.get(f"/v1/videos/{video}").json()["sections_done"] == middle.section
    step = jobs.ledger.artifact(JobId(video), saved, "step")
    assert step
    assert StepState.from_bytes(verified(jobs.store, step)).step >= middle.step
    assert farm.http.post(f"/v1/videos/{video}/resume").json()["status"] == "queued"
    assert finished(farm, video) == undisturbed


def test_a_full_disk_in_the_middle_of_a_video(farm: FarmProcess, undisturbed: Made, disk: Path) -> None:
    """Finished sections wait for room, /readyz says so, nothing is lost or made again, and the farm goes on alone."""
    if not disk.is_mount():
        pytest.skip("a disk of its own for the test needs root: no tmpfs could be mounted")
    video = submit(farm)
    begun, filler = farm.log.stat().st_size, disk / "filler"
    with middle_of_section(farm, video), pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(65 << 20))
    waits = b"action=wait_for_store"
    wait_for(lambda: waits in farm.log.read_bytes()[begun:] or None, seconds=60, what="a worker that waits")
    wait_for(lambda: farm.http.get("/readyz").status_code == 503 or None, seconds=20, what="the farm to say so")
    problem = farm.http.get("/readyz").json()
    assert problem["parts"] == {"store": "the store does not answer: No space left on device", "dispatcher": "ok"}
    answer = farm.http.post("/v1/videos", data=FIELDS, files={"input_reference": ("cat.png", photo())})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert farm.http.get(f"/v1/videos/{video}").json()["status"] == "in_progress"
    filler.unlink()
    assert finished(farm, video) == undisturbed
    wait_for(lambda: farm.http.get("/readyz").status_code == 200 or None, seconds=20, what="the farm to be ready")
    assert sections_made_twice(farm, video) == 0
    assert Jobs(FolderStore(farm.storage)).get(video, owner=None).head.state.failures == ()


def test_ray_itself_killed(farm: FarmProcess, undisturbed: Made) -> None:
    """SIGKILL the raylet, and the workers with it: `up` starts the farm again at the same address, and all goes on."""
    video = submit(farm)
    begun = farm.log.stat().st_size
    with middle_of_section(farm, video, section=1):
        farm.program("raylet").kill()
    back = f"the farm is back at {str(farm.http.base_url).rstrip('/')}".encode()
    wait_for(lambda: back in farm.log.read_bytes()[begun:] or None, seconds=90, what="the farm's next life")
    assert finished(farm, video) == undisturbed
    assert sections_made_twice(farm, video) <= 1


def test_a_farm_is_killed_and_its_heir_is_stopped(
    farm: FarmProcess, disk: Path, tiny_cache: Path, undisturbed: Made
) -> None:
    """Three farms make one video; this test is the last, since it ends the module's own.

    SIGKILL all of it at once: its port is free, and the next farm goes on. SIGTERM that one in mid section: it leaves
    no process, and the last farm goes on there.
    """
    video, port = submit(farm), str(farm.http.base_url.port)
    with middle_of_section(farm, video):
        farm.kill_everything()
    with running_farm(disk, cache=tiny_cache, HEARTBEAT_S=BEAT_S, LEASE_S=LEASE_S, PORT=port) as heir:
        with middle_of_section(heir, video, section=1):
            processes = heir.processes()
        assert heir.stop() == 0
        assert [process for process in processes if alive(process)] == []
    state = Jobs(FolderStore(disk)).get(video, owner=None).head.state
    assert state.leases == {}
    assert state.step
    with running_farm(disk, cache=tiny_cache, HEARTBEAT_S=BEAT_S, LEASE_S=LEASE_S) as last:
        assert finished(last, video) == undisturbed
        assert sections_made_twice(last, video) == 1  # the one that was stopped, and went on
