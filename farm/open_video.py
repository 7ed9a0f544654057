"""A video that has not ended, as the dispatcher saw it last: its newest state, and the clocks of its leases."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from farm.contract import Failure, OrderKey, Progress, slot_of
from farm.jobs import Record
from farm.states import complete, inherited

_SAME_FAILURES = 3  #: this many failures of one kind at one order end a video


@dataclass
class OpenVideo:
    """The dispatcher's lock guards it. Times are monotonic seconds."""

    record: Record
    progress: Progress | None = None
    version: int = 0  #: rises with whatever is said of it
    _deadlines: dict[str, float] = field(default_factory=dict)  # order key -> when its lease expires
    _begun: dict[str, float] = field(default_factory=dict)  # order key -> when it was leased

    def advance(self, record: Record, *, now: float, lease_s: float) -> None:
        """Take in a newer state: clocks follow the leases, new ones run for `lease_s`."""
        self.record, leases = record, record.head.state.leases
        self._deadlines = {key: self._deadlines.get(key, now + lease_s) for key in leases}
        self._begun = {key: self._begun.get(key, now) for key in leases}
        if self.progress and str(self.progress.key) not in leases:
            self.progress = None

    def holds(self, progress: Progress) -> bool:
        """Whether what is reported on is leased, and this attempt has it."""
        lease = self.record.head.state.leases.get(str(progress.key))
        return lease is not None and lease.attempt == progress.attempt

    def reported(self, progress: Progress, *, until: float) -> None:
        """Its worker is alive: the lease runs until then."""
        self._deadlines[str(progress.key)] = until
        self.progress = progress

    def overslept(self, seconds: float, *, latest: float) -> None:
        """Nobody listened for so long: the leases run as much longer, until `latest` at most."""
        self._deadlines = {key: min(at + seconds, latest) for key, at in self._deadlines.items()}

    def late(self, now: float) -> str | None:
        """A lease that had run out by `now`: its order's key."""
        return next((key for key, deadline in self._deadlines.items() if deadline < now), None)

    def failure(self, key: str, code: str, message: str, *, counts: bool = True) -> Failure:
        """How the lease of the order `key` ends, though its worker does not say so."""
        lease = self.record.head.state.leases[key]
        return Failure(
            job=self.record.job.id,
            key=OrderKey.parse(key),
            attempt=lease.attempt,
            worker=lease.worker,
            code=code,
            message=message,
            counts=counts,
        )

    def is_hopeless(self, failure: Failure, able: AbstractSet[str]) -> bool:
        """Three failures of one kind at one order, on two workers where two could do it.

        able: slots of those who could do that order now.
        """
        failures = self.record.head.state.failures
        same = [each for each in failures if (each.key, each.code) == (str(failure.key), failure.code)]
        slots = {slot_of(each.worker) for each in same}
        if failure.code == "out_of_memory" and able - slots:
            return False  # a larger GPU may do it
        return len(same) >= _SAME_FAILURES and len(slots) >= min(2, len(able | slots))

    def eta_s(self, now: float) -> float | None:
        """Device seconds still to come, from those that it took so far; None: nothing is known yet."""
        state, plan = self.record.head.state, self.record.job.plan
        spent = state.gpu_seconds + sum(now - begun for begun in self._begun.values())
        share = complete(plan, state, self.progress)
        here = share - inherited(plan, state)  # what a remix shares cost this video nothing
        return None if here <= 0 or not any(state.sections) else spent * (1 - share) / here
