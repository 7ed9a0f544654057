"""How a worker calls the dispatcher: through its errors, and through its death."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayTaskError, RpcError

from actors.worker.link import DispatcherLink
from farm.errors import StoreError
from tests import hands
from tests.clock import Clock

Answers = Iterable[BaseException | str]
ORPHAN_S = 60.0


@pytest.fixture
def asked(clock: Clock) -> Callable[[Answers], object]:
    """A function that runs `ask` while Ray gives these answers, one after another. Sleeping takes no time here."""

    def sleep(seconds: float) -> None:
        clock.now += seconds

    def ask(answers: Answers) -> object:
        coming = iter(answers)

        def remote(_: object) -> SimpleNamespace:
            answer: Future[str] = Future()
            given = next(coming)
            if isinstance(given, BaseException):
                answer.set_exception(given)
            else:
                answer.set_result(given)
            return SimpleNamespace(future=lambda: answer)

        actor = SimpleNamespace(ask=SimpleNamespace(remote=remote))
        link = DispatcherLink(
            "worker-0.a",
            lease_s=10.0,
            orphan_s=ORPHAN_S,
            find=lambda: actor,
            clock=clock,
            sleep=sleep,
            leave=sys.exit,
        )
        return link.ask(hands.card("worker-0.a"))

    return ask


def away() -> RayTaskError:
    """The dispatcher's answer while the store is away."""
    cause: Any = StoreError("the store does not answer")
    return RayTaskError("ask", "StoreError: the store does not answer", cause)


def test_a_dispatcher_that_answers_with_errors_is_not_silent(asked: Callable[[Answers], object]) -> None:
    """The store is away for longer than an orphan waits, then the dispatcher restarts: the worker stays."""
    answers = [away() for _ in range(3 * int(ORPHAN_S))]
    assert asked([*answers, ActorUnavailableError("it restarts", None), "go"]) == "go"


def test_a_call_is_repeated_after_any_error_of_ray(asked: Callable[[Answers], object]) -> None:
    """Ray itself is in trouble for a moment: the thread that calls lives on."""
    assert asked([RpcError("the GCS does not answer"), "go"]) == "go"


def test_a_worker_without_an_answer_ends(asked: Callable[[Answers], object]) -> None:
    """An orphan does not hold a GPU for ever."""
    with pytest.raises(SystemExit):
        asked(ActorUnavailableError("it is gone", None) for _ in range(10 * int(ORPHAN_S)))
