"""Ask the farm for all videos of a batch, follow them by one stream, and write each as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.batch.board import BatchBoard
from deploy.batch.report import Row, row_of
from deploy.batch.takes import Takes
from deploy.batch.wishes import Wish
from deploy.terminal.screen import say
from deploy.terminal.video_ids import short
from farm.errors import (
    ConfigError,
    FarmError,
    InvalidRequest,
    Overloaded,
    Quota,
    TooLarge,
    Unavailable,
    UnsupportedImage,
)

if TYPE_CHECKING:
    from farm.client import FarmClient

_ENDED = {"completed", "failed", "cancelled"}
_FULL_S = 10.0  #: until a farm without room is asked again
_AWAY_S = 2.0


class Batch:
    """The wishes of a batch and what became of each. `run` may be called again after any error."""

    def __init__(self, wishes: Sequence[Wish], takes: Takes, board: BatchBoard) -> None:
        """Judge what is there already; ask nothing yet."""
        self._takes, self._board = takes, board
        self._rows = dict[int, Row]()  # by the wish's place
        self._targets = dict[int, Path]()
        self._keys = dict[int, str]()
        self._ids = dict[str, list[int]]()  # video -> the wishes that it fulfils
        self._open = list[int]()  # not asked for yet
        self._wishes = wishes
        for place, wish in enumerate(wishes):
            self._judge(place, wish)
        board.begin(len(self._open))

    def _judge(self, place: int, wish: Wish) -> None:
        if wish.fault:
            self._refuse(place, wish.fault)
            return
        try:
            key = self._keys[place] = wish.key
        except OSError as err:
            self._refuse(place, f"it cannot be read: {err.strerror}")
            return
        if (row := self._takes.made(wish, key)) is not None:
            self._rows[place] = row
            say(f"{row['path']} exists already")
            return
        target = self._targets[place] = self._takes.target(wish, key)
        if target.stem != wish.name:
            say(f"{wish.source}: {wish.name}.mp4 stays as it is; the new take is {target.name}")
        self._open.append(place)

    @property
    def rows(self) -> list[Row]:
        """What became of each wish so far, in order."""
        return [
            self._rows.get(place) or row_of(wish.source, None, None, status="unfinished")
            for place, wish in enumerate(self._wishes)
        ]

    @property
    def unfinished(self) -> int:
        """How many wishes the farm still works at, or has not heard of."""
        return len(self._wishes) - len(self._rows)

    def run(self, client: FarmClient) -> None:
        """Ask for what was not asked for yet, and write what is made, until nothing is left. Raises: Unavailable."""
        while self._open:
            self._ask(client, self._open[0])
            self._open.pop(0)
        if self._ids:
            self._follow(client)

    def _ask(self, client: FarmClient, place: int) -> None:
        """Ask for a video under a key made of its content, so a second run finds the same video."""
        wish = self._wishes[place]
        try:
            video = _patiently(lambda: client.submit(wish.fields, wish.images, key=self._keys[place]))
            if video["status"] == "paused":
                client.wish(video["id"], "resume")
        except (InvalidRequest, UnsupportedImage, TooLarge) as err:
            self._refuse(place, str(err))
        except OSError as err:
            self._refuse(place, f"it cannot be read: {err.strerror}")
        else:
            self._ids.setdefault(video["id"], []).append(place)
            self._board.asked(video, self._targets[place].name)
            if video["status"] in _ENDED:
                self._end(client, video)

    def _follow(self, client: FarmClient) -> None:
        """Follow one stream of all events. It says `hello` first; the list that follows leaves no gap."""
        for event in client.events():
            if event.name in {"hello", "reset"}:
                for video in self._listed(client):
                    self._see(client, video)
            elif event.name == "video":
                self._see(client, event.data)
            elif event.name == "progress" and event.data["id"] in self._ids:
                self._board.show(event.data)
            elif event.name == "gone" and event.data["id"] in self._ids:
                self._lose(event.data["id"])
            if not self._ids:
                return

    def _listed(self, client: FarmClient) -> Iterator[Mapping[str, Any]]:
        """Yield the videos that we wait for, by as few questions as there are pages."""
        waited = set(self._ids)
        for video in client.every():
            if video["id"] in waited:
                waited.remove(video["id"])
                yield video
            if not waited:
                return
        for video_id in waited:
            self._lose(video_id)

    def _see(self, client: FarmClient, video: Mapping[str, Any]) -> None:
        if video["id"] in self._ids and video["status"] in _ENDED:
            self._end(client, video)

    def _end(self, client: FarmClient, video: Mapping[str, Any]) -> None:
        """Write the files of an ended video, or say why there is none."""
        for place in self._ids[video["id"]]:
            wish, target, status, error = self._wishes[place], self._targets[place], video["status"], ""
            if status == "completed":
                try:
                    client.fetch(video["id"], target)
                except Unavailable:
                    raise
                except FarmError as err:
                    status, error = "failed", str(err)
            else:
                problem = video["error"] or {"message": "it was cancelled"}
                error = f"{problem['message']} (framefarm retry {short(video['id'])})"
            file = target if status == "completed" else None
            row = self._rows[place] = row_of(wish.source, file, video, status=status, error=error)
            if file is not None:
                self._takes.note(wish, self._keys[place], row)
            self._board.ended(video["id"], wish.source, target, error)
        del self._ids[video["id"]]

    def _lose(self, video_id: str) -> None:
        for place in self._ids.pop(video_id):
            self._refuse(place, "the video was erased from the farm")

    def _refuse(self, place: int, why: str) -> None:
        """Say why there will be no video."""
        wish = self._wishes[place]
        self._rows[place] = row_of(wish.source, None, None, status="refused", error=why)
        self._board.refused(wish.source, why)


def run_patiently(batch: Batch, connect: Callable[[], AbstractContextManager[FarmClient]]) -> None:
    """Run a batch to its end; wait for a farm that goes away. Raises: Unavailable, ConfigError if there is none."""
    answered = told = False
    while batch.unfinished:
        try:
            with connect() as client:
                client.models()
                if told:
                    say("the farm answers again")
                answered, told = True, False
                batch.run(client)
        except (Unavailable, ConfigError) as err:
            if not answered:
                raise
            if not told:
                say(f"{err}; your videos are safe. Waiting for the farm", style="yellow")
            told = True
            time.sleep(_AWAY_S)


def _patiently(submit: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Submit, and wait while the farm has no room: a folder may hold more photos than an owner's limit."""
    while True:
        try:
            return submit()
        except (Quota, Overloaded) as err:
            say(f"{err}; asking again in {_FULL_S:.0f} s")
            time.sleep(_FULL_S)
