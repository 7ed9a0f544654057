"""Who the workers are: when each was heard of, what it does, which leases it holds, who is gone, who is on leave."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import ValidationError

from farm.contract import JobId, Order, Verdict, WorkerCard, WorkerState, WorkerWish, slot_of
from farm.dispatch.scheduler import can_do
from farm.errors import Conflict, Damaged, NotFound, StoreError
from farm.jobs import Record
from farm.ledger.layout import leave_folder, leave_key
from farm.ledger.states import JobState, runnable
from farm.store import Store

log = logging.getLogger(__name__)
Kind = Literal["paused", "drained"]  #: paused: it has a worker that gets nothing; drained: it has none


class Leaves:
    """Which slots are on leave, with the card of the worker that was there. The dispatcher's lock guards it."""

    def __init__(self, store: Store) -> None:
        """Read what the store knows. Raises: StoreError."""
        self._store = store
        self._kinds: dict[str, Kind] = {}
        self.cards: dict[str, WorkerCard] = {}
        for kind in get_args(Kind):
            for key in store.list(leave_folder(kind)):
                try:
                    card = WorkerCard.model_validate_json(store.get(key))
                except (Damaged, ValidationError) as err:  # of another version, say: the operator can ask again
                    log.warning("skip_leave: %s", err, extra={"key": key})
                else:
                    self._kinds[slot_of(card.id)], self.cards[slot_of(card.id)] = kind, card

    def kind(self, slot: str) -> Kind | None:
        """Why it is on leave; None: it is not."""
        return self._kinds.get(slot)

    def begin(self, kind: Kind, card: WorkerCard) -> None:
        """Give the worker's slot a leave, in place of another that it has. Raises: StoreError."""
        slot = slot_of(card.id)
        self._store.put_if_absent(leave_key(kind, slot), card.model_dump_json().encode())
        if (before := self._kinds.get(slot)) is not None and before != kind:
            self._store.delete(leave_key(before, slot))
        self._kinds[slot], self.cards[slot] = kind, card

    def end(self, slot: str) -> None:
        """The slot works again. Raises: StoreError."""
        if slot in self._kinds:
            self._store.delete(leave_key(self._kinds[slot], slot))
            del self._kinds[slot], self.cards[slot]

    def drained_on_others(self, alive: set[str]) -> list[str]:
        """Slots that were drained in a run of Ray that is over: a drain holds no longer than that. Needs no lock."""
        drained = [slot for slot, kind in list(self._kinds.items()) if kind == "drained"]
        return [slot for slot in drained if (card := self.cards.get(slot)) and card.ray_node not in alive]

    def forget(self, slots: Iterable[str]) -> None:
        """End these leaves, here at least: what the store does not let go is found again at the next start."""
        for slot in slots:
            try:
                self.end(slot)
            except StoreError as err:
                log.warning("leave_not_ended: %s", err, extra={"slot": slot})
                del self._kinds[slot], self.cards[slot]


_FORGET_S = 30.0  #: a worker not heard of for this long is no longer listed


@dataclass
class Worker:
    """A worker as we heard of it last."""

    card: WorkerCard
    seen: float  # monotonic
    order: Order | None = None


class Roster:
    """The dispatcher's book of workers. The dispatcher's lock guards it."""

    def __init__(self, leaves: Leaves, *, clock: Callable[[], float]) -> None:
        """Nobody was heard of yet. `clock` is monotonic."""
        self.leaves, self._clock = leaves, clock
        self._workers: dict[str, Worker] = {}
        self._held: dict[str, set[tuple[JobId, str]]] = {}  # worker -> the leases it holds, as the ledgers say
        self._dead: dict[str, bool] = {}  # workers whose process is gone -> whether they died alone
        self.leaving: set[str] = set()  # slots of nodes that go soon
        self.trouble = ""  # why the last worker could not start

    def saw(self, card: WorkerCard) -> Worker:
        """A worker was heard of just now."""
        worker = self._workers.setdefault(card.id, Worker(card, 0.0))
        worker.card, worker.seen = card, self._clock()
        return worker

    def overslept(self, seconds: float) -> None:
        """Nobody was listened to for so long."""
        now = self._clock()
        for worker in self._workers.values():
            worker.seen = min(now, worker.seen + seconds)

    def get(self, worker_id: str) -> Worker | None:
        """The worker of that id, if it was ever heard of and has not died."""
        return self._workers.get(worker_id)

    def bury(self, worker_id: str, *, alone: bool) -> None:
        """Its process is gone. alone: its node is not, and nobody told it to go."""
        self._dead[worker_id] = alone
        self._workers.pop(worker_id, None)

    def died_alone(self, worker_id: str) -> bool:
        """Whether it is dead, and neither its node nor an operator is to blame."""
        return self._dead.get(worker_id, False)

    def is_dead(self, worker_id: str) -> bool:
        """Whether its process is gone: a question of its may still be on the way."""
        return worker_id in self._dead

    def verdict(self, worker_id: str, *, asleep: bool = False) -> Verdict:
        """What a worker hears, whatever there is to do. asleep: it is outside of its hours."""
        slot = slot_of(worker_id)
        leave = self.leaves.kind(slot)
        if self.is_dead(worker_id) or slot in self.leaving or leave == "drained":
            return "exit"
        return "pause" if asleep or leave == "paused" else "go"

    def wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        """Do what an operator asks of a worker, named by its id or its slot. Raises: NotFound, Conflict, StoreError."""
        before = self._named(worker_id)
        slot = slot_of(before.card.id)
        leave = self.leaves.kind(slot)
        if wish == "resume":
            if leave is None:
                why = f"outside of its hours ({before.card.hours})" if before.paused else "not paused"
                raise Conflict(f"worker {slot} is {why}; there is nothing to resume")
            self.leaves.end(slot)
        elif leave == "drained" or (wish, leave) == ("pause", "paused"):
            raise Conflict(f"worker {slot} is {leave} already; resume it first")
        else:
            self.leaves.begin("paused" if wish == "pause" else "drained", before.card)
        return next((state for state in self.states() if slot_of(state.card.id) == slot), before)

    def present(self) -> list[Worker]:
        """The workers heard of lately."""
        now = self._clock()
        return [worker for worker in self._workers.values() if now - worker.seen < _FORGET_S]

    def states(self) -> list[WorkerState]:
        """What `/v1/workers` shows: who was heard of lately, and slots on leave that have no worker now."""
        present = self.present()
        away = self.leaves.cards.keys() - {slot_of(worker.card.id) for worker in present}
        return [
            *(self._state(worker) for worker in present),
            *(
                WorkerState(card=card, state=kind, paused="operator" if kind == "paused" else None)
                for slot, card in self.leaves.cards.items()
                if slot in away and (kind := self.leaves.kind(slot))
            ),
        ]

    def held_by(self, worker_id: str) -> frozenset[tuple[JobId, str]]:
        """The leases (video, order key) that the ledgers say are its own."""
        return frozenset(self._held.get(worker_id, ()))

    def dead_holders(self) -> list[str]:
        """Workers whose process is gone and whose leases the ledgers still name."""
        return [worker_id for worker_id in self._held if worker_id in self._dead]

    def hold(self, job_id: JobId, before: JobState, after: JobState | None) -> list[str]:
        """Take in a video's newer state (None: it is over). Returns: the workers that hold nothing any more."""
        leases, free = after.leases if after else {}, []
        for key, lease in before.leases.items():
            if leases.get(key) != lease:
                self._held.get(lease.worker, set()).discard((job_id, key))
                if not self._held.get(lease.worker):
                    self._held.pop(lease.worker, None)
                    free.append(lease.worker)
        for key, lease in leases.items():
            self._held.setdefault(lease.worker, set()).add((job_id, key))
        return free

    def waiting_for(self, record: Record) -> str | None:
        """Why nobody can work on the video now; None: somebody does, or could."""
        keys, present = runnable(record.job.plan, record.head.state), self.present()
        able = [worker.card for worker in present if keys and can_do(worker.card, record, keys[0].stage)]
        if not keys or any(self.verdict(card.id, asleep=card.asleep) == "go" for card in able):
            return None
        if able:
            return f"a worker that may work: {', '.join(slot_of(card.id) for card in able)} may not now"
        if not present:
            return f"a worker; the last one could not start: {self.trouble}" if self.trouble else "a worker to start"
        request, pinned = record.job.request, record.head.state.numeric_class
        wants = f" in the numeric class {pinned}" if pinned and not request.allow_mixed else ""
        room = f" with room beside preserve_gb={request.preserve_gb:g}" if request.preserve_gb else ""
        if keys[0].stage == "decode" and any(can_do(worker.card, record, "section") for worker in present):
            room += f" and the GPU memory that decode={request.decode} takes: decode=tiled takes less"
        return f"a worker for {request.model}{wants}{room}"

    def _named(self, worker_id: str) -> WorkerState:
        """The worker of that id, or in that slot. Raises: NotFound."""
        states = self.states()
        found = [state for state in states if worker_id in {state.card.id, slot_of(state.card.id)}]
        if not found:
            there = ", ".join(slot_of(state.card.id) for state in states) or "none"
            raise NotFound(f"there is no worker {worker_id!r}; there are: {there}")
        return found[-1]  # of a slot whose worker was replaced: the newer one

    def _state(self, worker: Worker) -> WorkerState:
        card, order = worker.card, worker.order
        verdict = self.verdict(card.id, asleep=card.asleep)
        by_operator = self.leaves.kind(slot_of(card.id)) == "paused"
        return WorkerState(
            card=card,
            state="draining" if verdict == "exit" else "busy" if order else "paused" if verdict == "pause" else "idle",
            paused=None if verdict != "pause" else "operator" if by_operator else "hours",
            job=order.job.id if order else None,
            key=order.key if order else None,
        )
