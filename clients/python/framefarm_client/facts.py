"""The parts that `Farm` shares with `AsyncFarm`, and `Video` with `AsyncVideo`: all but the calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from framefarm_client.address import url_of
from framefarm_client.connection import Connection
from framefarm_client.values import Problem, Status
from framefarm_client.wires import Wire

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """The farm's last answer about a video. It does not change; `refresh` returns a new one."""

    id: str
    status: Status
    percent: int  #: 0 to 100
    prompt: str
    name: str
    labels: tuple[str, ...]
    model: str
    seed: int
    width: int  #: px
    height: int  #: px
    fps: int
    frame_count: int
    created_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None  #: when the farm erases it
    error: Problem | None
    eta_s: float | None  #: seconds until the end, as the farm estimates
    sections_done: int
    sections_total: int
    waiting_for: str | None  #: the requirement that it waits for while no worker makes it
    data: Mapping[str, Any] = field(repr=False, compare=False)  #: the whole video object, as HTTP has it
    farm: FarmBase[Any] = field(repr=False, compare=False)  #: where it lies

    @property
    def seconds(self) -> float:
        """The length that comes out, in seconds."""
        return self.frame_count / self.fps

    @classmethod
    def of(cls, data: Mapping[str, Any], farm: FarmBase[Any]) -> Self:
        """Read a video object. Fields that this version does not know stay in `data`."""
        width, _, height = data["size"].partition("x")
        problem = data["error"]
        return cls(
            id=data["id"],
            status=data["status"],
            percent=data["progress"],
            prompt=data["prompt"],
            name=data["name"],
            labels=tuple(data["labels"]),
            model=data["model"],
            seed=data["seed"],
            width=int(width),
            height=int(height),
            fps=data["fps"],
            frame_count=data["frames"],
            created_at=datetime.fromtimestamp(data["created_at"], UTC),
            completed_at=_time(data["completed_at"]),
            expires_at=_time(data["expires_at"]),
            error=Problem(code=problem["code"], message=problem["message"]) if problem else None,
            eta_s=data["eta_s"],
            sections_done=data["sections_done"],
            sections_total=data["sections_total"],
            waiting_for=data["waiting_for"],
            data=data,
            farm=farm,
        )

    def seen(self, data: Mapping[str, Any]) -> Self:
        """Return the same kind of video with what the farm says now."""
        return type(self).of(data, self.farm)


V = TypeVar("V", bound=VideoFacts)


class FarmBase(Generic[V]):
    """A connection to one farm, and the class of its videos."""

    connection: Connection
    _video: type[V]
    _wire: Callable[..., Wire]

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Find the farm; ask it nothing yet.

        url: its address; None: FARM_URL, or else the farm that runs on this machine. api_key: None: FARM_API_KEY.
        patience_s: for how many seconds a call is repeated while the farm does not answer. transport: replaces the
        network in tests.
        Raises: ConfigError if no farm is found, or for an address or a proxy that cannot be used.
        """
        key = api_key or os.environ.get("FARM_API_KEY") or None
        self.connection = Connection(
            self._wire, url or url_of(os.environ), api_key=key, patience_s=patience_s, transport=transport
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.connection.url!r})"

    def seen(self, data: Mapping[str, Any]) -> V:
        """Read a video object of this farm."""
        return self._video.of(data, self)


def _time(unix_s: float | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
