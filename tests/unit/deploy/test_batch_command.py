"""framefarm batch: a folder of photos becomes a folder of videos, in as many runs as it takes."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from deploy import cli
from deploy.commands import batch as batch_command
from farm.contract import JobId, Order
from farm.jobs import Jobs
from farm.ledger.states import ErrorInfo, Event
from tests.imports import ROOT
from tests.unit.conftest import Hand, serving
from tests.unit.deploy.test_until_ctrl_c import interrupted, line_of, running

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
def working(hand: Hand, begins: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """All that is asked for is made meanwhile, once the worker `begins`."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            if begins():
                hand.dispatcher.sweep()
                hand.finish()
            time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_each_photo_becomes_a_file(farm_url: str, photos: Path, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """With its prompt; a second run writes nothing and asks for nothing; a lost file's video is found again."""
    out = photos.parent / "videos"
    argv = ["batch", str(photos), "-o", str(out), "--prompt", "it looks up", "--seconds", "1"]
    with working(hand):
        assert cli.main(argv) == 0
    assert sorted(capsys.readouterr().out.split()) == [str(out / "cat.mp4"), str(out / "teal.mp4")]
    keys = jobs.store.list("owners/local/")
    prompts = {jobs.get(key[-38:], owner="local").job.request.prompt for key in keys}
    assert prompts == {"it looks up", "it ripples"}
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == ""
    (out / "cat.mp4").unlink()
    assert cli.main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["path"] == str(out / "cat.mp4")
    assert jobs.store.list("owners/local/") == keys


@pytest.mark.usefixtures("farm_url")
def test_a_changed_prompt_photo_or_flag_becomes_a_new_take(
    photos: Path, png: bytes, hand: Hand, jobs: Jobs, capsys: Out
) -> None:
    """Beside the old one, which stays; going back to the old wish finds the old file."""
    out = photos.parent / "videos"
    argv = ["batch", str(photos), "-o", str(out), "--prompt", "it looks up"]

    def files(*more: str) -> set[str]:
        assert cli.main([*argv, "--seconds", "1", *more]) == 0
        return {path.name for path in out.glob("*.mp4")}

    with working(hand):
        assert files() == {"cat.mp4", "teal.mp4"}
        (photos / "teal.txt").write_text("it glows")
        assert files() == {"cat.mp4", "teal.mp4", "teal-2.mp4"}
        assert "teal.mp4 stays as it is; the new take is teal-2.mp4" in capsys.readouterr().err
        (photos / "cat.jpg").write_bytes(png)
        assert files() == {"cat.mp4", "cat-2.mp4", "teal.mp4", "teal-2.mp4"}
        assert len(files("--seed", "7")) == 6
        (photos / "teal.txt").write_text("it ripples")
        assert len(files()) == 6


@pytest.mark.usefixtures("farm_url")
def test_prompts_pairs_and_texts_without_a_photo(photos: Path, png: bytes, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """A line of a .txt is a video; NAME_end is the last picture of NAME; a lonely .txt is named."""
    out = photos.parent / "videos"
    (photos / "teal.txt").write_text("it ripples\n\nit glows\n")
    (photos / "cat_end.png").write_bytes(png)
    (photos / "dog.txt").write_text("it barks")
    with working(hand):
        argv = ["batch", str(photos), "-o", str(out), "--prompt", "it looks up", "--seconds", "1", "--pairs", "--json"]
        assert cli.main(argv) == 0
    text, words = capsys.readouterr()
    rows = {row["file"]: row for row in json.loads(text)}
    assert rows.keys() == {"cat.mp4", "teal-1.mp4", "teal-2.mp4"}
    assert "dog.txt: there is no photo dog beside it" in words
    asked = {name: jobs.get(JobId(row["id"]), owner="local").job for name, row in rows.items()}
    assert asked["teal-2.mp4"].request.prompt == "it glows"
    assert "end" in asked["cat.mp4"].inputs
    assert "end" not in asked["teal-1.mp4"].inputs


def test_a_report_lies_beside_the_videos(farm_url: str, photos: Path, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """report.csv and report.json: a row for each wish, those of earlier runs too; a table on stderr."""
    out = photos.parent / "videos"
    (photos / "d.jpg").write_bytes(b"junk")
    argv = ["batch", str(photos), "-o", str(out), "--prompt", "it looks up", "--seconds", "1", "--seed", "7"]
    with working(hand):
        for _ in range(2):
            assert cli.main(argv) == 1
    with (out / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "id", "status", "seconds", "seed", "error"]
    assert [(row["file"], row["status"]) for row in rows] == [
        ("cat.mp4", "completed"),
        ("", "refused"),
        ("teal.mp4", "completed"),
    ]
    assert [(row["seconds"], row["seed"]) for row in rows] == [("1.23", "7"), ("", ""), ("1.23", "7")]
    assert "not a readable image" in rows[1]["error"]
    assert [row["id"] for row in json.loads((out / "report.json").read_text())] == [row["id"] or None for row in rows]
    assert "FILE" in capsys.readouterr().err


def test_a_table_of_wishes(farm_url: str, photos: Path, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """Any field of a request is a column; flags are for what a row leaves out; pictures lie beside the table."""
    out = photos.parent / "videos"
    (photos / "shots.csv").write_text(
        'image,prompt,seed,file\ncat.jpg,"it looks\nup, slowly",3,\nteal.png,it glows,,glow.mp4\ncat.jpg,it yawns,,\n'
    )
    (photos / "shots.jsonl").write_text('{"image": "teal.png", "prompt": "it melts", "seed": 5, "name": "melt"}\n\n')
    with working(hand):
        assert cli.main(["batch", str(photos / "shots.csv"), "-o", str(out), "--seconds", "1", "--seed", "9"]) == 0
        assert cli.main(["batch", str(photos / "shots.jsonl"), "-o", str(out), "--seconds", "1"]) == 0
    assert {path.name for path in out.glob("*.mp4")} == {"cat.mp4", "cat-2.mp4", "glow.mp4", "melt.mp4"}
    requests = [jobs.get(key[-38:], owner="local").job.request for key in jobs.store.list("owners/local/")]
    assert {(request.prompt, request.seed, request.seconds) for request in requests} == {
        ("it looks\nup, slowly", 3, 1.0),
        ("it glows", 9, 1.0),
        ("it yawns", 9, 1.0),
        ("it melts", 5, 1.0),
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (("a.csv", "image,prompt\ncat.jpg,good\ncat.jpg,\nnone.jpg,x\n"), ["line 3: prompt", "line 4: ", "not a file"]),
        (("a.csv", "image,prompt,lenght\ncat.jpg,good,\n"), ["line 1: no column lenght"]),
        (("a.csv", "image,prompt\ncat.jpg,good,more\n"), ["line 2: it has more cells"]),
        (("a.csv", "image,prompt,seconds\ncat.jpg,good,-1\n"), ["line 2: seconds"]),
        (
            ("a.jsonl", '{"image": "cat.jpg", "prompt": "good"}\n{"image"\n[]\n'),
            ["line 2: this is not JSON", "line 3: "],
        ),
        (("a.csv", ""), ["has no rows"]),
    ],
)
@pytest.mark.usefixtures("farm_url")
def test_a_bad_row_is_named_before_anything_is_sent(
    photos: Path, jobs: Jobs, capsys: Out, table: tuple[str, str], said: list[str]
) -> None:
    """By its line, each of them; the good rows wait for the table to be put right."""
    name, text = table
    (photos / name).write_text(text)
    assert cli.main(["batch", str(photos / name), "-o", str(photos.parent / "videos")]) == 2
    words = capsys.readouterr().err
    assert [word for word in said if word not in words] == []
    assert jobs.open_ids() == []


def test_a_farm_that_goes_away_is_waited_for(
    http: TestClient, photos: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """It says that the videos are safe, and goes on when the farm is back."""
    monkeypatch.setattr(batch_command, "_PATIENCE_S", 0.2)
    out, ended = photos.parent / "videos", list[int]()
    argv = ["batch", str(photos), "-o", str(out), "--prompt", "it looks up", "--seconds", "1"]
    with contextlib.ExitStack() as farm:
        port = farm.enter_context(serving(http))
        monkeypatch.setenv("FARM_URL", f"http://127.0.0.1:{port}")
        thread = threading.Thread(target=lambda: ended.append(cli.main(argv)), daemon=True)
        thread.start()
        while len(hand.jobs.open_ids()) < 2:
            time.sleep(0.01)
        farm.close()
        said = ""
        while "your videos are safe" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
        with serving(http, port), working(hand):
            thread.join()
    assert ended == [0]
    assert sorted(path.name for path in out.glob("*.mp4")) == ["cat.mp4", "teal.mp4"]


def test_ctrl_c_leaves_the_videos_to_the_farm(farm_url: str, photos: Path, jobs: Jobs) -> None:
    """It says how many, and how to come back; the report says which."""
    out = photos.parent / "videos"
    with running("batch", str(photos), "-o", str(out), "--prompt", "it looks up", "--seconds", "1") as process:
        for _ in range(2):  # it has heard of each that the farm has it
            assert "queued" in line_of(process.stderr)
        code, words = interrupted(process)
    assert code == 130
    assert "2 videos are left to the farm; run the same command to come back" in words
    assert [row["status"] for row in json.loads((out / "report.json").read_text())] == ["unfinished"] * 2
    assert {jobs.get(job, owner=None).head.state.status for job in jobs.open_ids()} == {"queued"}


def test_one_stream_follows_them_all(
    http: TestClient, photos: Path, png: bytes, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a POST and a download each, a batch asks the farm a few things, however long it takes."""
    for number in range(8):
        (photos / f"more{number}.png").write_bytes(png)
    seen = list[str]()
    send = httpx.Client.send

    def noted(self: httpx.Client, request: httpx.Request, **how: Any) -> httpx.Response:
        seen.append(request.method)
        return send(self, request, **how)

    monkeypatch.setattr(httpx.Client, "send", noted)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            hand.dispatcher.sweep()
            if isinstance(order := hand.dispatcher.ask(hand.card), Order):
                for step in range(1, 20):
                    hand.report(order, step=step)
                    time.sleep(0.002)
                names = {"encode": "conditioning", "section": "section", "decode": "clip", "finish": "video"}
                hand.commit(order, **{names[order.key.stage]: b"x"})

    with serving(http) as port:
        monkeypatch.setenv("FARM_URL", f"http://127.0.0.1:{port}")
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert cli.main(["batch", str(photos), "-o", str(photos.parent / "v"), "--prompt", "x", "--seconds", "1"]) == 0
        over.set()
        thread.join()
    assert seen.count("POST") == 10
    assert len(seen) <= 10 + 10 + 5


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
    with working(hand):
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


@pytest.mark.usefixtures("farm_url")
@pytest.mark.parametrize("odd", ["\u2028", "\u2029"])
def test_odd_letters_of_a_prompt_end_no_row(photos: Path, hand: Hand, jobs: Jobs, odd: str) -> None:
    """A prompt that comes from a web page may have them; it stays one video, in each kind of file."""
    prompt, out = f"it looks{odd}up", str(photos.parent / "videos")
    (photos / "a.jsonl").write_text(json.dumps({"prompt": prompt, "image": "cat.jpg"}, ensure_ascii=False))
    (photos / "a.csv").write_text(f"image,prompt\ncat.jpg,{prompt}\n")
    (photos / "teal.txt").write_text(prompt)
    (photos / "cat.txt").write_text(prompt)
    with working(hand):
        for source in (photos / "a.jsonl", photos / "a.csv", photos):
            assert cli.main(["batch", str(source), "-o", out, "--seconds", "1"]) == 0
    found = [jobs.get(key[-38:], owner="local").job.request.prompt for key in jobs.store.list("owners/local/")]
    assert found == [prompt] * 2


def test_what_no_worker_can_make_is_refused(farm_url: str, photos: Path, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """An attention that no worker has: each photo is refused with the reason, and nothing waits for ever."""
    hand.dispatcher.ask(hand.card)
    command = ["batch", str(photos), "-o", str(photos.parent / "videos"), "--prompt", "a"]
    assert cli.main([*command, "--attention", "sage"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "attention: no worker has sage; there are sdpa" in said
    assert jobs.open_ids() == []
