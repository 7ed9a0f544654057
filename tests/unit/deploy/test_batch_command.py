"""framefarm batch: a folder of photos becomes a folder of videos, in as many runs as it takes."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy import cli
from farm.jobs import Jobs
from farm.ledger.states import ErrorInfo, Event
from tests.imports import ROOT
from tests.unit.conftest import Hand

CAT = ROOT / "examples" / "cat.jpg"
Out = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path, png: bytes) -> Path:
    """Two photos, one with a prompt of its own, and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(CAT, folder / "cat.jpg")
    (folder / "teal.png").write_bytes(png)
    (folder / "teal.txt").write_text("it ripples\n")
    (folder / "notes.md").write_text("no photo")
    return folder


@contextmanager
def working(hand: Hand, jobs: Jobs) -> Iterator[None]:
    """Whatever is asked for is made meanwhile."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            hand.dispatcher.sweep()
            hand.finish()
            time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def test_each_photo_becomes_a_file(farm_url: str, photos: Path, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """With its prompt; a second run writes nothing and asks for nothing; a lost file's video is found again."""
    out = photos.parent / "videos"
    argv = ["batch", str(photos), "-o", str(out), "--prompt", "it looks up", "--seconds", "1"]
    with working(hand, jobs):
        assert cli.main(argv) == 0
    assert sorted(capsys.readouterr().out.split()) == [str(out / "cat.mp4"), str(out / "teal.mp4")]
    keys = jobs.store.list("owners/local/")
    prompts = {jobs.get(key[-38:], owner="local").job.request.prompt for key in keys}
    assert prompts == {"it looks up", "it ripples"}
    assert cli.main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    (out / "cat.mp4").unlink()
    assert cli.main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["path"] == str(out / "cat.mp4")
    assert jobs.store.list("owners/local/") == keys


def test_one_that_fails_is_told_and_the_others_are_made(
    farm_url: str, photos: Path, hand: Hand, jobs: Jobs, capsys: Out
) -> None:
    """Exit 1; the words name the file and the way out."""
    argv = ["batch", str(photos), "-o", str(photos.parent / "videos"), "--prompt", "it looks up", "--seconds", "1"]

    def work() -> None:
        while len(found := [job for job in jobs.open_ids() if jobs.sweep(job)]) < 2:  # a marker comes before its video
            time.sleep(0.01)
        error = ErrorInfo(code="nan", message="the picture is black")
        jobs.ledger.append(found[0], Event(name="failed", error=error))
        hand.dispatcher.sweep()
        hand.finish()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert cli.main([*argv, "--json"]) == 1
    worker.join()
    rows, words = capsys.readouterr()
    assert sorted(row["status"] for row in json.loads(rows)) == ["completed", "failed"]
    assert "the picture is black" in words
    assert "framefarm retry" in words


def test_bad_photos_are_named_and_the_good_ones_are_made(
    farm_url: str, photos: Path, hand: Hand, jobs: Jobs, capsys: Out
) -> None:
    """Exit 1; each bad photo has its reason. Hidden files, such as those that macOS writes, are no photos."""
    png = (photos / "teal.png").read_bytes()
    (photos / "d.jpg").write_bytes(b"junk")
    (photos / "._cat.jpg").write_bytes(b"junk")
    (photos / ".hidden.png").write_bytes(png)
    (photos / "x.jpeg").write_bytes(png)
    (photos / "x.png").write_bytes(png)
    (photos / "latin.png").write_bytes(png)
    (photos / "latin.txt").write_bytes("un été".encode("latin-1"))
    (photos / "folder.png").mkdir()
    out = photos.parent / "videos"
    with working(hand, jobs):
        argv = ["batch", str(photos), "-o", str(out), "--prompt", "it looks up", "--seconds", "1", "--json"]
        assert cli.main(argv) == 1
    text, words = capsys.readouterr()
    rows = json.loads(text)
    made = {row["path"] for row in rows if row["status"] == "completed"}
    assert made == {str(out / "cat.mp4"), str(out / "teal.mp4")}
    refused = {Path(row["photo"]).name: row["error"] for row in rows if row["status"] == "refused"}
    reasons = {
        "d.jpg": "not a readable image",
        "folder.png": "not a file",
        "latin.png": "UTF-8",
        "x.jpeg": "x.jpeg and x.png would share x.mp4",
        "x.png": "x.jpeg and x.png would share x.mp4",
    }
    assert refused.keys() == reasons.keys()
    assert all(reason in refused[name] and f"{name}: {refused[name]}" in words for name, reason in reasons.items())


def test_a_photo_without_a_prompt_is_named(farm_url: str, photos: Path, jobs: Jobs, capsys: Out) -> None:
    """So is a text that is no prompt."""
    (photos / "teal.txt").write_text(" ")
    assert cli.main(["batch", str(photos), "-o", str(photos.parent / "videos")]) == 1
    words = capsys.readouterr().err
    assert "cat.jpg: it has no prompt: write cat.txt, or pass --prompt" in words
    assert "teal.png: it has no prompt" in words
    assert jobs.open_ids() == []


def test_usage_is_checked_before_anything_is_asked_for(farm_url: str, photos: Path, jobs: Jobs, capsys: Out) -> None:
    """A folder without photos, and none at all."""
    out = str(photos.parent / "videos")
    empty = photos.parent / "empty"
    empty.mkdir()
    for folder, word in ((empty, "no photos"), (photos / "nowhere", "not a folder")):
        assert cli.main(["batch", str(folder), "-o", out]) == 2
        assert word in capsys.readouterr().err
    assert jobs.open_ids() == []
