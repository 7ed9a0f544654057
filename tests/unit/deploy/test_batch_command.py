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


def test_usage_is_checked_before_anything_is_asked_for(farm_url: str, photos: Path, jobs: Jobs, capsys: Out) -> None:
    """A photo without a prompt, one whose prompt cannot be read, a folder without photos, and none at all."""
    out = str(photos.parent / "videos")
    empty, latin = photos.parent / "empty", photos.parent / "latin"
    empty.mkdir()
    latin.mkdir()
    shutil.copy(CAT, latin / "cat.jpg")
    (latin / "cat.txt").write_bytes("un été".encode("latin-1"))
    wrong = ((photos, "cat.txt"), (latin, "UTF-8"), (empty, "no photos"), (photos / "nowhere", "not a folder"))
    for folder, word in wrong:
        assert cli.main(["batch", str(folder), "-o", out]) == 2
        assert word in capsys.readouterr().err
    assert jobs.open_ids() == []
