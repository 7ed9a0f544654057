"""Orders as they are handed out: one piece of a video, with the artifacts that it starts from."""

from __future__ import annotations

from farm.contract import Order, OrderKey
from farm.jobs import Jobs, Record


def bare_order(record: Record, key: OrderKey, attempt: int, *, lease_s: float) -> Order:
    """An order, without what it needs: enough for the dispatcher to know what a worker does."""
    state = record.head.state
    return Order(
        job=record.job,
        key=key,
        attempt=attempt,
        needs={},
        numeric_class=None if record.job.request.allow_mixed else state.numeric_class,
        numeric_classes=state.numeric_classes,
        decode_tile_px=state.decode_tile_px,
        lease_s=lease_s,
    )


def whole_order(jobs: Jobs, record: Record, order: Order) -> Order:
    """The order as its worker gets it. A ledger entry is read for each artifact: hold no lock. Raises: StoreError."""
    found = {name: jobs.artifact(record, name) for name in _needs(record, order.key)}
    return order.model_copy(update={"needs": {name: artifact for name, artifact in found.items() if artifact}})


def _needs(record: Record, key: OrderKey) -> list[str]:
    """Names of the artifacts that an order starts from; framepack.md says why."""
    k = key.section or 0
    if key.stage == "section":
        return ["conditioning", "step", *([f"section/{k - 1}"] if k else [])]
    if key.stage == "decode":
        return ["conditioning", *(f"section/{n}" for n in range(max(0, k - 2), k + 1))]
    if key.stage == "finish":
        return [f"clip/{n}" for n, frames in enumerate(record.job.plan.final_frames) if frames]
    return []
