"""The workers as operators and users see them: who is there, who is on leave, and why a video waits."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Literal, get_args

from pydantic import ValidationError

from farm.contract import Stage, Verdict, WorkerCard, WorkerState, WorkerWish, slot_of
from farm.dispatch.crew import Crew, Worker
from farm.errors import Conflict, Damaged, NotFound, StoreError
from farm.jobs import Record
from farm.jobs.demand import fits, need_for
from farm.ledger.layout import leave_folder, leave_key
from farm.ledger.states import runnable
from farm.request import VideoRequest
from farm.store import Store

log = logging.getLogger(__name__)
Kind = Literal["paused", "drained"]  #: paused: the slot has a worker that gets nothing; drained: it has none


class Leaves:
    """Which slots are on leave, with the card of the worker that was there. The store keeps them."""

    def __init__(self, store: Store) -> None:
        """Read what the store knows. Raises: StoreError."""
        self._store = store
        self._leaves: dict[str, tuple[Kind, WorkerCard]] = {}
        for kind in get_args(Kind):
            for key in store.list(leave_folder(kind)):
                try:
                    card = WorkerCard.model_validate_json(store.get(key))
                except (Damaged, ValidationError) as err:  # of another version, say: the operator can ask again
                    log.warning("skip_leave: %s", err, extra={"key": key})
                else:
                    self._leaves[slot_of(card.id)] = kind, card

    def kind(self, slot: str) -> Kind | None:
        """Return which leave the slot has; None: it has none."""
        return self._leaves[slot][0] if slot in self._leaves else None

    def all(self) -> Collection[tuple[Kind, WorkerCard]]:
        """Return each leave with the card of the worker that was there."""
        return self._leaves.values()

    def begin(self, kind: Kind, card: WorkerCard) -> None:
        """Give the worker's slot a leave, in place of another that it has. Raises: StoreError."""
        slot = slot_of(card.id)
        self._store.put_if_absent(leave_key(kind, slot), card.model_dump_json().encode())
        if (before := self.kind(slot)) is not None and before != kind:
            self._store.delete(leave_key(before, slot))
        self._leaves[slot] = kind, card

    def end(self, slot: str) -> None:
        """End the slot's leave, if it has one. Raises: StoreError."""
        if kind := self.kind(slot):
            self._store.delete(leave_key(kind, slot))
            del self._leaves[slot]

    def end_drains(self, *, alive: set[str]) -> None:
        """End the drains of slots whose node's Ray is not `alive` any more: a drain ends with it.

        If the store does not delete one, forget it here; the next start finds it again.
        """
        for slot, (kind, card) in list(self._leaves.items()):
            if kind == "drained" and card.ray_node not in alive:
                try:
                    self.end(slot)
                except StoreError as err:
                    log.warning("leave_not_ended: %s", err, extra={"slot": slot})
                    del self._leaves[slot]


class Roster:
    """The workers by their slots, and what each one may do now."""

    def __init__(self, crew: Crew, leaves: Leaves) -> None:
        self._crew, self.leaves = crew, leaves
        self.leaving: set[str] = set()  #: slots of nodes that go soon
        self.closing: set[str] = set()  #: slots of nodes that may go: they begin nothing
        self.trouble = ""  #: why the last worker could not start

    def verdict(self, worker_id: str, *, asleep: bool = False, busy: bool = False) -> Verdict:
        """Return what the worker is told besides its order. asleep: it is outside its hours. busy: it has an order."""
        slot = slot_of(worker_id)
        leave = self.leaves.kind(slot)
        ends = slot in self.leaving or (slot in self.closing and not busy)
        if worker_id in self._crew.dead or ends or leave == "drained":
            return "exit"
        return "pause" if asleep or leave == "paused" else "go"

    def wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        """Do what an operator asks of a worker, named by its id or its slot. Raises: NotFound, Conflict, StoreError."""
        before = self._named(worker_id)
        slot = slot_of(before.card.id)
        leave = self.leaves.kind(slot)
        if wish == "resume":
            if leave is None:
                why = f"outside its hours ({before.card.hours})" if before.paused else "not paused"
                raise Conflict(f"worker {slot} is {why}; there is nothing to resume")
            self.leaves.end(slot)
        elif leave == "drained" or (wish, leave) == ("pause", "paused"):
            raise Conflict(f"worker {slot} is already {leave}; resume it first")
        else:
            self.leaves.begin("paused" if wish == "pause" else "drained", before.card)
        return next((state for state in self.states() if slot_of(state.card.id) == slot), before)

    def states(self) -> list[WorkerState]:
        """Return the workers heard of lately, and the slots on leave that have no worker now."""
        present = self._crew.present()
        filled = {slot_of(worker.card.id) for worker in present}
        return [
            *(self._state(worker) for worker in present),
            *(
                WorkerState(card=card, state=kind, paused="operator" if kind == "paused" else None)
                for kind, card in self.leaves.all()
                if slot_of(card.id) not in filled
            ),
        ]

    def waiting_for(self, record: Record) -> str | None:
        """Say why no worker can work on the video now; None: one does, or could."""
        keys = runnable(record.job.plan, record.head.state)
        return self.lacking(record.job.request, keys[0].stage, record.head.state.numeric_class) if keys else None

    def lacking(self, request: VideoRequest, stage: Stage, pinned: str | None = None) -> str | None:
        """Say why no worker can do this stage now of a video whose numeric class is `pinned`; None: one could."""
        present, need = self._crew.present(), need_for(request, stage, pinned)
        able = [worker.card for worker in present if fits(worker.card, need)]
        if any(self.verdict(card.id, asleep=card.asleep) == "go" for card in able):
            return None
        if able:
            return f"a worker that may work: {', '.join(slot_of(card.id) for card in able)} may not now"
        if not present:
            return f"a worker; the last one could not start: {self.trouble}" if self.trouble else "a worker to start"
        wants = f" in the numeric class {pinned}" if pinned and not request.allow_mixed else ""
        room = f" with room beside preserve_gb={request.preserve_gb:g}" if request.preserve_gb else ""
        section = need_for(request, "section", pinned)
        if stage == "decode" and any(fits(worker.card, section) for worker in present):
            room += f" and the GPU memory that decode={request.decode} takes: decode=tiled takes less"
        return f"a worker for {request.model}{wants}{room}"

    def _named(self, worker_id: str) -> WorkerState:
        """Return the worker of that id, or in that slot. Raises: NotFound."""
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
            owner=order.job.owner if order else None,
        )
