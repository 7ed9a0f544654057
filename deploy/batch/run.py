"""Ask the farm for all videos of a batch, follow them by one stream, and write each as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.batch.board import BatchBoard
from deploy.batch.report import Row, row_of
from deploy.batch.takes import Takes
from deploy.batch.wishes import Wish
from deploy.terminal.video_ids import short
from farm.errors import (
    Busy,
    ConfigError,
    Conflict,
    FarmError,
    InvalidRequest,
    NotFound,
    Overloaded,
    Quota,
    Unauthorized,
    Unavailable,
)
from framefarm_client.errors import rest_s

if TYPE_CHECKING:
    from farm.client import Event, FarmClient

_ENDED = {"completed", "failed", "cancelled"}
_OF_ALL = (Unavailable, ConfigError, Unauthorized)  #: errors that no other wish escapes
_AWAY_S = 2.0


class Batch:
    """The wishes of a batch and what became of each. `run` may be called again after any error."""

    def __init__(
        self,
        wishes: Sequence[Wish],
        takes: Takes,
        board: BatchBoard,
        check: Callable[[FarmClient, Mapping[str, Any]], None] = lambda _client, _fields: None,
    ) -> None:
        """Judge what is there already; ask nothing yet.

        check: whether a worker could make a video of these fields; raises InvalidRequest if none could.
        """
        self._takes, self.board, self._can_be_made = takes, board, check
        self._rows = dict[int, Row]()  # by the wish's place
        self._targets = dict[int, Path]()
        self._keys = dict[int, str]()
        self._ids = dict[str, list[int]]()  # video -> the wishes that it fulfils
        self._open = list[int]()  # not asked for yet
        self._wishes = wishes
        self._impossible = dict[tuple[Any, Any], str]()  # model and attention -> why no worker can make it, or ""
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
            self.board.tell(f"{row['path']} exists already")
            return
        target = self._targets[place] = self._takes.target(wish, key)
        if target.stem != wish.name:
            self.board.tell(f"{wish.source}: {wish.name}.mp4 stays as it is; the new take is {target.name}")
        self._open.append(place)

    @property
    def rows(self) -> list[Row]:
        """The state of each wish, in order."""
        return [
            self._rows.get(place) or row_of(wish.source, None, None, status="unfinished")
            for place, wish in enumerate(self._wishes)
        ]

    @property
    def unfinished(self) -> int:
        """How many wishes the farm still works at, or has not heard of."""
        return len(self._wishes) - len(self._rows)

    @property
    def unsent(self) -> int:
        """How many wishes the farm has not heard of."""
        return len(self._open)

    def run(self, client: FarmClient) -> None:
        """Ask for what was not asked for yet, and write what is made, until nothing is left.

        A farm without room is asked again when a video of ours ends; if it has none, when its refusal says.
        Raises: Unavailable, ConfigError, Unauthorized.
        """
        with closing(client.events()) as events:
            while self._open or self._ids:
                full = self._ask_all(client)
                self.board.sent(self.unfinished - self.unsent, self.unsent, str(full or ""))
                if self._ids and not isinstance(full, Busy):
                    self._follow(client, events)
                elif full:
                    time.sleep(rest_s(full))

    def _ask_all(self, client: FarmClient) -> Quota | Overloaded | None:
        """Ask for what is left while the farm has room; return why it has none."""
        while self._open:
            try:
                self._ask(client, self._open[0])
            except (Quota, Overloaded) as err:
                return err
        return None

    def _ask(self, client: FarmClient, place: int) -> None:
        """Ask for a video under a key made of its content, so a second run finds the same video.

        Raises: Quota, Overloaded; as `run`.
        """
        wish = self._wishes[place]
        try:
            self._check(client, wish.fields)
            video = client.submit(wish.fields, wish.images, key=self._keys[place])
            if video["status"] == "paused":
                video = _resumed(client, video["id"])
        except (Quota, Overloaded, *_OF_ALL):
            raise
        except (FarmError, OSError) as err:
            self._open.remove(place)
            self._refuse(place, f"it cannot be read: {err.strerror}" if isinstance(err, OSError) else str(err))
            return
        self._open.remove(place)
        self._ids.setdefault(video["id"], []).append(place)
        self.board.asked(video, self._targets[place].name)
        if video["status"] in _ENDED:
            self._end(client, video)

    def _check(self, client: FarmClient, fields: Mapping[str, Any]) -> None:
        """Ask once for each model and attention whether a worker could make it. Raises: InvalidRequest; as `run`."""
        kind = fields.get("model"), fields.get("attention")
        if kind not in self._impossible:
            try:
                self._can_be_made(client, fields)
            except InvalidRequest as err:
                self._impossible[kind] = str(err)
            else:
                self._impossible[kind] = ""
        if why := self._impossible[kind]:
            raise InvalidRequest(why)

    def _follow(self, client: FarmClient, events: Iterator[Event]) -> None:
        """Follow the stream of all events until nothing is left, or until a video ends and leaves room for another.

        The stream says `hello` first; the list that follows leaves no gap.
        """
        for event in events:
            ended = event.name == "gone" or (event.name == "video" and event.data["status"] in _ENDED)
            if event.name in {"hello", "reset"}:
                ended = sum(self._see(client, video) for video in self._listed(client)) > 0
            elif event.name == "video":
                self._see(client, event.data)
            elif event.name == "progress" and event.data["id"] in self._ids:
                self.board.show(event.data)
            elif event.name == "gone" and event.data["id"] in self._ids:
                self._lose(event.data["id"])
            if not self._ids or (ended and self._open):
                return

    def _listed(self, client: FarmClient) -> Iterator[Mapping[str, Any]]:
        """Yield the videos that we wait for, by as few questions as there are pages."""
        waited = set(self._ids)
        try:
            for video in client.every():
                if video["id"] in waited:
                    waited.remove(video["id"])
                    yield video
                if not waited:
                    return
        except NotFound:  # the last video of a page was erased before the next page was asked for
            pass
        for video_id in waited:
            try:
                yield client.get(video_id)
            except NotFound:
                self._lose(video_id)

    def _see(self, client: FarmClient, video: Mapping[str, Any]) -> bool:
        """Write a video of ours that has ended; tell whether it is one."""
        is_one = video["id"] in self._ids and video["status"] in _ENDED
        if is_one:
            self._end(client, video)
        return is_one

    def _end(self, client: FarmClient, video: Mapping[str, Any]) -> None:
        """Write the files of an ended video, or say why there is none."""
        places = self._ids[video["id"]]
        while places:
            place = places[0]
            wish, target, status, error = self._wishes[place], self._targets[place], video["status"], ""
            if status == "completed":
                try:
                    client.fetch(video["id"], target)
                except _OF_ALL:
                    raise
                except FarmError as err:
                    status, error = "failed", str(err)
            else:
                problem = video["error"] or {"message": "it was cancelled"}
                error = f"{problem['message']} (framefarm retry {short(video['id'])})"
            file = target if status == "completed" else None
            row = self._rows[place] = row_of(wish.source, file, video, status=status, error=error)
            places.pop(0)  # if the farm goes away at the next one, this one is not written again
            if file is not None:
                self._takes.note(wish, self._keys[place], row)
            self.board.ended(video["id"], wish.source, target, error)
        del self._ids[video["id"]]

    def _lose(self, video_id: str) -> None:
        for place in self._ids.pop(video_id):
            self._refuse(place, "the video was erased from the farm")

    def _refuse(self, place: int, why: str) -> None:
        """Say why there will be no video."""
        wish = self._wishes[place]
        self._rows[place] = row_of(wish.source, None, None, status="refused", error=why)
        self.board.refused(wish.source, why)


def run_patiently(batch: Batch, connect: Callable[[], AbstractContextManager[FarmClient]]) -> None:
    """Run a batch to its end; wait for a farm that goes away.

    Raises: Unavailable, ConfigError if there is none; Unauthorized.
    """
    answered = told = False
    while batch.unfinished:
        try:
            with connect() as client:
                client.models()
                if told:
                    batch.board.tell("the farm answers again")
                answered, told = True, False
                batch.run(client)
        except (Unavailable, ConfigError) as err:
            if not answered:
                raise
            if not told:
                batch.board.tell(f"{err}; your videos are safe. Waiting for the farm", style="yellow")
            told = True
            time.sleep(_AWAY_S)


def _resumed(client: FarmClient, video_id: str) -> dict[str, Any]:
    """Resume a paused video, unless somebody was faster."""
    try:
        return client.wish(video_id, "resume")
    except Conflict:
        return client.get(video_id)
