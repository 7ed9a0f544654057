"""framefarm batch where a farm has no room, goes away, or is used by others meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from deploy import cli
from deploy.batch import run as batch_run
from deploy.batch.wishes import wishes_of
from deploy.commands import batch as batch_command
from deploy.planner import EngineMedia, EnginePlanner
from farm.client import FarmClient
from farm.contract import JobId
from farm.ingress import create_app, posts
from farm.jobs import Jobs, Record
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere, Hand, serving
from tests.unit.deploy.test_batch_command import Out, photos, working
from tests.unit.deploy.test_until_ctrl_c import interrupted, line_of, running

__all__ = ["photos"]  # a fixture


@pytest.fixture
def small_farm(jobs: Jobs, door: DispatcherHere, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A farm where an owner may have two unfinished videos."""
    settings = FarmSettings(model="tiny", max_open_videos=2)
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    with TestClient(app, base_url="http://127.0.0.1:8000") as client, serving(client) as port:
        monkeypatch.setenv("FARM_URL", f"http://127.0.0.1:{port}")
        yield


def before_each_request(monkeypatch: pytest.MonkeyPatch, look: Callable[[httpx.Request], None]) -> None:
    """Call `look` first."""
    send = httpx.Client.send

    def looked(self: httpx.Client, request: httpx.Request, **how: Any) -> httpx.Response:
        look(request)
        return send(self, request, **how)

    monkeypatch.setattr(httpx.Client, "send", looked)


def asked_before(url: str, photos: Path) -> list[str]:
    """The videos of an earlier run, which was ended."""
    with FarmClient(url) as client:
        wishes = wishes_of(photos, {"prompt": "it looks up"}, pairs=False)
        return [client.submit(wish.fields, wish.images, key=wish.key)["id"] for wish in wishes]


@pytest.mark.usefixtures("small_farm")
def test_a_batch_larger_than_the_limit_is_sent_as_there_is_room(
    photos: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """It writes finished videos before it sends the last one, and says once that there is no room."""
    (photos / "cat.txt").write_text("it looks up\nit yawns\nit blinks\nit sleeps\n")
    out, written = photos.parent / "videos", list[int]()

    def look(request: httpx.Request) -> None:
        if request.method == "POST":
            written.append(len([*out.glob("*.mp4")]))

    before_each_request(monkeypatch, look)
    with working(hand, lambda: len(written) >= 3):  # the third one is refused
        assert cli.main(["batch", str(photos), "-o", str(out), "--seconds", "1"]) == 0
    assert len([*out.glob("*.mp4")]) == 5
    assert written[-1] >= 1
    words = capsys.readouterr().err
    assert words.count("2 at the farm, 3 not sent yet") == 1
    assert "1 of 5, 3 not sent yet" in words
    assert "5 of 5" in words


@pytest.mark.usefixtures("small_farm")
def test_a_farm_full_of_others_videos_is_asked_when_it_says(
    photos: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the batch's videos can end then, so it waits for as long as the refusal says."""
    others, waits = asked_before(os.environ["FARM_URL"], photos), list[float]()

    def sleep(seconds: float) -> None:
        with FarmClient(os.environ["FARM_URL"]) as client:
            while others:
                client.wish(others.pop(), "cancel")
        waits.append(seconds)  # now the worker begins

    monkeypatch.setattr(posts, "_QUOTA_RETRY_S", 7)
    monkeypatch.setattr(batch_run, "time", SimpleNamespace(sleep=sleep))
    with working(hand, lambda: bool(waits)):
        argv = ["batch", str(photos), "-o", str(photos.parent / "videos"), "--prompt", "it sleeps", "--seconds", "1"]
        assert cli.main(argv) == 0
    assert set(waits) == {7.0}


@pytest.mark.usefixtures("small_farm")
def test_ctrl_c_says_how_many_were_not_sent(photos: Path) -> None:
    """They are not left to the farm: it has not heard of them."""
    (photos / "cat.txt").write_text("it looks up\nit yawns\nit blinks\nit sleeps\n")
    with running("batch", str(photos), "-o", str(photos.parent / "videos"), "--seconds", "1") as process:
        while "3 not sent yet" not in line_of(process.stderr):
            assert process.poll() is None
        _, words = interrupted(process)
    assert "2 videos are left to the farm, 3 are not sent yet; run the same command to come back" in words


@pytest.mark.parametrize("erased", [False, True])
def test_a_video_that_somebody_else_changes_meanwhile_ends_no_batch(
    farm_url: str, photos: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch, capsys: Out, *, erased: bool
) -> None:
    """A paused one that somebody resumes is made; one that somebody erases is refused; the other one is made."""
    cat = JobId(asked_before(farm_url, photos)[0])
    hand.jobs.wish(cat, "pause", owner="local")

    def look(request: httpx.Request) -> None:
        if request.url.path.endswith("/resume"):
            hand.jobs.wish(cat, "cancel" if erased else "resume", owner="local")
            if erased:
                hand.jobs.delete(cat, owner="local")

    before_each_request(monkeypatch, look)
    argv = ["batch", str(photos), "-o", str(photos.parent / "videos"), "--prompt", "it looks up", "--json"]
    with working(hand):
        assert cli.main(argv) == int(erased)
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["refused" if erased else "completed", "completed"]


def test_a_video_erased_between_two_pages_ends_no_batch(
    farm_url: str,
    photos: Path,
    hand: Hand,
    accept: Callable[..., Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next page begins after it; the videos are found all the same."""
    asked_before(farm_url, photos)
    for _ in range(100):
        hand.jobs.wish(accept().job.id, "cancel", owner="local")
    erased = list[str]()

    def look(request: httpx.Request) -> None:
        if after := request.url.params.get("after"):
            hand.jobs.delete(JobId(after), owner="local")
            erased.append(after)

    before_each_request(monkeypatch, look)

    with working(hand, lambda: bool(erased)):
        assert cli.main(["batch", str(photos), "-o", str(photos.parent / "videos"), "--prompt", "it looks up"]) == 0
    assert len(erased) == 1


@pytest.mark.parametrize("made", [False, True])
def test_a_farm_that_goes_away_at_a_download_makes_nothing_count_twice(
    farm_url: str, photos: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch, capsys: Out, *, made: bool
) -> None:
    """Two rows of one video, made by an earlier run or by this one: each is written once."""
    monkeypatch.setattr(batch_command, "_PATIENCE_S", 0.1)
    table = photos / "shots.csv"
    table.write_text("image,prompt,file\ncat.jpg,it yawns,one\ncat.jpg,it yawns,two\n")
    out, seen = photos.parent / "videos", list[str]()
    if made:
        with FarmClient(farm_url) as client:
            wish = wishes_of(table, {}, pairs=False)[0]
            client.submit(wish.fields, wish.images, key=wish.key)
        hand.dispatcher.sweep()
        hand.finish()

    def look(request: httpx.Request) -> None:
        seen.append(request.url.path.rsplit("/", 1)[-1])
        later = seen[seen.index("content") + 1 :] if "content" in seen else []
        if seen[-1] == "content" and "content" in later and "models" not in later[later.index("content") :]:
            raise httpx.ConnectError("away")

    before_each_request(monkeypatch, look)
    with working(hand):
        assert cli.main(["batch", str(table), "-o", str(out)]) == 0
    assert {path.name for path in out.glob("*.mp4")} == {"one.mp4", "two.mp4"}
    words = capsys.readouterr().err
    assert "the farm answers again" in words
    assert words.count("2 of 2") == 1
    assert "3 of 2" not in words
    assert seen[-1] == "content"
    assert seen[::-1][: seen[::-1].index("models")].count("content") == 1
