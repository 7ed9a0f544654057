"""The terminal of `up` shows the start's steps, a line for each video that ended, the log's path and a plain end."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from deploy.node.child import last_words
from deploy.node.follow_videos import Videos
from deploy.node.tidings import Tidings, stopped
from deploy.terminal.up_screen import UpScreen
from deploy.terminal.video_ids import short
from farm.jobs import Jobs, Record
from tests.unit.conftest import DispatcherHere, Hand

Accept = Callable[..., Record]


def console(*, terminal: bool) -> Console:
    """A screen in memory."""
    return Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None, highlight=False)


def lines(screen: Console) -> str:
    """All that was written to it."""
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_terminal_shows_people_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log's path first; steps until it is ready; then a line a video; the last line says what goes on."""
    monkeypatch.setenv("TERM", "dumb")
    screen = console(terminal=True)
    with UpScreen(tmp_path / "new" / ".farm.log", screen) as up:
        assert up.log is not None
        up.begin()
        up.hear("step", "starting Ray")
        up.ready()
        up.run()
        up.hear("say", "no API keys")
        up.hear("now", "rendering [1e3f90c2] 46 %")
        up.hear("video", "1e3f90c2 completed after 28 s: A \x1bcat")
        up.hear("stopped", "2")
    head, *rest = lines(screen).splitlines()
    assert head == f"log: {tmp_path}/new/.farm.log"
    assert rest[:3] == ["starting the farm; about 20 s is usual", "  starting Ray", "no API keys"]
    assert rest[3][5:] == "  1e3f90c2 completed after 28 s: A \\u001bcat"
    assert rest[4:] == ["stopped; 2 videos will go on at the next start"]


def test_a_terminal_that_moves_shows_what_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line that changes."""
    monkeypatch.setenv("TERM", "xterm")
    screen = console(terminal=True)
    with UpScreen(tmp_path / "log", screen) as up:
        up.run()
        up.hear("now", "rendering [1e3f90c2] 46 %")
        screen.print("above")
        up.hear("stopped", "0")
    assert "rendering [1e3f90c2] 46 %" in lines(screen)
    assert lines(screen).rstrip().endswith("stopped")


def test_a_pipe_gets_the_log_itself(tmp_path: Path) -> None:
    """No file of its own, no line a video: the log beside it tells them; no colours."""
    screen = console(terminal=False)
    with UpScreen(tmp_path / "log", screen) as up:
        assert (up.log, up.log_path) == (None, None)
        up.begin()
        up.ready()
        up.run()
        up.hear("video", "1e3f90c2 completed after 28 s")
        up.hear("stopped", "1")
    assert "completed" not in lines(screen)
    assert lines(screen).endswith("stopped; 1 video will go on at the next start\n")
    assert "\x1b" not in lines(screen)
    assert not (tmp_path / "log").exists()


def test_a_video_is_told_when_it_ends(jobs: Jobs, door: DispatcherHere, hand: Hand, accept: Accept) -> None:
    """With how it ended; before, how far it is and how many wait; one that is paused does not go on by itself."""
    pipe = io.StringIO()
    videos = Videos(Tidings(pipe))
    place = None

    def hear() -> list[str]:
        nonlocal place
        news = door.dispatcher.news(place)
        place = news.place
        begun = len(pipe.getvalue())
        videos.hear(news)
        return pipe.getvalue()[begun:].splitlines()

    assert hear() == ["now idle"]
    first, second, third = (accept(name=name).job.id for name in ("one", "two\nlines", "three"))
    door.dispatcher.sweep()
    hand.commit(hand.take(), conditioning=b"x")
    assert hear() == [f"now rendering {short(first)} 4 %; 2 wait"]
    assert videos.unfinished == 3
    jobs.wish(third, "pause", owner="local")
    jobs.wish(second, "cancel", owner="local")
    for job in (second, third):
        door.dispatcher.nudge(job)
    told, now = hear()
    assert told.startswith(f"video {short(second)} cancelled after ")
    assert told.endswith(" s: two lines")
    assert now == f"now rendering {short(first)} 4 %"
    assert videos.unfinished == 1
    hand.finish()
    told, now = hear()
    assert told.startswith(f"video {short(first)} completed after ")
    assert now == "now idle"


def test_the_last_line() -> None:
    """In plain words."""
    assert [stopped(n) for n in (0, 1, 2)] == [
        "stopped",
        "stopped; 1 video will go on at the next start",
        "stopped; 2 videos will go on at the next start",
    ]


def test_why_a_farm_did_not_start(tmp_path: Path) -> None:
    """Its own word for it, wherever it stands in the log; else the log's end."""
    log = tmp_path / "log"
    log.write_text("a\nframefarm: cannot listen on 127.0.0.1:8000\n(raylet) noise\n")
    assert last_words(log) == "cannot listen on 127.0.0.1:8000"
    log.write_text("1\n2\n3\n4\n5\n6\n")
    assert last_words(log) == "2\n3\n4\n5\n6"
