"""The clients: `Farm` and `AsyncFarm` with typed videos and the same names, `FarmClient` with JSON objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from framefarm_client import calls, farm_calls, video_calls
from framefarm_client.connection import Connection
from framefarm_client.facts import FarmBase, VideoFacts
from framefarm_client.wires import AsyncWire, BlockingWire, blocking, blocking_each, now

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, kw_only=True)
class Video(VideoFacts):
    """A video of a farm, as the farm described it when it was last asked."""

    refresh = blocking(video_calls.refresh)
    progress = blocking_each(video_calls.progress)
    wait = blocking(video_calls.wait)
    save = blocking(video_calls.save)
    frames = blocking_each(video_calls.frames)
    link = blocking(video_calls.link)
    pause = blocking(video_calls.pause)
    resume = blocking(video_calls.resume)
    cancel = blocking(video_calls.cancel)
    retry = blocking(video_calls.retry)
    edit = blocking(video_calls.edit)
    move = blocking(video_calls.move)
    remix = blocking(video_calls.remix)
    extend = blocking(video_calls.extend)
    delete = blocking(video_calls.delete)


@dataclass(frozen=True, kw_only=True)
class AsyncVideo(VideoFacts):
    """A video of a farm, as the farm described it when it was last asked."""

    refresh = video_calls.refresh
    progress = video_calls.progress
    wait = video_calls.wait
    save = video_calls.save
    frames = video_calls.frames
    link = video_calls.link
    pause = video_calls.pause
    resume = video_calls.resume
    cancel = video_calls.cancel
    retry = video_calls.retry
    edit = video_calls.edit
    move = video_calls.move
    remix = video_calls.remix
    extend = video_calls.extend
    delete = video_calls.delete


class Farm(FarmBase[Video]):
    """A farm, for programs without `await`. Several threads may share it."""

    _video, _wire = Video, BlockingWire

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    render = blocking(farm_calls.render)
    submit = blocking(farm_calls.submit)
    map = blocking_each(farm_calls.each)
    video = blocking(farm_calls.video)
    videos = blocking_each(farm_calls.videos)
    estimate = blocking(farm_calls.estimate)
    models = blocking(calls.models)
    workers = blocking(calls.workers)
    loras = blocking(calls.loras)
    close = blocking(farm_calls.close)


class AsyncFarm(FarmBase[AsyncVideo]):
    """A farm, for programs with `await`. All tasks of one event loop may share it."""

    _video, _wire = AsyncVideo, AsyncWire

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    render = farm_calls.render
    submit = farm_calls.submit
    map = farm_calls.each
    video = farm_calls.video
    videos = farm_calls.videos
    estimate = farm_calls.estimate
    models = calls.models
    workers = calls.workers
    loras = calls.loras
    close = farm_calls.close


class FarmClient:
    """A connection to one farm. It retries every call that a broken connection interrupts, for `patience_s`.

    `Farm` is the same with typed videos. Several threads may share a client.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises: ConfigError for an address, or a proxy of the environment, that cannot be used.

        url: with or without its scheme and `/v1`. transport: replaces the network in tests.
        """
        self.connection = Connection(BlockingWire, url, api_key=api_key, patience_s=patience_s, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        now(self.connection.wire.close())

    submit = blocking(calls.submit)
    estimate = blocking(calls.estimate)
    remix = blocking(calls.remix)
    extend = blocking(calls.extend)
    get = blocking(calls.get)
    list = blocking(calls.page)
    every = blocking_each(calls.every)
    wish = blocking(calls.wish)
    edit = blocking(calls.edit)
    move = blocking(calls.move)
    delete = blocking(calls.delete)
    link = blocking(calls.link)
    watch = blocking_each(calls.watch)
    events = blocking_each(calls.follow)
    fetch = blocking(calls.fetch)
    export = blocking(calls.export)
    import_archive = blocking(calls.import_archive)
    inspect = blocking(calls.inspect)
    upload = blocking(calls.upload)
    get_file = blocking(calls.get_file)
    files = blocking_each(calls.files)
    fetch_file = blocking(calls.fetch_file)
    delete_file = blocking(calls.delete_file)
    farm = blocking(calls.about)
    models = blocking(calls.models)
    loras = blocking(calls.loras)
    workers = blocking(calls.workers)
    worker_wish = blocking(calls.worker_wish)
    presets = blocking(calls.presets)
    save_preset = blocking(calls.save_preset)
    delete_preset = blocking(calls.delete_preset)
