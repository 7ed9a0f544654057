"""`Farm` and `Video` for programs without `await`, `AsyncFarm` and `AsyncVideo` for those with it: the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from framefarm_client import calls, farm_calls, video_calls
from framefarm_client.facts import FarmBase, VideoFacts
from framefarm_client.wires import AsyncWire, BlockingWire, blocking, blocking_each


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
