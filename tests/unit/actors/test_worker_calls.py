"""How a worker calls the dispatcher: through its errors, and through its death."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayTaskError, RpcError

import actors.worker
from actors.worker import RenderWorker
from farm.errors import StoreError
from farm.settings import FarmSettings

Answers = Iterator[BaseException | str]
ORPHAN_S = 60.0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], str]:
    """What `ask` comes to where Ray gives these answers, one after another. Sleeping takes no time here."""
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def leave(code: int) -> None:
        raise SystemExit(code)

    def ask(answers: Answers) -> str:
        def remote() -> SimpleNamespace:
            answer: Future[str] = Future()
            given = next(answers)
            if isinstance(given, BaseException):
                answer.set_exception(given)
            else:
                answer.set_result(given)
            return SimpleNamespace(future=lambda: answer)

        actor = SimpleNamespace(ask=SimpleNamespace(remote=remote))
        monkeypatch.setattr("ray.get_actor", lambda *_, **__: actor)
        worker = object.__new__(RenderWorker)  # without Ray and without the thread that asks
        parts = {"_settings": FarmSettings(orphan_s=ORPHAN_S), "_id": "worker-0.a", "_stop": "go"}
        for name, part in parts.items():
            monkeypatch.setattr(worker, name, part, raising=False)
        answer: str = worker._call("ask")
        return answer

    monkeypatch.setattr(actors.worker, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(actors.worker, "os", SimpleNamespace(_exit=leave))
    return ask


def away() -> RayTaskError:
    """The dispatcher's answer while the store is away."""
    cause: Any = StoreError("the store does not answer")
    return RayTaskError("ask", "StoreError: the store does not answer", cause)


def test_a_dispatcher_that_answers_with_errors_is_not_silent(asked: Callable[[Answers], str]) -> None:
    """The store is away for longer than an orphan waits, then the dispatcher restarts: the worker stays."""
    answers = [away() for _ in range(3 * int(ORPHAN_S))]
    assert asked(iter([*answers, ActorUnavailableError("it restarts", None), "go"])) == "go"


def test_whatever_ray_says_a_call_is_repeated(asked: Callable[[Answers], str]) -> None:
    """Ray itself is in trouble for a moment: the thread that calls lives on."""
    assert asked(iter([RpcError("the GCS does not answer"), "go"])) == "go"


def test_a_worker_that_nobody_answers_ends(asked: Callable[[Answers], str]) -> None:
    """An orphan does not hold a GPU for ever."""
    with pytest.raises(SystemExit):
        asked(ActorUnavailableError("it is gone", None) for _ in range(10 * int(ORPHAN_S)))
