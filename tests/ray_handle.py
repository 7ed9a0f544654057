"""A dispatcher in this process, as Ray's handle of its actor would be."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from farm.dispatch.dispatcher import Dispatcher


class RayHandle:
    """Passes each call on to the dispatcher; `called` names the methods, in order."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher, self.called = dispatcher, list[str]()

    def answer(self, method: str, *args: object) -> Any:
        """Return the dispatcher's answer to the caller, or raise its exception."""
        self.called.append(method)
        return getattr(self.dispatcher, method)(*args)

    def __getattr__(self, method: str) -> SimpleNamespace:
        """A method of the actor."""

        def remote(*args: object) -> SimpleNamespace:
            answer: Future[Any] = Future()
            try:
                answer.set_result(self.answer(method, *args))
            except Exception as err:  # noqa: BLE001 - the caller looks at it
                answer.set_exception(err)
            return SimpleNamespace(future=lambda: answer)

        return SimpleNamespace(remote=remote)
