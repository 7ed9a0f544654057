"""Workers by hand: they take orders and write what a worker writes, with made-up bytes in place of an engine's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import get_args

from farm.contract import Artifact, Failure, Order, Stage, WorkerCard
from farm.errors import Damaged
from farm.jobs import Jobs
from farm.ledger.damage import check_object
from farm.ledger.states import Event

NAMES = {"encode": "conditioning", "section": "section", "decode": "clip", "finish": "video"}


@dataclass
class Hand:
    """A worker's process: the orders that it was given and has not ended, also those whose lease it has lost."""

    card: WorkerCard
    orders: list[Order] = field(default_factory=list)


def card(worker: str, **fields: object) -> WorkerCard:
    """A worker that can do everything, but for what `fields` say of it."""
    values = {
        "id": worker,
        "node": "here",
        "device": "CPU",
        "vram_gib": None,
        "numeric_class": "by-hand",
        "stages": get_args(Stage),
        "models": ("tiny",),
        "plan": "all resident",
    }
    return WorkerCard.model_validate(values | fields)


def hand(worker: str) -> Hand:
    """A worker that can do everything."""
    return Hand(card(worker, s_per_section=2.0))


def commit(jobs: Jobs, worker: str, order: Order, *, numeric_class: str = "by-hand", seconds: float = 1.0) -> None:
    """As actors.worker.orders.OrderRunner does it: the artifact under the attempt's own key, then the entry."""
    name = NAMES[order.key.stage]
    data = f"{order.key} of {order.attempt} by {worker}".encode()
    key = f"jobs/{order.job.id}/{name}.{str(order.key).replace('/', '-')}.a{order.attempt}"
    if not jobs.store.put_if_absent(key, data):
        assert jobs.store.get(key) == data
    artifact = Artifact(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    event = Event(
        name="committed",
        key=str(order.key),
        attempt=order.attempt,
        worker=worker,
        artifacts={name: artifact},
        numeric_class=numeric_class,
        seconds=seconds,
    )
    jobs.ledger.append(order.job.id, event)


def damage_of(jobs: Jobs, worker: str, order: Order) -> Failure | None:
    """Return what a worker reports that misses something of what its order starts from; None: all is whole."""
    inputs = order.job.inputs if order.key.stage == "encode" else {}
    try:
        for artifact in (*order.needs.values(), *inputs.values()):
            check_object(jobs.store, artifact)
    except Damaged as err:
        where = {"job": order.job.id, "key": order.key, "attempt": order.attempt, "worker": worker}
        return Failure.model_validate({**where, "code": err.code, "message": str(err)})
    return None


def release(jobs: Jobs, worker: str, order: Order) -> None:
    """Give the lease back."""
    event = Event(name="released", key=str(order.key), attempt=order.attempt, worker=worker)
    jobs.ledger.append(order.job.id, event)
