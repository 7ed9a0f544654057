"""A worker's calls to the dispatcher, which may be restarting."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from actors.cluster import DISPATCHER, NAMESPACE
from farm.contract import Failure, Order, Progress, Verdict, WorkerCard

log = logging.getLogger(__name__)
_TROUBLE_S = 1.0  #: until the next question, if the dispatcher could not answer the last one
_RETRY_S = 0.2
_CALL_S = 30.0  #: an answer that takes longer than this counts as none


def _find() -> Any:
    """Return the dispatcher's handle. Raises: ValueError if there is no such actor."""
    return ray.get_actor(DISPATCHER, namespace=NAMESPACE)


class DispatcherLink:
    """Repeats each call until the dispatcher answers. After `orphan_s` of silence it ends the process."""

    def __init__(
        self,
        worker_id: str,
        *,
        lease_s: float,
        orphan_s: float,
        find: Callable[[], Any] = _find,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        """`find` gives the actor's handle; `leave` ends the process."""
        self._worker_id, self._lease_s, self._orphan_s = worker_id, lease_s, orphan_s
        self._find, self._clock, self._sleep, self._leave = find, clock, sleep, leave

    def ask(self, card: WorkerCard) -> Order | Verdict:
        """Ask for an order. If the dispatcher cannot answer (its store is away, say), ask again."""
        while True:
            try:
                answer: Order | Verdict = self._call(lambda dispatcher: dispatcher.ask.remote(card))
            except RayTaskError as err:
                _log_failed("ask", err)
                self._sleep(_TROUBLE_S)
            else:
                return answer

    def beat(
        self, card: WorkerCard, progress: Progress, *, over: threading.Event, on_silence: Callable[[], None]
    ) -> Verdict:
        """Report on an order. Return "go" also if the order is `over` before an answer, or the dispatcher failed.

        on_silence: called again and again once the dispatcher has been silent for the lease's time. The lease has
        expired by then; to stop saves work, because the ledger would refuse the commit.
        """
        try:
            answer: Verdict | None = self._call(
                lambda dispatcher: dispatcher.beat.remote(card, progress), over=over, on_silence=on_silence
            )
        except RayTaskError as err:
            _log_failed("beat", err)
            return "go"
        return answer or "go"

    def give_up(self, failure: Failure) -> None:
        """End an order without a commit."""
        self._tell("give_up", lambda dispatcher: dispatcher.give_up.remote(failure))

    def failed_to_start(self, message: str) -> bool:
        """Say why this worker cannot start. Return whether it should try again: not if the farm drains."""
        answer = self._tell("worker_failed_to_start", lambda them: them.worker_failed_to_start.remote(message))
        return bool(answer != "exit")

    def _tell(self, method: str, send: Callable[[Any], Any]) -> Any:
        try:
            return self._call(send)
        except RayTaskError as err:
            _log_failed(method, err)

    def _call(
        self,
        send: Callable[[Any], Any],
        *,
        over: threading.Event | None = None,
        on_silence: Callable[[], None] = lambda: None,
    ) -> Any:
        """Send until there is an answer; None: the order was over first. Raises: RayTaskError, the method's error."""
        begun = self._clock()
        while True:
            try:
                # a future: ray.get would warn, since the actor is an async one
                return send(self._find()).future().result(_CALL_S)
            except RayTaskError:  # the dispatcher lives
                raise
            except (RayError, TimeoutError, ValueError) as err:
                silent_s = self._clock() - begun
                if over is not None and over.is_set():
                    return None
                if silent_s > self._orphan_s:
                    log.error("orphan: %s", err, extra={"worker": self._worker_id, "silent_s": f"{silent_s:.0f}"})  # noqa: TRY400
                    self._leave(0)
                if silent_s > self._lease_s:
                    on_silence()
                self._sleep(_RETRY_S)


def _log_failed(method: str, err: RayTaskError) -> None:
    log.warning("call_failed: %s", str(err).strip().rpartition("\n")[2], extra={"method": method})
