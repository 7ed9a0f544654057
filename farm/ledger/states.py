"""The life of a video as a pure function: `advance(state, event) -> state`. docs/reference/states.md draws it.

queued ──leased──> in_progress ──committed(finish)──> completed
  │  ^                 │ ^
  │  └─────resume──────┼─┼── paused <──pause── queued, in_progress
  │                    │ └── committed, released, expired, failed_attempt: stays in_progress
  └──────cancel────────┴──> cancelled        failed: too many failures of one kind
        moved: a queued video keeps its status
        edited: a queued or paused video keeps its status; name and labels change in every state but deleted
        cancelled, failed ──retry──> queued        any ended state ──deleted──> deleted
        lost: completed ──> queued, until what the store lost is made again; other states stay
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from farm.contract import Artifact, Edit, JobPlan, Moved, OrderKey, Progress, Value
from farm.errors import Conflict, LeaseLost
from farm.request import VideoEdit

Status = Literal["queued", "in_progress", "paused", "completed", "failed", "cancelled", "deleted"]
EventName = Literal[
    "accepted",
    "leased",
    "committed",
    "released",
    "expired",
    "failed_attempt",
    "lost",
    "pause",
    "resume",
    "cancel",
    "retry",
    "edited",
    "moved",
    "failed",
    "deleted",
]
WAITING: frozenset[Status] = frozenset({"queued", "paused"})
OPEN: frozenset[Status] = frozenset({"queued", "in_progress", "paused"})
ENDED: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})
MOST_LOSSES = 3  #: an order is done again this many times; then the store is at fault

_WISHES: dict[EventName, tuple[frozenset[Status], Status]] = {
    "pause": (frozenset({"queued", "in_progress"}), "paused"),
    "resume": (frozenset({"paused"}), "queued"),
    "cancel": (OPEN, "cancelled"),
    "retry": (frozenset({"failed", "cancelled"}), "queued"),
    "deleted": (ENDED, "deleted"),
}


class ErrorInfo(Value):
    """An error, for programs and for people."""

    code: str
    message: str


class Event(Value):
    """Something that happened to a video. `name` decides which other fields are set."""

    name: EventName
    key: str | None = None  #: an OrderKey's text
    attempt: int | None = None  #: of the lease; a new lease's attempt is its entry's seq
    worker: str | None = None
    artifacts: dict[str, Artifact] = Field(
        default_factory=dict
    )  #: "conditioning", "section", "preview", "clip", "video", … -> object
    numeric_class: str | None = None  #: of the worker that commits, or that saved a step
    numeric_classes: tuple[str, ...] = ()  #: of the sections that a remix shares, if there are several
    decode_tile_px: int | None = None  #: the choice of an encode, if the request leaves it open
    seconds: float = 0.0  #: device time that a commit took
    forwards: int = 0  #: runs of the transformer's blocks for a commit
    error: ErrorInfo | None = None
    edit: VideoEdit | None = None  #: a user's changes; of a move: the priority that comes with the turn
    moved: Moved | None = None  #: the turn that a user gave it
    #: the store's losses: an order's text, or "step" -> the seq of the entry that named its artifacts
    lost: dict[str, int] = Field(default_factory=dict)


class Lease(Value):
    """The right of one worker to do one order."""

    attempt: int
    worker: str


class Failed(Value):
    """A failure that counts against the video."""

    key: str
    worker: str
    code: str


class JobState(Value):
    """A video's state, folded from its events; small, because each ledger entry holds one."""

    status: Status = "queued"
    conditioning: int | None = None  #: this and the next: the seq of the entry that named the artifacts
    sections: tuple[int, ...] = ()  #: in generation order
    step: int | None = (
        None  #: seq of the entry with a saved step of the next section; saved when its worker was stopped
    )
    clips: dict[str, int] = Field(default_factory=dict)  #: section -> seq; sections that make no frame final have none
    video: int | None = None
    leases: dict[str, Lease] = Field(default_factory=dict)  #: OrderKey's text -> lease
    lost: tuple[str, ...] = ()  #: OrderKeys' texts: the store lost what these orders made, and they are done again
    losses: dict[str, int] = Field(default_factory=dict)  #: OrderKey's text -> how often, since the last retry
    failures: tuple[Failed, ...] = ()
    numeric_class: str | None = None  #: pinned by the first commit
    numeric_classes: tuple[str, ...] = ()  #: all that took part, oldest first: several only with allow_mixed
    decode_tile_px: int | None = None  #: pinned by the first commit that chose one
    edits: tuple[Edit, ...] = ()  #: changes by users while the video waited, oldest first; one for each section
    moved: Moved | None = None  #: the turn that a user gave it; another priority takes it away
    attempt: int = 0  #: of the newest lease
    leased_sections: int = 0  #: leases of sections so far: the work that was started
    gpu_seconds: float = 0.0
    forwards: int = 0  #: of the transformer, in the committed sections
    error: ErrorInfo | None = None
    ended_at: float | None = None  #: unix seconds
    end: int | None = None  #: seq of the entry that ended it, once an edit or a loss follows that entry


def accepted(event: Event) -> JobState:
    """Return the state of entry 0. Its artifacts ("section/0" …, "clip/1" …) count as committed by that entry.

    A remix begins with copies of the sections that it shares with another video. `deleted` as entry 0 gives up a video
    whose acceptance was interrupted, so that a suspended process cannot accept it after all.
    Raises: Conflict if the sections do not begin with 0 or have a gap.
    """
    if event.name == "deleted":
        return JobState(status="deleted")
    names = [OrderKey.parse(name) for name in event.artifacts if name.startswith("section/")]
    if sorted(key.section or 0 for key in names) != list(range(len(names))):
        raise Conflict("a video can only share sections from 0 on, without a gap")
    clips = {name.removeprefix("clip/"): 0 for name in event.artifacts if name.startswith("clip/")}
    return JobState(
        sections=(0,) * len(names),
        clips=clips,
        numeric_class=event.numeric_class,
        numeric_classes=event.numeric_classes or ((event.numeric_class,) if event.numeric_class else ()),
        decode_tile_px=event.decode_tile_px,
    )


def advance(state: JobState, event: Event, *, seq: int, at: float) -> JobState:
    """Return the state after `event`, which becomes ledger entry `seq` at unix time `at`.

    Raises: LeaseLost if the event's lease is not current; Conflict if the state forbids the event.
    """
    if event.name == "leased":
        return _leased(state, event, seq)
    if event.name == "committed":
        return _committed(state, event, seq, at)
    if event.name in {"released", "expired", "failed_attempt"}:
        return _ended_lease(state, event, seq)
    if event.name == "lost":
        return _lost(state, event, seq, at)
    if event.name in _WISHES:
        return _wished(state, event, at)
    if event.name == "edited":
        return _edited(state, event, seq)
    if event.name == "moved":
        _demand(state, frozenset({"queued"}), event)
        return _change(_edited(state, event, seq) if event.edit else state, moved=event.moved)
    if event.name == "failed":
        _demand(state, OPEN, event)
        return _change(state, status="failed", leases={}, error=event.error, ended_at=at)
    raise Conflict(f"a video cannot be {event.name} again", status=state.status)


def made(state: JobState) -> dict[str, int]:
    """Return what is made: an order's text, or "step" -> the seq of the entry that names its artifacts."""
    entries = {
        "encode": state.conditioning,
        **{f"section/{k}": seq for k, seq in enumerate(state.sections)},
        "step": state.step,
        **{f"decode/{section}": seq for section, seq in state.clips.items()},
        "finish": state.video,
    }
    return {order: seq for order, seq in entries.items() if seq is not None and order not in state.lost}


def is_shared(state: JobState, order: str) -> bool:
    """Whether the order's section is a copy of another video's, named by entry 0."""
    kind, _, k = order.partition("/")
    return kind == "section" and state.sections[int(k) : int(k) + 1] == (0,)


def maker_of(name: str, event: Event | None = None) -> str:
    """Return the order that made the artifact of this name, as `event` or an order's `needs` name it; or "step"."""
    kind, _, number = name.partition("/")
    if event is not None and event.key is not None and name != "step":
        return event.key
    stages = {"conditioning": "encode", "preview": "section", "clip": "decode", "frames": "decode"}
    stage = stages.get(kind, kind)
    return f"{stage}/{number}" if number else stage


def runnable(plan: JobPlan, state: JobState) -> list[OrderKey]:
    """Return the orders that can be leased now, most urgent first: what they start from is there, no lease is held."""
    if state.status not in {"queued", "in_progress"}:
        return []
    there, done = made(state), len(state.sections)
    if "encode" not in there:
        due = ["encode"]
    else:
        decodes = [k for k in range(done) if plan.final_frames[k] and f"decode/{k}" not in there]
        due = [f"decode/{k}" for k in decodes if all(f"section/{n}" in there for n in range(max(0, k - 2), k + 1))]
        for k in range(min(done + 1, plan.sections)):
            if f"section/{k}" not in there and (not k or f"section/{k - 1}" in there):
                due.append(f"section/{k}")
        if done == plan.sections and not decodes and "finish" not in there:
            due.append("finish")
    return [OrderKey.parse(order) for order in due if order not in state.leases]


def complete(plan: JobPlan, state: JobState, progress: Progress | None = None) -> float:
    """Return the share of the video's work that is done, 0 to 1, including the steps of `progress`.

    A section counts nine times its decode: roughly their cost on the big model.
    """
    done: float = 9 * len(state.sections) + len(state.clips)
    done += (state.conditioning is not None) + (state.video is not None)
    done -= sum(map(_parts, state.lost))
    if progress and progress.key.stage == "section" and progress.steps:
        done += 9 * progress.step / progress.steps
    return done / _all_parts(plan)


def order_share(plan: JobPlan, order: str) -> float:
    """Return the share of the video's work that one order is."""
    return _parts(order) / _all_parts(plan)


def _parts(order: str) -> int:
    return 9 if order.startswith("section/") else 1


def _all_parts(plan: JobPlan) -> int:
    return 9 * plan.sections + sum(1 for frames in plan.final_frames if frames) + 2


def inherited(plan: JobPlan, state: JobState) -> float:
    """Return the share of the work that entry 0 brought: what a remix shares with another video."""
    sections = tuple(seq for seq in state.sections if seq == 0)
    clips = {section: seq for section, seq in state.clips.items() if seq == 0}
    return complete(plan, JobState(sections=sections, clips=clips))


def _leased(state: JobState, event: Event, seq: int) -> JobState:
    _demand(state, frozenset({"queued", "in_progress"}), event)
    if event.key is None or event.worker is None or event.key in state.leases:
        raise Conflict(f"{event.key} is already leased")
    leases = state.leases | {event.key: Lease(attempt=seq, worker=event.worker)}
    is_section = event.key.startswith("section/")
    return _change(
        state, status="in_progress", leases=leases, attempt=seq, leased_sections=state.leased_sections + is_section
    )


def _committed(state: JobState, event: Event, seq: int, at: float) -> JobState:
    if state.status not in OPEN:
        raise LeaseLost(f"the video is {state.status}")
    key = OrderKey.parse(_own_lease(state, event))
    again = event.key in state.lost
    lost = tuple(order for order in state.lost if order != event.key)
    news: dict[str, object] = {
        "leases": {name: lease for name, lease in state.leases.items() if name != event.key},
        "lost": lost,
        "gpu_seconds": state.gpu_seconds + event.seconds,
        "forwards": state.forwards + (0 if again else event.forwards),
        "numeric_class": state.numeric_class or event.numeric_class,
        "decode_tile_px": state.decode_tile_px or event.decode_tile_px,
    }
    if key.stage != "finish":  # which computes nothing
        news["numeric_classes"] = _with_class(state, event)
    if key.stage == "encode":
        news["conditioning"] = seq
    elif key.stage == "section" and again:
        news["sections"] = tuple(seq if k == key.section else before for k, before in enumerate(state.sections))
    elif key.stage == "section":
        if key.section != len(state.sections):
            raise LeaseLost(f"section {key.section} cannot follow {len(state.sections)} committed ones")
        news |= {"sections": (*state.sections, seq), "step": None}
    elif key.stage == "decode":
        news["clips"] = state.clips | {str(key.section): seq}
    else:
        news["video"] = seq
    if (key.stage == "finish" or state.video is not None) and not lost:
        news |= {"status": "completed", "ended_at": state.ended_at or at}
    return _change(state, **news)


def _ended_lease(state: JobState, event: Event, seq: int) -> JobState:
    key = _own_lease(state, event)
    worker = state.leases[key].worker
    leases = {name: lease for name, lease in state.leases.items() if name != key}
    if event.name != "failed_attempt":
        saved = {"step": seq, "numeric_classes": _with_class(state, event)} if "step" in event.artifacts else {}
        if key in state.lost:  # `step` is of the next section; one that is made again starts from its beginning
            saved = {}
        return _change(state, leases=leases, **saved)
    code = event.error.code if event.error else "internal"
    return _change(state, leases=leases, failures=(*state.failures, Failed(key=key, worker=worker, code=code)))


def _lost(state: JobState, event: Event, seq: int, at: float) -> JobState:
    """Note the artifacts that the store lost, so that they are made again; a key ends the lease of the order it names.

    Artifacts that were made again since the writer looked stay, and so does a section that a remix shares: this video's
    settings would make another one. The fourth loss of one order's artifacts ends the video.
    """
    _demand(state, OPEN | ENDED, event)
    own = None if event.key is None else _own_lease(state, event)
    leases = {name: lease for name, lease in state.leases.items() if name != own}
    there = made(state)
    gone = [order for order, seq in event.lost.items() if there.get(order) == seq and not is_shared(state, order)]
    if own is None and not gone:
        raise Conflict("none of these artifacts is lost any more", status=state.status)
    orders = [order for order in gone if order != "step"]
    losses = state.losses | {order: state.losses.get(order, 0) + 1 for order in orders}
    news: dict[str, object] = {"leases": leases, "lost": (*state.lost, *orders), "losses": losses}
    if "step" in gone:
        news["step"] = None
    if state.status in {"failed", "cancelled"}:  # a retry makes them again
        return _change(state, **news, end=seq - 1 if state.end is None else state.end)
    if any(losses[order] > MOST_LOSSES for order in orders):
        news |= {"status": "failed", "leases": {}, "error": event.error, "ended_at": state.ended_at or at, "end": None}
    elif state.status == "completed" and orders:
        news |= {"status": "queued", "end": None}
    return _change(state, **news)


def _with_class(state: JobState, event: Event) -> tuple[str, ...]:
    """Return the classes that took part, including the event's."""
    new = event.numeric_class
    return state.numeric_classes if new is None or new in state.numeric_classes else (*state.numeric_classes, new)


def _wished(state: JobState, event: Event, at: float) -> JobState:
    before, after = _WISHES[event.name]
    _demand(state, before, event)
    if event.name in {"cancel", "deleted"}:
        return _change(state, status=after, leases={}, ended_at=state.ended_at or at)
    if event.name == "retry":
        return _change(state, status=after, failures=(), losses={}, error=None, ended_at=None, end=None)
    return _change(state, status=after)


def _edited(state: JobState, event: Event, seq: int) -> JobState:
    """Apply a user's changes. A new prompt holds from the next section on and voids conditioning and saved steps.

    A worker whose order depends on the change loses its lease.
    """
    _demand(state, WAITING if event.edit is None or event.edit.renders() else OPEN | ENDED, event)
    if state.video is not None and event.edit and event.edit.prompt is not None:
        raise Conflict("the video is made; only what the store lost is made again", status=state.status)
    edit = Edit(from_section=len(state.sections), **(event.edit.changes() if event.edit else {}))
    before = state.edits
    if before and before[-1].from_section == edit.from_section:
        edit, before = before[-1].model_copy(update=edit.changes()), before[:-1]
    news: dict[str, object] = {"edits": (*before, edit)}
    if event.edit and event.edit.priority is not None:
        news["moved"] = None
    if state.status in ENDED and state.end is None:
        news["end"] = seq - 1
    void = {"finish"} if event.edit and event.edit.name is not None else set[str]()
    if event.edit and event.edit.prompt is not None:
        void |= {"encode", "section", "finish"}
        lost = tuple(order for order in state.lost if order != "encode")
        news |= {"conditioning": None, "step": None, "lost": lost}
    leases = {key: lease for key, lease in state.leases.items() if OrderKey.parse(key).stage not in void}
    return _change(state, leases=leases, **news)


def _own_lease(state: JobState, event: Event) -> str:
    lease = state.leases.get(event.key or "")
    if lease is None or event.key is None or lease.attempt != event.attempt:
        raise LeaseLost(f"attempt {event.attempt} does not hold {event.key}")
    return event.key


def _demand(state: JobState, statuses: frozenset[Status], event: Event) -> None:
    if state.status not in statuses:
        verbs = {"deleted": "delete", "leased": "lease", "edited": "change prompt or priority of", "moved": "move"}
        verb = verbs.get(event.name, event.name)
        raise Conflict(
            f"cannot {verb} a video that is {state.status}; it must be {' or '.join(sorted(statuses))}",
            status=state.status,
        )


def _change(state: JobState, **news: object) -> JobState:
    return state.model_copy(update=news)
