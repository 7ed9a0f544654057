"""Find the objects that the store lost of a video, and tell which of them the farm can make again.

It can make all but the inputs, the request, the ledger and the sections that a remix shares with another video.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from farm.contract import Job, OrderKey
from farm.errors import Damaged
from farm.jobs.jobs import Jobs, Record
from farm.ledger.damage import check_object
from farm.ledger.states import MOST_LOSSES, ErrorInfo, Event, JobState, is_shared, made, maker_of

_STAGES = ("encode", "section", "decode", "finish")
SHARED = (
    "a remix shared it, and this video's own settings would make another one: remix the original again, or ask "
    "without from_section"
)  #: why a lost section is not made again, and the cure


class Losses(NamedTuple):
    """Artifacts that an order starts from, and that are missing or damaged."""

    orders: dict[str, int]  #: as `Event.lost`
    inputs: list[str]  #: the names of inputs: nobody can make them again
    shared: list[str]  #: sections that a remix shared: this video cannot make them again
    why: str

    @property
    def for_good(self) -> str:
        """Say why the video cannot be made any more; empty: all can be made again."""
        if self.inputs:
            return f"the store lost an input, which cannot be made again ({self.why})"
        return f"the store lost {', '.join(self.shared)}: {SHARED} ({self.why})" if self.shared else ""


def needs_of(record: Record, key: OrderKey) -> list[str]:
    """Name the artifacts that an order starts from."""
    k = key.section or 0
    if key.stage == "section":
        needs = [] if _has_earlier_prompt(record, key) else ["conditioning"]
        needs += ["step"] if k == len(record.head.state.sections) else []
        return needs + ([f"section/{k - 1}"] if k else [])
    if key.stage == "decode":
        return ["conditioning", *(f"section/{n}" for n in range(max(0, k - 2), k + 1))]
    if key.stage == "finish":
        return [f"clip/{n}" for n, frames in enumerate(record.job.plan.final_frames) if frames]
    return []


def inputs_of(record: Record, key: OrderKey) -> list[str]:
    """Name the inputs that an order reads."""
    if key.stage == "encode" or (key.stage == "section" and _has_earlier_prompt(record, key)):
        return list(record.job.inputs)
    return ["source"] if key.stage == "finish" and "source" in record.job.inputs else []


def job_of(record: Record, key: OrderKey) -> Job:
    """Return the job as an order must see it: a section that is made again follows the prompt of its time."""
    edits = record.head.state.edits
    if key.stage == "section":
        edits = tuple(edit for edit in edits if edit.from_section <= (key.section or 0))
    return record.asked.edited(edits)


def find_losses(jobs: Jobs, record: Record, key: OrderKey) -> Losses:
    """Read all that an order starts from, and return what of it is missing or damaged. Raises: StoreError."""
    state, orders = record.head.state, dict[str, int]()
    there, inputs, shared, why = made(state), list[str](), list[str](), list[str]()
    for name in needs_of(record, key):
        order = maker_of(name)
        if order not in there:
            continue
        try:
            if artifact := jobs.artifact(record, name):
                check_object(jobs.store, artifact)
        except Damaged as err:
            if is_shared(state, order):
                shared.append(order)
            else:
                orders[order] = there[order]
            why.append(str(err))
    for name in inputs_of(record, key):
        try:
            check_object(jobs.store, record.job.inputs[name])
        except Damaged as err:
            inputs.append(name)
            why.append(str(err))
    return Losses(orders, inputs, shared, "; ".join(why))


def lost_for_good(record: Record, orders: Iterable[str], inputs: Collection[str]) -> set[str]:
    """Return which of these lost orders cannot be done again.

    They made a section that a remix shares, or start from such a loss or from one of the lost `inputs`.
    """
    gone = set[str]()
    keys = [OrderKey.parse(order) for order in orders if order != "step"]
    for key in sorted(keys, key=lambda key: (_STAGES.index(key.stage), key.section or 0)):
        needs = {maker_of(name) for name in needs_of(record, key)}
        starts_from_lost = not gone.isdisjoint(needs) or not set(inputs).isdisjoint(inputs_of(record, key))
        if starts_from_lost or is_shared(record.head.state, str(key)):
            gone.add(str(key))
    return gone


def loss_event(state: JobState, orders: dict[str, int], why: str, *, storage: str) -> Event:
    """Return the ledger's event for what the store lost; it ends the video if an order was done again too often."""
    often = [order for order in orders if state.losses.get(order, 0) >= MOST_LOSSES]
    message = why
    if often:
        message = (
            f"{', '.join(often)}: made again {MOST_LOSSES} times, and lost again each time. Check the store {storage}, "
            f"then retry the video ({why})"
        )
    return Event(name="lost", lost=orders, error=ErrorInfo(code=Damaged.code, message=message))


def what_is_left(state: JobState) -> str:
    """Say what an operator can still save of a video that cannot be completed."""
    there = made(state)
    if "finish" in there:
        return "its mp4 is whole: fetch it"
    clips = sum(order.startswith("decode/") for order in there)
    return f"{clips} of its clips are whole: fetch them as `partial`" if clips else "nothing of it can be fetched"


def _has_earlier_prompt(record: Record, key: OrderKey) -> bool:
    """Whether an edit changed the prompt after this section was made: the conditioning is another one by now."""
    later = (edit for edit in record.head.state.edits if edit.from_section > (key.section or 0))
    return any(edit.prompt is not None for edit in later)
