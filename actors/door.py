"""The ingress's way to the dispatcher: a Ray call with a short time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from typing_extensions import override

from actors.cluster import DISPATCHER, NAMESPACE
from farm.dispatch.news import DispatcherDoor, News, Place
from farm.errors import FarmError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
_ANSWER_S = 2.0  #: a dispatcher that restarts is back within this


def _asks(
    method: Callable[Concatenate[DispatcherDoor, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[RayDoor, P], Coroutine[Any, Any, T]]:
    """Make a door's method, which asks the actor's of the same name."""

    @wraps(method)
    async def ask(self: RayDoor, /, *args: P.args, **kwargs: P.kwargs) -> T:
        answer: T = await self._call(0.0, method.__name__, *args, **kwargs)
        return answer

    return ask


class RayDoor(DispatcherDoor):
    """Calls the dispatcher's actor. Raises: Unavailable if it does not answer."""

    def __init__(self) -> None:
        self._actor: Any = None  # looked up at the first call, and again after a failure

    nudge = _asks(DispatcherDoor.nudge)
    watch = _asks(DispatcherDoor.watch)
    move = _asks(DispatcherDoor.move)
    live = _asks(DispatcherDoor.live)
    lives = _asks(DispatcherDoor.lives)
    workers = _asks(DispatcherDoor.workers)
    waiting_for = _asks(DispatcherDoor.waiting_for)
    load = _asks(DispatcherDoor.load)
    worker_wish = _asks(DispatcherDoor.worker_wish)

    @override
    async def news(self, after: Place | None, *, timeout_s: float) -> News:
        answer: News = await self._call(timeout_s, "news", after, timeout_s=timeout_s)
        return answer

    async def _call(self, wait_s: float, method: str, /, *args: object, **kwargs: object) -> Any:
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
