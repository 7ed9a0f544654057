"""Follow a farm's videos: a line for each event, for the person who watches the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

from deploy.node.tidings import Tidings
from deploy.terminal.durations import duration
from deploy.terminal.video_ids import short
from farm.contract import JobId, LiveJob
from farm.dispatch.news import News, Place
from farm.jobs import Record
from farm.ledger.states import OPEN, complete

_WAIT_S = 2.0  #: for news
_SHOWN = 3  #: videos that are named while they render


class Videos:
    """The unfinished videos of the farm, kept up to date by the dispatcher's news."""

    def __init__(self, tidings: Tidings, *, wall: Callable[[], float] = time.time) -> None:
        """`wall` is unix seconds."""
        self._tidings, self._wall = tidings, wall
        self._open: dict[JobId, tuple[Record, LiveJob]] = {}
        self._now = ""

    @property
    def unfinished(self) -> int:
        """How many videos will go on by themselves at the next start."""
        return sum(record.head.state.status != "paused" for record, _ in self._open.values())

    def hear(self, news: News) -> None:
        """Take in the changes; report each video that ended, and the videos that are rendered now."""
        if news.is_whole:
            self._open = {}
        for video in news.videos:
            was_open = self._open.pop(video.job, None)
            if video.record is not None and video.live is not None:
                self._open[video.job] = video.record, video.live
            elif video.record is not None and (was_open or not news.is_whole):
                self._tidings.tell("video", self._ended(video.record))
        if (now := self._busy()) != self._now:
            self._now = now
            self._tidings.tell("now", now)

    def _ended(self, record: Record) -> str:
        """Return the line of a video that ended."""
        state, job = record.head.state, record.job
        took = duration((state.ended_at or self._wall()) - job.created_ms / 1000)
        why = f" ({state.error.message})" if state.error else ""
        status = state.status if state.status in OPEN else f"{state.status} after {took}"
        return f"{short(job.id)} {status}{why}: {job.request.name or job.request.prompt}"

    def _busy(self) -> str:
        """Return what is rendered now, and how many videos wait."""
        running = [each for each in self._open.values() if each[0].head.state.status == "in_progress"]
        shares = [
            f"{short(record.job.id)} {int(100 * complete(record.job.plan, record.head.state, live.progress))} %"
            for record, live in running[:_SHOWN]
        ]
        if len(running) > _SHOWN:
            shares.append(f"{len(running) - _SHOWN} more")
        queued = sum(record.head.state.status == "queued" for record, _ in self._open.values())
        waiting = f"{queued} {'waits' if queued == 1 else 'wait'}" if queued else ""
        return "; ".join(filter(None, (f"rendering {', '.join(shares)}" if shares else "", waiting))) or "idle"


def follow_videos(dispatcher: Any, videos: Videos, over: Event) -> None:
    """Ask the dispatcher for news until `over` is set."""
    import ray

    place: Place | None = None
    while not over.is_set():
        try:
            news: News = ray.get(dispatcher.news.remote(place, timeout_s=_WAIT_S), timeout=10 * _WAIT_S)
        except ray.exceptions.RayError:  # it restarts: the next answer is whole again
            over.wait(_WAIT_S)
            continue
        place = news.place
        videos.hear(news)
        over.wait(_WAIT_S / 4)
