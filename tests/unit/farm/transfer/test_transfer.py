"""A video moves to another farm completely, safely on repetition, and is finished there with the same bits."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from deploy import cli
from deploy.planner import EngineMedia, EnginePlanner
from farm.contract import JobId, Order
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import NotFound
from farm.ingress import create_app
from farm.intake.prepare import Tools
from farm.jobs import Jobs
from farm.jobs.fsck import Checker
from farm.keys import new_key
from farm.settings import FarmSettings
from farm.store import FolderStore
from farm.transfer.exchange import import_video, read_arrived
from framefarm_client.archive import Manifest, Member, pack, unpack
from framepack_engine import Models, Renderer
from tests.engine_worker import SMALL, Worker, submit
from tests.unit.conftest import DispatcherHere, Hand

pytestmark = pytest.mark.usefixtures("one_thread")


class Farm:
    """A farm without Ray: store, dispatcher, HTTP API, and a worker that the test drives."""

    def __init__(self, root: Path, **settings: Any) -> None:
        """Begin with an empty store."""
        self.root = root
        self.jobs = Jobs(FolderStore(root))
        self.door = DispatcherHere(self.jobs)
        self.hand = Hand(self.jobs, self.door.dispatcher)
        app = create_app(
            settings=FarmSettings(model="tiny", **settings),
            jobs=self.jobs,
            door=self.door,
            planner=EnginePlanner(),
            media=EngineMedia(),
        )
        self.http = TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000))

    def export(self, video_id: str) -> bytes:
        """Export a video."""
        answer = self.http.get(f"/v1/videos/{video_id}/export")
        assert answer.status_code == 200, answer.text
        assert len(answer.content) == int(answer.headers["content-length"])
        return answer.content

    def take(self, archive: bytes, *, new_id: bool = False) -> dict[str, Any]:
        """Import an archive; return the video object or the problem."""
        answer = self.http.post("/v1/videos/import", content=archive, params={"new_id": new_id})
        body: dict[str, Any] = answer.json()
        assert answer.status_code == body.get("status", 200) or isinstance(body["status"], str), answer.text
        return body

    def findings(self) -> list[str]:
        """Return what fsck finds."""
        checker = Checker(self.jobs.store, now=4e9, grace_s=0)
        return [f"{finding.kind} {finding.key}" for finding in checker.findings()]


@pytest.fixture
def old(tmp_path: Path) -> Farm:
    """Make the exporting farm, which has had several dispatchers."""
    farm = Farm(tmp_path / "old")
    for _ in range(3):
        farm.door.dispatcher = farm.hand.dispatcher = Dispatcher(farm.jobs, FarmSettings())
    return farm


@pytest.fixture
def new(tmp_path: Path) -> Farm:
    """Make the importing farm."""
    return Farm(tmp_path / "new")


@pytest.fixture
def half(old: Farm) -> str:
    """Make a video that is encoded and whose section is leased."""
    video = submit(old.http).rpartition("/")[2]
    old.hand.commit(old.hand.take(), conditioning=b"c")
    old.hand.take()
    return video


def test_a_video_exported_midway_is_finished_elsewhere_with_the_same_bits(
    old: Farm, new: Farm, tiny_models: Models
) -> None:
    """The new farm repeats the leased section and counts no failure; latents and mp4 are equal in bits."""
    workers = [Worker(farm.hand, Renderer(tiny_models)) for farm in (old, new)]
    path = submit(old.http, seconds="0.4")
    for _ in range(3):  # encode, section 0 and its neighbour
        order = workers[0].dispatcher.ask(workers[0].card)
        assert isinstance(order, Order)
        workers[0].runner.run(order, lambda _step: None)
        workers[0].dispatcher.nudge(order.job.id)
    running = workers[0].dispatcher.ask(workers[0].card)
    assert isinstance(running, Order)
    archive = old.export(path.rpartition("/")[2])
    video = new.take(archive)
    assert (video["status"], f"/v1/videos/{video['id']}") == ("in_progress", path)
    assert 0 < video["sections_done"] < video["sections_total"]
    workers[1].work()
    workers[0].runner.run(running, lambda _step: None)
    workers[0].dispatcher.nudge(running.job.id)
    workers[0].work()
    for variant in ("video", "latents"):
        here, there = (farm.http.get(f"{path}/content", params={"variant": variant}).content for farm in (old, new))
        assert here == there
    assert new.jobs.get(video["id"], owner=None).head.state.failures == ()
    assert old.findings() == new.findings() == []


def test_an_ended_video_shows_as_ended(old: Farm, new: Farm) -> None:
    """An ended video arrives with its content, without what belongs to the old farm."""
    answer = old.http.post(
        "/v1/videos",
        data=SMALL | {"webhook_url": "https://example.org/x", "webhook_secret": f"whsec_{'QUJD' * 10}"},
        files={"input_reference": ("a.png", picture())},
        headers={"Idempotency-Key": "k"},
    )
    video_id = answer.json()["id"]
    old.hand.finish()
    archive = old.export(video_id)
    assert not [word for word in (b"whsec", b"example.org", b'"local"', b"idempotency/") if word in archive]
    video = new.take(archive)
    assert (video["status"], video["webhook"]) == ("completed", None)
    assert new.http.get(f"/v1/videos/{video_id}/content").content == b"mp4 bytes"
    assert [entry["id"] for entry in new.http.get("/v1/videos").json()["data"]] == [video_id]
    assert new.jobs.open_ids() == []
    assert new.findings() == []


def test_leases_and_epochs_stay_behind(new: Farm, old: Farm, half: str) -> None:
    """The old farm's epochs do not depose the new dispatcher, which leases the work at once."""
    video = new.take(old.export(half))
    record = new.jobs.get(video["id"], owner=None)
    assert (record.head.event.name, record.head.state.leases, record.head.state.failures) == ("released", {}, ())
    new.hand.finish()
    assert new.http.get(f"/v1/videos/{half}").json()["status"] == "completed"


def test_importing_again_changes_nothing(old: Farm, new: Farm, half: str) -> None:
    """A second import changes nothing, even if the video has gone on, and even on the farm that it came from."""
    archive = old.export(half)
    first = new.take(archive)
    new.hand.finish()
    assert new.take(archive)["status"] == "completed"
    assert old.take(archive)["id"] == first["id"]
    for farm in (old, new):
        assert len(farm.http.get("/v1/videos").json()["data"]) == 1


def test_only_what_goes_on_needs_room(old: Farm, half: str, tmp_path: Path) -> None:
    """A full farm accepts ended videos and repeated imports, and refuses open ones."""
    running = old.export(half)
    full = Farm(tmp_path / "full", max_open_videos=1, max_queued=1)
    taken = full.take(running)["id"]
    full.hand.dispatcher.nudge(JobId(taken))
    assert full.take(running, new_id=True)["code"] == "quota"
    assert full.take(running)["id"] == taken
    old.hand.jobs.wish(half, "cancel", owner="local")
    assert full.take(old.export(half), new_id=True)["status"] == "cancelled"


def test_an_id_with_other_content_is_a_conflict(old: Farm, new: Farm, half: str) -> None:
    """An earlier state is the same video; a later one, a diverged one or a deleted one is a conflict."""
    early = old.export(half)
    new.take(early)
    new.hand.finish()
    old.hand.jobs.wish(half, "cancel", owner="local")
    late = old.export(half)
    assert new.take(late)["code"] == "conflict"
    assert new.take(early)["status"] == "completed"
    moved = new.take(late, new_id=True)
    assert moved["id"] != half
    assert new.take(late, new_id=True)["id"] == moved["id"]
    assert new.findings() == []
    old.http.delete(f"/v1/videos/{half}")
    assert "deleted" in old.take(late)["detail"]


def test_under_a_new_id_it_goes_on_too(old: Farm, new: Farm, half: str) -> None:
    """Under a new id the objects get new keys, and both copies are finished."""
    archive = old.export(half)
    ids = {new.take(archive)["id"], new.take(archive, new_id=True)["id"]}
    assert len(ids) == 2
    new.hand.finish()
    assert {new.http.get(f"/v1/videos/{id_}").json()["status"] for id_ in ids} == {"completed"}
    assert new.findings() == []


def test_the_owner_is_who_imports(old: Farm, half: str, tmp_path: Path) -> None:
    """Only the importing owner sees the video, and an owner can export only their own videos."""
    (alice, alices), (bob, bobs) = new_key("alice"), new_key("bob")
    farm = Farm(tmp_path / "keyed", api_keys=f"{alices},{bobs}")
    archive = old.export(half)
    codes = []
    for key in (alice, bob):
        farm.http.headers["Authorization"] = f"Bearer {key}"
        codes.append(farm.http.post("/v1/videos/import", content=archive).status_code)
        codes.append(farm.http.get(f"/v1/videos/{half}/export").status_code)
    assert codes == [200, 200, 409, 404]
    del farm.http.headers["Authorization"]
    assert farm.http.post("/v1/videos/import", content=archive).status_code == 401


def picture() -> bytes:
    """Make a PNG."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64)).save(data, "PNG")
    return data.getvalue()


def forged(archive: bytes, tmp_path: Path, change: Callable[[Path], object]) -> bytes:
    """Change an archive's files and make the manifest fit."""
    folder = tmp_path / f"forged-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    manifest = unpack(io.BytesIO(archive), folder)
    change(folder)
    return repacked(manifest, folder)


def repacked(manifest: Manifest, folder: Path) -> bytes:
    """Pack the files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    members = tuple(
        Member(
            path=path.relative_to(folder).as_posix(),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            bytes=path.stat().st_size,
        )
        for path in files
    )
    true = manifest.model_copy(update={"objects": members})
    return b"".join(pack(true, lambda member: iter([(folder / member.path).read_bytes()])))


def edit_json(name: str, *where: str, value: object) -> Callable[[Path], None]:
    """Set one value in a JSON file."""

    def change(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        inner = data
        for step in where[:-1]:
            inner = inner[step]
        inner[where[-1]] = value
        (folder / name).write_text(json.dumps(data))

    return change


def forgeries() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield part of the error, and the change that causes it."""
    log, job = "log/00000001.json", "request.json"
    yield "does not follow", edit_json(log, "epoch", value=10**6)
    yield "does not follow", edit_json(log, "state", "gpu_seconds", value=9.0)
    yield "impossible times", edit_json(log, "at", value=math.nan)
    yield "impossible times", edit_json("log/00000002.json", "event", "seconds", value=math.inf)
    yield "not legal", edit_json(log, "event", "name", value="resume")
    yield "not that of this video", edit_json(job, "id", value=f"video_{'0' * 32}")
    yield "not that of this video", edit_json(job, "created_ms", value=10**15)
    yield "another video", edit_json(job, "plan", "sections", value=10**9)
    yield "faults", edit_json(job, "request", "prompt", value=7)
    stolen = {"key": "jobs/../dispatcher/1", "sha256": "0" * 64, "bytes": 1}
    yield "does not hold", edit_json(job, "inputs", "start", value=stolen)
    yield "does not hold", edit_json(job, "inputs", "start", "key", value=f"jobs/video_{'0' * 32}/inputs/start.png")
    yield "not the object", edit_json(job, "inputs", "start", "sha256", value="0" * 64)
    yield "nothing in it names", lambda folder: (folder / "webhook.json").write_text("{}")
    yield "no ledger", lambda folder: shutil.rmtree(folder / "log")
    yield "nothing in it names", lambda folder: (folder / "log" / "00000001.json").unlink()


def test_no_forged_archive_is_taken(old: Farm, new: Farm, half: str, tmp_path: Path) -> None:
    """The farm refuses impossible ledgers, foreign keys and unnamed objects, and stores nothing."""
    archive = old.export(half)
    for text, change in forgeries():
        answer = new.take(forged(archive, tmp_path, change))
        assert answer["code"] == "invalid_request", text
        assert text in answer["detail"]
    assert [key for folder in ("jobs/", "open/", "owners/", "imports/") for key in new.jobs.store.list(folder)] == []


def test_inputs_are_looked_at_again(old: Farm, new: Farm, half: str, tmp_path: Path) -> None:
    """The limits on images hold for archives, too."""

    def swap(data: bytes) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            (folder / "inputs" / "start.png").write_bytes(data)
            edit_json("request.json", "inputs", "start", "bytes", value=len(data))(folder)
            digest = hashlib.sha256(data).hexdigest()
            edit_json("request.json", "inputs", "start", "sha256", value=digest)(folder)

        return change

    archive = old.export(half)
    assert "not a PNG" in new.take(forged(archive, tmp_path, swap(b"GIF89a")))["detail"]
    strict = Farm(tmp_path / "strict", max_pixels=1000)
    assert "FARM_MAX_PIXELS" in strict.take(archive)["detail"]


def test_too_large_an_archive_is_refused(old: Farm, half: str, tmp_path: Path) -> None:
    """The error names the setting, whether the client announces the length or not."""
    small = Farm(tmp_path / "small", max_import_mb=1)
    answers = [
        small.http.post("/v1/videos/import", content=body) for body in (bytes(2 << 20), iter([bytes(1 << 20)] * 2))
    ]
    assert [answer.status_code for answer in answers] == [413, 413]
    assert all("FARM_MAX_IMPORT_MB" in answer.json()["detail"] for answer in answers)
    assert small.take(old.export(half))["id"] == half


class Crash(Exception):
    """The process dies here."""


def test_a_crash_at_any_write_of_an_import(
    old: Farm, half: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The video appears with the last write; fsck finds what a crash leaves; the next import completes it."""
    folder = tmp_path / "archive"
    folder.mkdir()
    manifest = unpack(io.BytesIO(old.export(half)), folder)
    tools = Tools(FarmSettings(), EnginePlanner(), EngineMedia())
    writes, crashed = 0, True
    while crashed:
        jobs = Jobs(FolderStore(tmp_path / f"mortal-{writes}"))
        arrived = read_arrived(manifest, folder, owner="local", new_id=False)
        take = partial(import_video, arrived, jobs, tools)
        with monkeypatch.context() as broken:
            broken.setattr(jobs.store, "put_if_absent", mortal(jobs.store.put_if_absent, writes))
            try:
                take()
            except Crash:
                writes += 1
                with pytest.raises(NotFound):
                    jobs.get(half, owner=None)
                checker = Checker(jobs.store, now=4e9, grace_s=0)
                assert {finding.kind for finding in checker.findings()} <= {"dangling"}
            else:
                crashed = False
        assert take().job.id == half
    assert writes > 8
    hand = Hand(jobs, Dispatcher(jobs, FarmSettings()))
    hand.finish()
    assert jobs.get(half, owner="local").head.state.status == "completed"
    assert list(Checker(jobs.store, now=4e9, grace_s=0).findings()) == []


def mortal(put: Callable[[str, bytes | Path], bool], left: int) -> Callable[[str, bytes | Path], bool]:
    """Put, or die after so many puts."""
    lives = count(left, -1)

    def dying(key: str, data: bytes | Path) -> bool:
        if next(lives) == 0:
            raise Crash
        return put(key, data)

    return dying


def test_a_damaged_video_is_not_exported_whole(old: Farm, half: str) -> None:
    """The export breaks off, so no client takes it for a whole archive."""
    record = old.jobs.get(half, owner=None)
    path = old.root / record.job.inputs["start"].key
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RuntimeError, match="response already started"):
        old.http.get(f"/v1/videos/{half}/export")


def test_the_command_line_moves_videos(
    http: TestClient, farm_url: str, hand: Hand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands use files and folders, overwrite nothing, and name damaged objects."""
    video = submit(http).rpartition("/")[2]
    hand.finish()
    file, folder = tmp_path / "a.tar", tmp_path / "a"
    for target in (file, folder):
        assert cli.main(["export", video, "-o", str(target)]) == 0
        assert capsys.readouterr().out == f"{target}\n"
        assert cli.main(["import", str(target), "--new-id"]) == 0
        copy = capsys.readouterr().out.strip()
    assert cli.main(["import", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == video
    assert {entry["id"] for entry in http.get("/v1/videos").json()["data"]} == {video, copy}
    assert http.get(f"/v1/videos/{copy}/content").content == b"mp4 bytes"
    assert cli.main(["export", video, "-o", str(folder)]) == 2
    assert "exists; name" in capsys.readouterr().err
    start = folder / "inputs" / "start.png"
    start.write_bytes(start.read_bytes()[:-1] + b"?")
    assert cli.main(["import", str(folder)]) == 2
    assert "start.png is damaged" in capsys.readouterr().err
    assert cli.main(["import", str(tmp_path / "none")]) == 2
    assert cli.main(["export", f"video_{'0' * 32}", "-o", str(tmp_path / "b.tar")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "storage") == ["a", "a.tar"]


def test_names_that_are_no_ids_are_not_found(http: TestClient) -> None:
    """A malformed id is not found."""
    assert http.get("/v1/videos/..%2f..%2fx/export").status_code == 404
    assert http.get(f"/v1/videos/{JobId('import')}").status_code == 404
