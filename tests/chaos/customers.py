"""Owners who keep the farm busy: each asks for videos, waits for them, fetches them and compares."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farm.client import FarmClient
from farm.errors import Conflict, FarmError
from farm.keys import new_key
from tests.chaos.videos import REQUESTS, Made, made_of, photo
from tests.patience import patient

_PATIENCE_S = 240.0
_LOOK_S = 1.0
_WHIM = 0.1  #: how often, a look, an owner pauses a video, or lets a paused one go on


@dataclass
class Asked:
    """A video that the farm accepted."""

    id: str
    request: str  #: a name of REQUESTS
    status: str = "queued"
    made: Made | None = None
    trouble: str = ""


@dataclass
class Owner:
    """One of them, with a key of its own."""

    name: str
    folder: Path
    videos: list[Asked] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)  #: calls that failed although the client was patient
    whims: int = 0  #: how often a video was paused, or a paused one went on

    def __post_init__(self) -> None:
        self.key, self.entry = new_key(self.name)

    def client(self, url: str) -> FarmClient:
        """Its way to the farm: the client that users have."""
        return FarmClient(url, api_key=self.key, patience_s=patient(_PATIENCE_S))

    def ask(self, client: FarmClient, request: str) -> Asked:
        """Ask for a video. Raises: FarmError where it was not accepted."""
        fields = {"prompt": f"a cat, {request}", "name": request, "resolution": 64, **REQUESTS[request]}
        images = {} if fields["model"] == "tiny-f1" else {"input_reference": photo(self.folder / f"{self.name}.png")}
        video = Asked(client.submit(fields, images)["id"], request)
        self.videos.append(video)
        return video

    def look(self, client: FarmClient) -> list[Asked]:
        """Fetch what is complete; the videos that have not ended."""
        for video in self.videos:
            if video.status in {"queued", "in_progress", "paused"}:
                view = client.get(video.id)
                video.status = view["status"]
                video.trouble = str(view["error"] or "")
            if video.status == "completed" and video.made is None:
                latents = client.fetch(video.id, self.folder / f"{video.id}.safetensors", variant="latents")
                mp4 = client.fetch(video.id, self.folder / f"{video.id}.mp4")
                video.made = made_of(latents, mp4)
                latents.unlink()
                mp4.unlink()
        return [video for video in self.videos if video.status in {"queued", "in_progress", "paused"}]

    def change_mind(self, client: FarmClient, dice: random.Random) -> None:
        """Pause one of the open videos, or let a paused one go on; it may have ended just now."""
        if open_ones := [video for video in self.videos if video.status in {"queued", "in_progress", "paused"}]:
            video = dice.choice(open_ones)
            with contextlib.suppress(Conflict):
                client.wish(video.id, "resume" if video.status == "paused" else "pause")
                self.whims += 1

    def let_go_on(self, client: FarmClient) -> None:
        """Nothing stays paused."""
        for video in self.videos:
            if video.status == "paused":
                with contextlib.suppress(Conflict):
                    client.wish(video.id, "resume")


def keep_busy(
    owner: Owner, url: str, *, requests: Sequence[str], dice: random.Random, at_once: int, over: threading.Event
) -> None:
    """Keep `at_once` videos of the owner's going until `over`; now and then one is paused, or goes on."""
    with owner.client(url) as client:
        open_ones: list[Asked] = []
        while not over.is_set():
            try:
                while len(open_ones) < at_once and not over.is_set():
                    open_ones.append(owner.ask(client, dice.choice(requests)))
                open_ones = owner.look(client)
                if dice.random() < _WHIM:
                    owner.change_mind(client, dice)
            except FarmError as err:
                owner.troubles.append(f"{type(err).__name__}: {err}")
            over.wait(_LOOK_S)


def await_all(owner: Owner, url: str, *, seconds: float) -> None:
    """Wait until every video of the owner's has ended and is fetched. After `seconds`, leave the others open."""
    until = time.monotonic() + patient(seconds)
    with owner.client(url) as client:
        while time.monotonic() < until:
            try:
                if not owner.look(client):
                    return
                owner.let_go_on(client)
            except FarmError as err:
                owner.troubles.append(f"{type(err).__name__}: {err}")
            time.sleep(_LOOK_S)
