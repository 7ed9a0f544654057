"""One video that has not ended, as the dispatcher saw it last: its newest state, and the clocks of its leases."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from farm.contract import Failure, Order, OrderKey, Progress, slot_of
from farm.jobs import Jobs, Record
from farm.jobs.losses import job_of, needs_of
from farm.ledger.states import complete, inherited, order_share

_SAME_FAILURES = 3  #: this many failures of one kind at one order end a video


@dataclass
class OpenVideo:
    """A video and its leases. Times are monotonic seconds."""

    record: Record
    progress: Progress | None = None
    waiting_for: str | None = None  #: the reason in the latest news
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
        """Whether the lease that the progress names is the current one."""
        lease = self.record.head.state.leases.get(str(progress.key))
        return lease is not None and lease.attempt == progress.attempt

    def reported(self, progress: Progress, *, until: float) -> None:
        """Keep the progress and let its lease run until then."""
        self._deadlines[str(progress.key)] = until
        self.progress = progress

    def overslept(self, seconds: float, *, latest: float) -> None:
        """Extend the leases by `seconds`, at most until `latest`."""
        self._deadlines = {key: min(at + seconds, latest) for key, at in self._deadlines.items()}

    def late(self, now: float) -> str | None:
        """Return the order key of a lease that had run out by `now`."""
        return next((key for key, deadline in self._deadlines.items() if deadline < now), None)

    def failure(self, key: str, code: str, message: str, *, counts: bool = True) -> Failure:
        """Describe how the lease of the order `key` ends, in place of its worker."""
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
        """Whether there were three failures of one kind at one order, on two workers if two could do it.

        able: slots of those who could do that order now.
        """
        failures = self.record.head.state.failures
        same = [each for each in failures if (each.key, each.code) == (str(failure.key), failure.code)]
        slots = {slot_of(each.worker) for each in same}
        if failure.code == "out_of_memory" and able - slots:
            return False  # a larger GPU may do it
        return len(same) >= _SAME_FAILURES and len(slots) >= min(2, len(able | slots))

    def eta_s(self, now: float) -> float | None:
        """Estimate the device seconds still to come from those that it took so far; None: nothing is known yet.

        A decode reports no steps, so it counts at its end; until then its time runs down.
        """
        state, plan = self.record.head.state, self.record.job.plan
        stepping = str(self.progress.key) if self.progress and self.progress.steps else None
        spent = state.gpu_seconds + sum(now - begun for key, begun in self._begun.items() if key == stepping)
        share = complete(plan, state, self.progress)
        here = share - inherited(plan, state)  # shared sections of a remix cost this video nothing
        if here <= 0 or not any(state.sections):
            return None
        pace_s = spent / here
        silent = {key: now - begun for key, begun in self._begun.items() if not key.startswith("section/")}
        gone = sum(min(passed, pace_s * order_share(plan, key)) for key, passed in silent.items())
        return max(pace_s * (1 - share) - gone, 0.0)


def bare_order(record: Record, key: OrderKey, attempt: int, *, lease_s: float) -> Order:
    """Return an order without the artifacts that it starts from: enough to know what a worker does."""
    state = record.head.state
    return Order(
        job=job_of(record, key),
        key=key,
        attempt=attempt,
        needs={},
        numeric_class=None if record.job.request.allow_mixed else state.numeric_class,
        numeric_classes=state.numeric_classes,
        decode_tile_px=state.decode_tile_px,
        lease_s=lease_s,
    )


def whole_order(jobs: Jobs, record: Record, order: Order) -> Order:
    """Return the order as its worker gets it. Read one ledger entry for each artifact: hold no lock.

    Raises: Damaged; StoreError.
    """
    found = {name: jobs.artifact(record, name) for name in needs_of(record, order.key)}
    return order.model_copy(update={"needs": {name: artifact for name, artifact in found.items() if artifact}})
