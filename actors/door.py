"""The ingress's way to the dispatcher: a Ray call with a short time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from typing_extensions import override

from actors.cluster import DISPATCHER, NAMESPACE
from farm.contract import JobId, LiveJob, Load, WorkerState, WorkerWish
from farm.dispatch.news import News, NewsDoor, Place
from farm.errors import FarmError, Unavailable
from farm.request import Move, VideoRequest

_ANSWER_S = 2.0  #: a dispatcher that restarts is back within this


class RayDoor(NewsDoor):
    """Calls the dispatcher's actor. Raises: Unavailable if it does not answer."""

    def __init__(self) -> None:
        self._actor: Any = None  # looked up at the first call, and again after a failure

    @override
    async def nudge(self, job: JobId, owner: str | None = None) -> None:
        await self._call("nudge", job, owner)

    @override
    async def watch(self, jobs: frozenset[JobId]) -> None:
        await self._call("watch", jobs)

    @override
    async def news(self, after: Place | None, *, timeout_s: float) -> News:
        answer: News = await self._call("news", after, wait_s=timeout_s, timeout_s=timeout_s)
        return answer

    @override
    async def move(self, job: JobId, move: Move) -> None:
        await self._call("move", job, move)

    @override
    async def live(self, job: JobId) -> LiveJob | None:
        answer: LiveJob | None = await self._call("live", job)
        return answer

    @override
    async def lives(self, jobs: Sequence[JobId]) -> Mapping[JobId, LiveJob]:
        answer: dict[JobId, LiveJob] = await self._call("lives", list(jobs))
        return answer

    @override
    async def workers(self) -> Sequence[WorkerState]:
        answer: list[WorkerState] = await self._call("workers")
        return answer

    @override
    async def waiting_for(self, request: VideoRequest) -> str | None:
        answer: str | None = await self._call("waiting_for", request)
        return answer

    @override
    async def load(self, owner: str) -> Load:
        answer: Load = await self._call("load", owner)
        return answer

    @override
    async def worker_wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        answer: WorkerState = await self._call("worker_wish", worker_id, wish)
        return answer

    async def _call(self, method: str, *args: object, wait_s: float = 0.0, **kwargs: object) -> Any:
        try:
            return await asyncio.wait_for(self._ask(method, *args, **kwargs), wait_s + _ANSWER_S)
        except RayTaskError as err:
            raise (err.cause if isinstance(err.cause, FarmError) else Unavailable(str(err.cause))) from err
        except (RayError, TimeoutError, ValueError) as err:  # ValueError: no actor of that name
            self._actor = None
            raise Unavailable("the dispatcher does not answer; it restarts by itself, ask again in a moment") from err

    async def _ask(self, method: str, *args: object, **kwargs: object) -> Any:
        if self._actor is None:
            self._actor = await asyncio.to_thread(ray.get_actor, DISPATCHER, namespace=NAMESPACE)
        return await asyncio.ensure_future(getattr(self._actor, method).remote(*args, **kwargs))
