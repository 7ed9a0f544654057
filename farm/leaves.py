"""Slots on leave: paused or drained by an operator. Kept in the store, so that no restart forgets them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Literal, get_args

from pydantic import ValidationError

from farm.contract import WorkerCard, slot_of
from farm.errors import Damaged, StoreError
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
            for key in store.list(f"workers/{kind}/"):
                try:
                    card = WorkerCard.model_validate_json(store.get(key))
                except (Damaged, ValidationError) as err:  # of another version, say: the operator can ask again
                    log.warning("action=skip_leave key=%s: %s", key, err)
                else:
                    self._kinds[slot_of(card.id)], self.cards[slot_of(card.id)] = kind, card

    def kind(self, slot: str) -> Kind | None:
        """Why it is on leave; None: it is not."""
        return self._kinds.get(slot)

    def begin(self, kind: Kind, card: WorkerCard) -> None:
        """Give the worker's slot a leave, in place of another that it has. Raises: StoreError."""
        slot = slot_of(card.id)
        self._store.put_if_absent(f"workers/{kind}/{slot}", card.model_dump_json().encode())
        if (before := self._kinds.get(slot)) not in {None, kind}:
            self._store.delete(f"workers/{before}/{slot}")
        self._kinds[slot], self.cards[slot] = kind, card

    def end(self, slot: str) -> None:
        """The slot works again. Raises: StoreError."""
        if slot in self._kinds:
            self._store.delete(f"workers/{self._kinds[slot]}/{slot}")
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
                log.warning("action=leave_not_ended slot=%s: %s", slot, err)
                del self._kinds[slot], self.cards[slot]
