"""list --watch: a list of videos that stays up to date until Ctrl-C."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from deploy.commands.connect import connect
from deploy.terminal.screen import put_line, say
from deploy.terminal.video_rows import table_of_videos
from farm.errors import ConfigError, Unavailable

#: of a line into a pipe; another eta_s alone is no news
_CHANGING = ("id", "status", "progress", "stage", "worker", "name", "prompt")
_LOOK_S = 1.0
_PATIENCE_S = 2.0  #: a farm that is silent for longer is away


class _Look(NamedTuple):
    """The farm's answer at one time."""

    videos: list[dict[str, Any]]
    trouble: str | None = None  #: why the farm said nothing


def watch_list(*, url: str | None, storage: str | None, as_json: bool, **query: Any) -> None:
    """Show the page of videos that `query` selects until Ctrl-C: a table on a terminal, else a line a change.

    If the farm goes away, say so and wait for it. as_json: print a changed video's object on a line, and
    {"id", "object": "video.gone"} for a video that left the list.
    Raises: as `FarmClient.list` at the first look; KeyboardInterrupt.
    """
    looks = _looks(url, storage, query)
    if sys.stdout.isatty() and not as_json:
        _show(looks)
    else:
        _tell(looks, as_json=as_json)


def _looks(url: str | None, storage: str | None, query: Mapping[str, Any]) -> Iterator[_Look]:
    answered = False
    while True:
        try:  # again after each loss: a farm on this machine may come back at another port
            with connect(url=url, storage=storage, patience_s=_PATIENCE_S) as client:
                while True:
                    videos = client.list(**query)["data"]
                    answered = True
                    yield _Look(videos)
                    time.sleep(_LOOK_S)
        except (Unavailable, ConfigError) as err:  # ConfigError: no farm runs on this storage now
            if not answered:
                raise
            yield _Look([], str(err))
            time.sleep(_LOOK_S)


def _show(looks: Iterator[_Look]) -> None:
    """Keep one table up to date."""
    from rich.console import Console
    from rich.live import Live

    last: list[dict[str, Any]] = []
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        for look in looks:
            last = last if look.trouble else look.videos
            table = table_of_videos(last, width=console.width)
            table.caption = f"{look.trouble}; waiting for it" if look.trouble else None
            live.update(table, refresh=True)


def _tell(looks: Iterator[_Look], *, as_json: bool) -> None:
    """Print a line for each video that came, changed or left."""
    known: dict[str, tuple[Any, ...]] = {}
    trouble: str | None = None
    for look in looks:
        if bool(look.trouble) != bool(trouble):
            say(f"{look.trouble}; waiting for it" if look.trouble else "the farm answers again")
        trouble = look.trouble
        if trouble:
            continue
        seen = {video["id"]: tuple(video[name] for name in _CHANGING) for video in look.videos}
        for gone in known.keys() - seen.keys():
            _put({"id": gone, "object": "video.gone", "status": "gone"}, as_json=as_json)
        for video in reversed(look.videos):  # the newest last, as lines come
            if known.get(video["id"]) != seen[video["id"]]:
                _put(video, as_json=as_json)
        known = seen


def _put(row: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row), flush=True)
    else:
        put_line(_CHANGING, row)
