"""fsck finds and names each kind of damage, finds none in a clean store, and erases only dangling objects."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from deploy import cli
from deploy.node.lock import locked
from farm.contract import Batch, Failure, JobId
from farm.errors import StoreError
from farm.jobs import Jobs, Record
from farm.jobs.fsck import DAY_S, Checker
from farm.jobs.scripts import ScriptSession
from farm.ledger.notes import Claim, ScriptEvent, ScriptSections
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.engine_worker import submit
from tests.unit.conftest import Hand

Accept = Callable[..., Record]


def found(store: FolderStore, *, grace_s: float = 0.0, later_s: float = 1.0) -> list[tuple[str, str]]:
    """Return (kind, key) of all findings."""
    checker = Checker(store, now=time.time() + later_s, grace_s=grace_s)
    return sorted((finding.kind, finding.key) for finding in checker.findings())


@pytest.fixture
def video(http: TestClient, hand: Hand) -> JobId:
    """Make a completed video, beside a waiting, a cancelled and a deleted one."""
    done = submit(http).rpartition("/")[2]
    hand.finish()
    cancelled, deleted = submit(http), submit(http)
    for path in (cancelled, deleted):
        http.post(f"{path}/cancel")
        hand.dispatcher.nudge(JobId(path.rpartition("/")[2]))
    http.delete(deleted)
    fields = {"prompt": "a", "model": "tiny-f1", "n": "2"}
    http.post("/v1/videos", data=fields, headers={"Idempotency-Key": "k"})
    return JobId(done)


def test_a_store_in_use_is_clean(video: JobId, store: FolderStore, jobs: Jobs) -> None:
    """There are no findings among completed, waiting, cancelled and deleted videos, and all artifacts were read."""
    checker = Checker(store, now=time.time() + 1, grace_s=0)
    assert list(checker.findings()) == []
    assert checker.videos == 5
    entries = list(jobs.ledger.following(video, -1))
    assert checker.bytes >= sum(a.bytes for entry in entries for a in entry.event.artifacts.values())


def spoil(path: Path) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_each_damage_is_found(video: JobId, store: FolderStore, jobs: Jobs) -> None:
    """Damage the store in one way at a time, and check for exactly that finding."""
    record = jobs.get(video, owner=None)
    folder = store.root / "jobs" / video
    waiting, _ = [id_ for id_ in jobs.open_ids() if (store.root / "jobs" / id_ / "request.json").exists()]
    start = store.root / record.job.inputs["start"].key
    [final] = folder.glob("video.*")
    entry = folder / "log" / "00000003.json"
    index = next(path for path in (store.root / "owners" / "local").iterdir() if path.name.endswith(video))

    def lie(path: Path) -> None:
        data = json.loads(path.read_text())
        data["state"]["gpu_seconds"] = 99.0
        path.write_text(json.dumps(data))

    cases: list[tuple[str, Path, Callable[[Path], object]]] = [
        ("damaged", start, spoil),
        ("damaged", final, spoil),
        ("missing", final, Path.unlink),
        ("ledger", entry, Path.unlink),
        ("ledger", entry, lambda path: path.write_text("{")),
        ("ledger", entry, lie),
        ("request", folder / "request.json", lambda path: path.write_text("{")),
        ("unlisted", index, Path.unlink),
        ("unmarked", store.root / "open" / waiting, Path.unlink),
    ]
    for kind, path, damage in cases:
        before = path.read_bytes()
        damage(path)
        findings = found(store)
        assert (kind, path.relative_to(store.root).as_posix()) in findings, (kind, path, findings)
        if (kind, path) not in {("ledger", entry), ("request", folder / "request.json")}:
            assert len(findings) == 1, findings
        path.unlink(missing_ok=True)
        path.write_bytes(before)
    assert found(store) == []
    lost = [path for path in folder.rglob("*") if path.is_file() and "log" not in path.parts]
    for path in lost:
        path.unlink()
    assert ("request", f"jobs/{video}/request.json") in found(store)


def test_a_second_marker_is_a_marker(video: JobId, store: FolderStore, jobs: Jobs) -> None:
    """A crash in a sweep can leave only the second marker. A restart finds the video by it: that is no fault."""
    assert video not in jobs.open_ids()
    for job_id in jobs.open_ids():  # two wait; of one only the tombstone is left
        store.put_if_absent(f"open/{job_id}.{'a' * 32}", b'{"at": 0}')
        store.delete(f"open/{job_id}")
    assert len(jobs.open_ids()) == 3
    assert found(store, later_s=7300.0) == []


def test_the_ledger_of_a_deleted_video_is_dangling_without_its_marker(
    video: JobId, store: FolderStore, jobs: Jobs
) -> None:
    """No sweep would find what is left of the video; an hour after the deletion, fsck does."""
    jobs.delete(video, owner="local")
    store.delete(f"open/{video}")
    assert found(store) == []
    assert found(store, later_s=3700.0) == [("dangling", key) for key in store.list(f"jobs/{video}/log/")]


def test_a_member_of_a_damaged_batch_is_kept(video: JobId, store: FolderStore, jobs: Jobs) -> None:
    """A damaged batch does not tell whether a video was accepted: fsck reports the batch and nothing dangling."""
    [batch] = store.list("batches/")
    lost = next(id_ for id_ in jobs.open_ids() if f"jobs/{id_}/request.json" in store.list(f"jobs/{id_}/"))
    (store.root / "jobs" / lost / "log" / "00000000.json").unlink()
    (store.root / batch).write_text("{")
    assert found(store) == [("damaged", batch)]


def test_a_log_that_is_gone_is_no_rubbish(video: JobId, store: FolderStore) -> None:
    """The check reports artifacts without a ledger as damage and does not offer to erase them."""
    for path in (store.root / "jobs" / video / "log").iterdir():
        path.unlink()
    assert ("ledger", f"jobs/{video}/log/") in found(store)
    assert [kind for kind, key in found(store) if key.startswith(f"jobs/{video}/")] == ["ledger"]


def litter(video: JobId, store: FolderStore) -> list[str]:
    """Write one of each object that a crash can leave behind."""
    gone = f"video_{'0' * 32}"
    keys = [
        f"jobs/{video}/clips/0000.a99.mp4",
        f"jobs/{gone}/inputs/start.png",
        f"open/{gone}",
        f"open/{video}",
        f"owners/local/8204723000000_{gone}",
        f"hooks/{gone}.00000000.request",
        f"hooks/{video}.00000000.farm",
        f"embeddings/{'1' * 64}.safetensors",
        f"embeddings/{'2' * 64}/{gone}",
        f"imports/{video}",
        f"batches/local/batch_{'0' * 32}.json",
        "probe/scratch-1",
    ]
    for key in keys:
        batch = Batch(id="batch_0", videos=(JobId(gone),)).model_dump_json().encode()
        store.put_if_absent(key, batch if key.startswith("batches/") else b'{"at": 0}')
    head = Jobs(store).ledger.head(video)
    store.put_if_absent(f"jobs/{video}/hooks/{head.seq:08}.farm.json", b"{}")
    claim = Claim(id=JobId(gone), created_ms=0, fingerprint="")
    store.put_if_absent("idempotency/local/abc", claim.model_dump_json().encode())
    return sorted([*keys, "idempotency/local/abc"])


def test_what_nothing_refers_to_is_dangling_once_it_is_old(video: JobId, store: FolderStore) -> None:
    """Unreferenced objects are dangling after a day; younger ones may belong to work in progress."""
    keys = litter(video, store)
    assert found(store, grace_s=DAY_S) == []
    assert found(store, grace_s=DAY_S, later_s=DAY_S + 5) == [("dangling", key) for key in keys]


def test_the_command_line_checks_and_erases(
    video: JobId, store: FolderStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command exits with 1 and prints a line a finding; it keeps fresh objects of a running farm."""
    where = ["--storage", str(store.root)]
    assert cli.main(["fsck", *where]) == 0
    keys = litter(video, store)
    assert cli.main(["fsck", *where, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["key"] for line in lines) == keys
    assert not any(line["deleted"] for line in lines)
    with locked(FarmSettings(storage=str(store.root))):  # a farm runs on it
        assert cli.main(["fsck", *where, "--delete-dangling"]) == 0
        assert cli.main(["fsck", *where, "--stopped"]) == 2
        os.utime(store.root / keys[0], (1, 1))
        assert cli.main(["fsck", *where]) == 1
    capsys.readouterr()
    assert cli.main(["fsck", *where, "--delete-dangling"]) == 0
    assert f"{len(keys)} of them erased" in capsys.readouterr().err
    spoil(store.root / Jobs(store).get(video, owner=None).job.inputs["start"].key)
    assert cli.main(["fsck", *where, "--delete-dangling"]) == 1
    assert "damaged" in capsys.readouterr().out
    assert cli.main(["fsck", "--storage", str(store.root / "none")]) == 2


@pytest.mark.parametrize("which", range(-1, 8))
def test_a_damaged_entry_does_not_hide_the_rest(video: JobId, store: FolderStore, jobs: Jobs, which: int) -> None:
    """With any entry of each video damaged, every damaged object is named with its video and the cure."""
    folder = store.root / "jobs" / video
    entries = sorted((folder / "log").iterdir())
    [final] = folder.glob("video.*")
    waiting = next(id_ for id_ in jobs.open_ids() if (store.root / "jobs" / id_ / "request.json").exists())
    first = store.root / "jobs" / waiting / "log" / "00000000.json"
    spoil(final)
    for path in (entries[which], first):
        path.write_text("{")
    findings = [*Checker(store, now=time.time() + 1, grace_s=0).findings()]
    faults = {finding.key: finding for finding in reversed(findings)}  # an entry first, then what it named
    damaged = {path.relative_to(store.root).as_posix() for path in (entries[which], first)}
    if which != -1:  # the last entry is the one that names the video
        damaged.add(final.relative_to(store.root).as_posix())
    assert damaged <= set(faults)
    assert {faults[key].video for key in damaged} == {video, waiting}
    cures = {key: faults[key].cure for key in damaged}
    assert all(("--repair" if "/video." in key else "restore") in cure for key, cure in cures.items())
    assert not [finding for finding in findings if finding.kind in {"dangling", "leftover"}]  # the entry may name them


def test_an_object_that_cannot_be_read_does_not_end_the_walk(
    video: JobId, store: FolderStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses objects of each kind: the command reports each of them, goes on to the end and exits with 1."""
    [batch], [claim] = store.list("batches/"), store.list("idempotency/")
    request, entry = f"jobs/{video}/request.json", f"jobs/{video}/log/00000002.json"
    read = FolderStore.get

    def get(self: FolderStore, key: str) -> bytes:
        if key in {batch, claim, request, entry}:
            raise StoreError(f"cannot read {key}: Input/output error", key=key)
        return read(self, key)

    monkeypatch.setattr(FolderStore, "get", get)
    assert cli.main(["fsck", "--storage", str(store.root), "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["key"]: line["video"] for line in lines} == {batch: None, claim: None, request: video, entry: video}
    assert all(line["cure"] for line in lines)


def test_what_a_killed_worker_left_is_no_fault(
    video: JobId, store: FolderStore, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thumbnail of a lease that was never committed does not count; the check still offers to erase it."""
    attempt = jobs.ledger.head(video).state.attempt
    key = f"jobs/{video}/steps/0000.a{attempt}.s003.safetensors"
    store.put_if_absent(key, b"1")
    assert found(store) == [("leftover", key)]
    assert found(store, grace_s=DAY_S) == []
    where = ["fsck", "--storage", str(store.root)]
    assert cli.main(where) == 0
    assert "1 of them leftovers, which are no fault" in capsys.readouterr().err
    assert cli.main([*where, "--delete-dangling"]) == 0
    assert found(store) == []


def test_a_video_deleted_meanwhile_is_no_fault(video: JobId, store: FolderStore, jobs: Jobs) -> None:
    """A user deletes the video while fsck reads it."""
    checker, read = Checker(store, now=time.time() + 1, grace_s=0), store.open_read

    def delete_first(key: str, *, start: int = 0, length: int | None = None) -> object:
        if f"/{video}/" in key and store.list(f"jobs/{video}/inputs/"):
            jobs.delete(video, owner="local")
        return read(key, start=start, length=length)

    store.open_read = delete_first  # type: ignore[method-assign, assignment]
    assert list(checker.findings()) == []
    assert not store.list(f"jobs/{video}/inputs/")


def remixed(http: TestClient, hand: Hand) -> str:
    """Ask for a remix with another prompt that shares the first section, its preview and its clip; return its path."""
    original = submit(http, model="tiny-f1")
    while (order := hand.take()).key.stage != "finish":
        name = {"encode": "conditioning", "decode": "clip"}.get(order.key.stage, "section")
        extra = {"preview": b"p"} if name == "section" else {}
        hand.commit(order, **{name: b"x"}, **extra)
    hand.commit(order, video=b"mp4 bytes")
    answer = http.post(f"{original}/remix", json={"prompt": "a dog", "from_section": 1})
    assert answer.status_code == 200, answer.text
    return f"/v1/videos/{answer.json()['id']}"


def test_a_section_that_a_remix_shares_is_not_made_again(
    http: TestClient, hand: Hand, store: FolderStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remix has another prompt: its worker would make another section. Orders that start from it wait."""
    path = remixed(http, hand)
    hand.finish()
    video = path.rpartition("/")[2]
    shared = {key.rpartition("/")[2].partition(".")[0]: key for key in store.list(f"jobs/{video}/shared/")}
    assert {"section-0", "preview-0", "clip-0"} <= set(shared)
    before = store.list(f"jobs/{video}/log/")
    repair = ["fsck", "--storage", str(store.root), "--json", "--repair"]

    def repaired() -> tuple[int, dict[str, str]]:
        capsys.readouterr()
        status = cli.main(repair)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return status, {line["key"]: line["detail"] for line in lines}

    (store.root / shared["preview-0"]).unlink()
    status, details = repaired()
    assert (status, list(details)) == (1, [shared["preview-0"]])
    assert "a remix shared this preview" in details[shared["preview-0"]]
    for name in ("section-0", "clip-0"):
        spoil(store.root / shared[name])
    status, details = repaired()
    assert (status, set(details)) == (1, {shared[name] for name in ("section-0", "preview-0", "clip-0")})
    assert "remix the original again, or ask without from_section" in details[shared["section-0"]]
    assert "its mp4 is whole: fetch it" in details[shared["section-0"]]
    assert store.list(f"jobs/{video}/log/") == before
    (store.root / before[0]).unlink()  # entry 0 names it
    assert repaired()[0] == 1
    hand.dispatcher.sweep()
    assert (http.get(path).json()["status"], store.list(f"jobs/{video}/log/")) == ("completed", before[1:])


def test_a_shared_clip_is_made_again_without_the_preview(http: TestClient, hand: Hand, store: FolderStore) -> None:
    """The shared section is whole, so its clip follows from it; that its preview is lost, too, changes nothing."""
    path = remixed(http, hand)
    hand.finish()
    video = path.rpartition("/")[2]
    for key in store.list(f"jobs/{video}/shared/"):
        if "/section" not in key:
            (store.root / key).unlink()
    assert cli.main(["fsck", "--storage", str(store.root), "--repair"]) == 1  # the preview
    hand.dispatcher.sweep()
    order = hand.take()
    assert str(order.key) == "decode/0"
    hand.commit(order, clip=b"x")
    assert http.get(path).json()["status"] == "completed"


def test_a_remix_ends_with_words_if_its_shared_section_is_lost(
    http: TestClient, hand: Hand, store: FolderStore
) -> None:
    """Its next section starts from the lost one: the error names the cure, and no order makes the section again."""
    path = remixed(http, hand)
    hand.commit(hand.take(), conditioning=b"x")
    order = hand.take()
    assert str(order.key) == "section/1"
    (store.root / order.needs["section/0"].key).unlink()
    where = {"job": order.job.id, "key": order.key, "attempt": order.attempt, "worker": hand.card.id}
    hand.dispatcher.give_up(Failure.model_validate({**where, "code": "damaged", "message": "x"}))
    error = http.get(path).json()["error"]
    assert error["code"] == "damaged"
    assert "section/0: a remix shared it" in error["message"]
    assert "remix the original again, or ask without from_section" in error["message"]
    assert hand.dispatcher.ask(hand.card) == "go"


def test_a_damaged_file_and_what_is_no_file_are_found(http: TestClient, store: FolderStore, png: bytes) -> None:
    """A video that was made with the file has its own copy."""
    file = http.post("/v1/files", files={"file": ("a.png", png)}).json()["id"]
    http.post("/v1/videos", json={"prompt": "a", "input_reference": {"file_id": file}})
    assert found(store) == []
    [key] = store.list("files/")
    spoil(store.root / key)
    store.put_if_absent("files/local/x", b"")
    assert found(store) == [("damaged", key), ("foreign", "files/local/x")]


def test_a_damaged_note_of_a_script_and_what_is_none_are_found(store: FolderStore) -> None:
    """Both kinds of notes are read; a key that no script has would stay for ever."""
    session = ScriptSession(store, owner="local", name="s")
    event = session.answer(ScriptEvent(id="", door="", call="process", error="no"))
    session.set_sections(ScriptSections(numbers=(0,), files=()))
    assert found(store) == []
    keys = store.list("scripts/")
    assert len(keys) == 2
    assert any(event.id in key for key in keys)
    for key in keys:
        (store.root / key).write_bytes(b"{")
    store.put_if_absent("scripts/local/x", b"")
    assert found(store) == sorted([*(("damaged", key) for key in keys), ("foreign", "scripts/local/x")])


def test_damaged_presets_and_a_damaged_seal_are_found(http: TestClient, store: FolderStore) -> None:
    """They belong to no video, so nothing can repair them: the farm's answer and the finding say what helps."""
    assert http.put("/v1/presets/fine", json={"fields": {"crf": 18}}).status_code == 200
    store.put_if_absent("secrets/seal", bytes(32))
    assert found(store) == []
    preset, seal = store.root / "presets" / "local" / "00000001.json", store.root / "secrets" / "seal"
    preset.write_bytes(preset.read_bytes()[:-5])
    seal.write_bytes(bytes(31))
    said = {finding.key: finding for finding in Checker(store, now=time.time() + 1, grace_s=0.0).findings()}
    assert {key: one.kind for key, one in said.items()} == dict.fromkeys(
        ("presets/local/00000001.json", "secrets/seal"), "damaged"
    )
    assert all("or delete it" in one.cure for one in said.values())
    assert "presets of this owner" in said["presets/local/00000001.json"].detail
    assert "sign in again" in said["secrets/seal"].detail
    answer = http.get("/v1/presets")
    assert (answer.status_code, answer.json()["code"]) == (409, "damaged")
    assert "`framefarm fsck`" in answer.json()["detail"]
    assert "--repair" not in answer.json()["detail"]
