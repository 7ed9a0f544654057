"""The ledger's rules hold in every interleaving of ingress, dispatchers and workers, and after any death.

Hypothesis writes the story: it begins operations, lets each go on for some calls to the store, and decides what the
next call meets (tests/stepping.py). The store is a real folder. CONTRIBUTING.md lists the rules and their tests.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from PIL import Image

from farm.contract import Failure, JobId, JobPlan, Order, Progress
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import Conflict, FarmError, LeaseLost, NotFound, Unavailable
from farm.jobs import Jobs, Record, Submission, Wish
from farm.jobs.fsck import Checker, have_made_again
from farm.ledger import Entry, Ledger
from farm.ledger.damage import check_object
from farm.ledger.states import ENDED, OPEN, accepted, advance, made
from farm.request import VideoEdit, VideoRequest
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.hands import Hand, commit, damage_of, hand, release
from tests.pages import read_page
from tests.stepping import FATES, Died, Fate, OneAfterTheOther, Operation, SteppedLock, SteppedStore

#: section 2 may be made beside the decode of section 1
PLAN = JobPlan(
    kind="i2v", sections=3, latent_window_size=9, fps=30, height=96, width=128, frames=109, final_frames=(0, 36, 73)
)
SETTINGS = FarmSettings(lease_s=10.0, heartbeat_s=1.0)
WORKERS = ("worker-0.a", "worker-1.b")
HOUR_S = 3601.0
CALLS = st.integers(0, 14)  #: to the store, before an operation stands still
EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "0"))  #: 0: the short form, the same each time; N: N random stories


def picture() -> bytes:
    """Return a small PNG."""
    data = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(data, "PNG")
    return data.getvalue()


PNG = picture()


@dataclass
class Running:
    """An unfinished operation, and what its caller does with the answer."""

    operation: Operation
    who: str  #: one operation at a time for each dispatcher and each worker
    then: Callable[[Operation], None]


@dataclass
class Process:
    """A dispatcher's process; `mind` is None while it takes charge."""

    name: str
    mind: Dispatcher | None = None


class Farm(RuleBasedStateMachine):
    """Ingress processes, dispatchers and workers on one store."""

    def __init__(self) -> None:
        """Begin with an empty store and a clock that the story turns."""
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.real = FolderStore(Path(self.folder.name))
        self.store = SteppedStore(self.real)
        self.now = 1_000_000.0
        self.running: list[Running] = []
        self.dispatchers: list[Process] = []
        self.hands = {worker: hand(worker) for worker in WORKERS}
        self.ingress = [Jobs(self.store, clock=lambda: self.now) for _ in range(2)]
        self.numbers = iter(range(10**6))
        self.patches = ExitStack()
        for module in ("farm.jobs.accept", "farm.ledger.notes"):  # a story told twice must be the same story
            self.patches.enter_context(mock.patch(f"{module}.uuid4", side_effect=lambda: UUID(int=next(self.numbers))))
        self.patches.enter_context(mock.patch("farm.ledger.damage.ThreadPoolExecutor", OneAfterTheOther))
        self.answered: list[JobId] = []  # the client was told of these
        self.by_key: dict[str, JobId] = {}  # Idempotency-Key -> what the last client who used it was told
        self.deletions: set[JobId] = set()  # somebody asked for it
        self.logs: dict[JobId, list[Entry]] = {}  # as the invariants saw them
        self.forgotten: set[JobId] = set()  # logs that went an hour after their tombstone
        self.has_losses = False  # the store lost an object

    # --- operations: begun here, and left standing before their k-th call to the store -----------------------------

    def begin(self, who: str, call: Callable[[], object], then: Callable[[Operation], None], calls: int) -> None:
        """Begin an operation and let it make `calls` calls."""
        self.running.append(running := Running(Operation(call), who, then))
        self.proceed(running, "go", calls)

    def proceed(self, running: Running, fate: Fate, calls: int) -> None:
        """Let the next call meet `fate`, and `calls` more succeed."""
        for turn in range(calls + 1):
            if running.operation.over:
                break
            if turn or fate != "go":
                running.operation.go_on(fate if turn == 0 else "go")
        if running.operation.over:
            self.running.remove(running)
            error = running.operation.error
            if error is not None and not isinstance(error, FarmError | Died):
                raise error
            running.then(running.operation)

    def busy(self, who: str) -> bool:
        """Tell whether this process is in the middle of an operation."""
        return any(running.who == who for running in self.running)

    @rule(data=st.data(), fate=st.sampled_from(("go", "go", *FATES)), calls=CALLS)
    @precondition(lambda self: self.running)
    def go_on(self, data: st.DataObject, fate: Fate, calls: int) -> None:
        """Let one suspended operation go on or meet its fate."""
        self.proceed(data.draw(st.sampled_from(self.running)), fate, calls)

    @rule(seconds=st.sampled_from((3.0, 12.0, HOUR_S)))
    def time_passes(self, seconds: float) -> None:
        """Let time pass: leases expire, markers grow old. An operation that is suspended for an hour dies."""
        if seconds == HOUR_S:
            self.all_die()
        self.now += seconds

    def all_die(self) -> None:
        """Kill every suspended operation."""
        while self.running:
            self.proceed(self.running[0], "die", 0)

    # --- users -----------------------------------------------------------------------------------------------------

    @rule(calls=CALLS, who=st.integers(0, 1), key=st.sampled_from((None, "k")))
    def accept(self, calls: int, who: int, key: str | None) -> None:
        """Let a client submit a video, perhaps again with the same key."""
        if len(self.logs) - len(self.forgotten) >= 3 and key is None:
            return
        request = VideoRequest.model_validate({"prompt": "a cat", "model": "tiny", "seed": 1})

        def answered(operation: Operation) -> None:
            if isinstance(operation.answer, Record):
                job = operation.answer.job
                self.answered.append(job.id)
                before = self.by_key.get(key or "")
                if key and before not in (None, job.id):
                    assert before in self.deletions or self.abandoned(before), "two videos for one Idempotency-Key"
                self.by_key[key or ""] = job.id
            else:
                assert not isinstance(operation.error, Conflict | NotFound), operation.error
                assert not isinstance(operation.error, Unavailable) or key, "without a key there is nothing to wait for"

        self.begin(
            f"client-{next(self.numbers)}",
            lambda: self.ingress[who].accept(
                Submission(request, PLAN, {"start": PNG}, "alice", fingerprint="a", idempotency_key=key)
            ),
            answered,
            calls,
        )

    @rule(
        data=st.data(),
        wish=st.sampled_from(("pause", "resume", "cancel", "retry", "retry", "edit", "delete", "delete")),
        calls=CALLS,
        who=st.integers(0, 1),
    )
    @precondition(lambda self: self.answered)
    def wish(self, data: st.DataObject, wish: Wish | Any, calls: int, who: int) -> None:
        """Let a user change a video that they know."""
        video, jobs = data.draw(st.sampled_from(self.answered)), self.ingress[who]
        if wish == "delete":
            self.deletions.add(video)
            call: Callable[[], object] = lambda: jobs.delete(video, owner="alice")  # noqa: E731
        elif wish == "edit":
            call = lambda: jobs.edit(video, VideoEdit(prompt="a dog"), owner="alice")  # noqa: E731
        else:
            call = lambda: jobs.wish(video, wish, owner="alice")  # noqa: E731
        self.begin(f"client-{next(self.numbers)}", call, lambda _: None, calls)

    # --- dispatchers -----------------------------------------------------------------------------------------------

    @initialize()
    def first_dispatcher(self) -> None:
        """Start the first dispatcher."""
        self.new_dispatcher(10_000)

    @rule(calls=CALLS)
    @precondition(lambda self: len(self.dispatchers) < 2)
    def new_dispatcher(self, calls: int) -> None:
        """Start another dispatcher; an older one may still believe that it is in charge."""
        process = Process(f"dispatcher-{next(self.numbers)}")
        self.dispatchers.append(process)

        def took_charge(operation: Operation) -> None:
            if isinstance(operation.answer, Dispatcher):
                process.mind = operation.answer
            else:
                self.dispatchers.remove(process)

        jobs = Jobs(self.store, clock=lambda: self.now)
        self.begin(
            process.name,
            lambda: Dispatcher(jobs, SETTINGS, clock=lambda: self.now, wall=lambda: self.now, lock=SteppedLock()),
            took_charge,
            calls,
        )

    def free(self) -> list[Process]:
        """Return the dispatchers that have taken charge. Several calls to one may run at once."""
        return [process for process in self.dispatchers if process.mind]

    def end(self, process: Process) -> None:
        """End a process and every call in it."""
        if process in self.dispatchers:
            self.dispatchers.remove(process)
        for running in [each for each in self.running if each.who == process.name]:
            if running in self.running:
                self.proceed(running, "die", 0)

    def tell(self, process: Process, call: Callable[[Dispatcher], object], calls: int, then: Any = None) -> None:
        """Call a dispatcher, which ends if it dies or sees a higher epoch."""
        mind = process.mind
        assert mind

        def heard(operation: Operation) -> None:
            error = operation.error
            if isinstance(error, Died) or (isinstance(error, LeaseLost) and "epoch" in error.facts):
                self.end(process)
            elif then and error is None:
                then(operation.answer)

        self.begin(process.name, lambda: call(mind), heard, calls)

    @rule(data=st.data(), what=st.sampled_from(("tick", "sweep", "nudge")), calls=CALLS)
    @precondition(lambda self: self.free())
    def look_around(self, data: st.DataObject, what: str, calls: int) -> None:
        """Let a dispatcher look for news."""
        process = data.draw(st.sampled_from(self.free()))
        if what == "nudge" and self.answered:
            video = data.draw(st.sampled_from(self.answered))
            self.tell(process, lambda mind: mind.nudge(video), calls)
        else:
            self.tell(process, Dispatcher.sweep if what == "sweep" else Dispatcher.tick, calls)

    @rule(data=st.data())
    @precondition(lambda self: self.free())
    def kill_dispatcher(self, data: st.DataObject) -> None:
        """Kill a dispatcher at any point."""
        self.end(data.draw(st.sampled_from(self.free())))

    # --- workers ---------------------------------------------------------------------------------------------------

    @rule(data=st.data(), worker=st.sampled_from(WORKERS), calls=CALLS)
    @precondition(lambda self: self.free())
    def ask(self, data: st.DataObject, worker: str, calls: int) -> None:
        """Let a worker ask for an order; the answer may get lost."""
        worker_hand = self.hands[worker]

        def got(answer: object) -> None:
            if isinstance(answer, Order) and worker_hand is self.hands[worker] and answer not in worker_hand.orders:
                worker_hand.orders.append(answer)

        process = data.draw(st.sampled_from(self.free()))
        self.tell(process, lambda mind: mind.ask(worker_hand.card), calls, got)

    def with_order(self) -> list[tuple[Hand, Order]]:
        """Return the workers that could end an order now."""
        return [(each, order) for each in self.hands.values() if not self.busy(each.card.id) for order in each.orders]

    @rule(data=st.data(), how=st.sampled_from(("commit", "commit", "commit", "release")), calls=CALLS)
    @precondition(lambda self: self.with_order())
    def end_order(self, data: st.DataObject, how: str, calls: int) -> None:
        """Let a worker commit or return its lease, which it may have lost long ago."""
        worker_hand, order = data.draw(st.sampled_from(self.with_order()))
        worker_hand.orders.remove(order)

        def heard(operation: Operation) -> None:
            if isinstance(operation.error, Died):
                self.replace(worker_hand)

        jobs = Jobs(self.store, clock=lambda: self.now)
        work = commit if how == "commit" else release
        self.begin(worker_hand.card.id, lambda: work(jobs, worker_hand.card.id, order), heard, calls)

    @rule(data=st.data(), how=st.sampled_from(("beat", "error", "store", "damaged")), calls=CALLS)
    @precondition(lambda self: self.free() and self.with_order())
    def report(self, data: st.DataObject, how: str, calls: int) -> None:
        """Let a worker report progress or failure."""
        worker_hand, order = data.draw(st.sampled_from(self.with_order()))
        process, worker = data.draw(st.sampled_from(self.free())), worker_hand.card.id
        where = {"job": order.job.id, "key": order.key, "attempt": order.attempt, "worker": worker}
        if how == "beat":
            self.tell(process, lambda mind: mind.beat(worker_hand.card, Progress(**where)), calls)
            return
        worker_hand.orders.remove(order)
        failure = Failure(**where, code=how, message="x", counts=how != "store")
        self.tell(process, lambda mind: mind.give_up(failure), calls)

    @rule(data=st.data(), worker=st.sampled_from(WORKERS), calls=CALLS)
    @precondition(lambda self: self.free())
    def kill_worker(self, data: st.DataObject, worker: str, calls: int) -> None:
        """Kill a worker; a dispatcher hears of it, and a new process takes its place."""
        died = self.hands[worker].card.id
        for running in [each for each in self.running if each.who == died]:
            self.proceed(running, "die", 0)
        self.replace(self.hands[worker])
        process = data.draw(st.sampled_from(self.free()))
        self.tell(process, lambda mind: mind.worker_died(died), calls)

    # --- the store -------------------------------------------------------------------------------------------------

    @rule(data=st.data(), gone=st.booleans())
    @precondition(lambda self: self.stored())
    def lose(self, data: st.DataObject, *, gone: bool) -> None:
        """Let the store lose an object that a ledger names, or change its bytes."""
        path, self.has_losses = self.real.root / data.draw(st.sampled_from(self.stored())), True
        path.unlink()
        if not gone:
            path.write_bytes(b"damaged")

    def stored(self) -> list[str]:
        """Return the keys of the objects that ledgers name."""
        named = (each for log in self.logs.values() for entry in log for each in entry.event.artifacts.values())
        return [each.key for each in named if (self.real.root / each.key).exists()]

    def replace(self, old: Hand) -> None:
        """Start a new process in the same slot."""
        for slot, each in self.hands.items():
            if each is old:
                self.hands[slot] = hand(f"{slot.partition('.')[0]}.{next(self.numbers)}")

    # --- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def the_logs_obey(self) -> None:
        """Check that each entry follows from the earlier ones, and that none changes or gets lost."""
        ledger = Ledger(self.real)
        names = {path.name for path in (self.real.root / "jobs").glob("video_*")}
        for video in sorted({*map(JobId, names), *self.logs}):
            known = self.logs.setdefault(video, [])
            for entry in ledger.following(video, len(known) - 1):
                self.check_next(video, known, entry)
                known.append(entry)
            if known and not (self.real.root / "jobs" / video / "log").exists():
                assert known[-1].state.status == "deleted", "a log went without a tombstone"
                self.forgotten.add(video)
        for video in self.answered:
            assert self.logs.get(video), "an answered video has no ledger"

    def check_next(self, video: JobId, before: list[Entry], entry: Entry) -> None:
        """Check an entry, as far as possible without farm/ledger/states.py, to find errors in it."""
        event = entry.event
        if not before:
            assert entry.state == (accepted(event) if event.name == "accepted" else entry.state)
            assert event.name in {"accepted", "deleted"}
            assert event.name == "accepted" or video not in self.answered, "an answered video was given up"
            return
        last = before[-1]
        assert entry.state == advance(last.state, event, seq=entry.seq, at=entry.at), "the state is not the log's fold"
        assert entry.epoch >= last.epoch, "a dispatcher of the past wrote"
        assert last.state.status != "deleted"
        if event.name == "deleted":
            assert video in self.deletions
        if event.attempt is not None:
            lease = before[event.attempt].event
            assert (lease.name, lease.key) == ("leased", event.key)
            assert event.worker in {None, lease.worker}
            later = before[event.attempt + 1 :]
            assert not any(other.event.attempt == event.attempt for other in later), "a lease ended twice"
            assert not any(other.event.name in {"cancel", "failed"} for other in later), "a lease outlived its video"
        if event.name == "committed":
            assert last.state.status in OPEN
            since = [other.event for other in before]
            losses = [number for number, other in enumerate(since) if str(event.key) in other.lost]
            since = since[losses[-1] if losses else 0 :]
            if not str(event.key).startswith(("section", "decode")):  # another prompt is encoded again
                edits = [number for number, other in enumerate(since) if other.name == "edited"]
                since = since[edits[-1] if edits else 0 :]
            assert not any(other.name == "committed" and other.key == event.key for other in since)

    def abandoned(self, video: JobId | None) -> bool:
        """Tell whether a sweep gave the video up."""
        return video is not None and [entry.event.name for entry in self.logs.get(video, [])] == ["deleted"]

    # --- the end: everything that runs dies or ends, then the farm is left alone ---------------------------------

    def teardown(self) -> None:
        """Check that a farm without further trouble renders every accepted video and tidies up the rest."""
        try:
            self.settle()
        finally:
            self.patches.close()
            self.folder.cleanup()

    def settle(self) -> None:
        """End the story."""
        self.all_die()
        self.the_logs_obey()
        jobs, minds = Jobs(self.real, clock=lambda: self.now), [each.mind for each in self.dispatchers if each.mind]
        mind = minds[-1] if minds else self.heir(jobs)
        self.now += 60.0
        for video in self.living():
            if self.logs[video][-1].state.status == "paused":
                jobs.wish(video, "resume", owner="alice")
        try:
            self.render(mind)
        except LeaseLost:  # it was not in charge any more
            self.render(self.heir(jobs))
        self.the_logs_obey()
        for video in self.living():
            assert self.logs[video][-1].state.status in ENDED, "an accepted video was not rendered to its end"
        heir = self.heir(jobs)
        if self.has_losses:
            self.repair(heir)
        for _ in range(3):
            self.now += HOUR_S
            heir.sweep()
        self.the_logs_obey()
        assert self.real.list("open/") == []
        for video in self.logs.keys() - set(self.living()):
            left = [path for path in self.real.root.rglob("*") if path.is_file() and video in str(path)]
            assert left == [], "a deleted video left something behind"
        live = [jobs.get(video, owner="alice").job for video in self.living()]
        claims = [job.idempotency for job in live if job.idempotency]
        assert len(claims) == len(set(claims)), "two videos for one Idempotency-Key"
        page = read_page(jobs, owner="alice", limit=100)
        assert {record.job.id for record in page.records} == {job.id for job in live}

    def repair(self, heir: Dispatcher) -> None:
        """Check that what ended videos lost is made again, and that nothing of a completed one is lost then."""
        have_made_again(self.real, Checker(self.real, now=self.now, grace_s=HOUR_S).findings(), storage="here")
        self.render(heir)
        self.the_logs_obey()
        for video in self.living():
            state = self.logs[video][-1].state
            assert state.status in ENDED, "a repaired video was not rendered to its end"
            for seq in made(state).values() if state.status == "completed" else ():
                for artifact in self.logs[video][seq].event.artifacts.values():
                    check_object(self.real, artifact)

    def living(self) -> list[JobId]:
        """Return the accepted videos that are not deleted, even if their client got no answer."""
        return [video for video, log in self.logs.items() if log and log[-1].state.status != "deleted"]

    def heir(self, jobs: Jobs) -> Dispatcher:
        """Start a dispatcher on the store as it is."""
        return Dispatcher(jobs, SETTINGS, clock=lambda: self.now, wall=lambda: self.now)

    def render(self, mind: Dispatcher) -> None:
        """Let two new workers do everything."""
        mind.tick()  # leases of those that are gone run out
        self.now += 60.0
        mind.tick()
        mind.sweep()
        workers = [hand("worker-0.end"), hand("worker-1.end")]
        jobs = Jobs(self.real, clock=lambda: self.now)
        in_vain = 0
        while in_vain < 3:  # "go" is "ask again": an order may be kept for the other worker for some seconds
            done = [self.does_one(mind, jobs, each) for each in workers]
            in_vain = 0 if any(done) else in_vain + 1
            self.now += 6.0
            mind.tick()  # a lease that the sweep was the first to see runs out now

    def does_one(self, mind: Dispatcher, jobs: Jobs, worker: Hand) -> bool:
        """Let the worker do one order, if there is one for it."""
        order = mind.ask(worker.card)
        if not isinstance(order, Order):
            return False
        damage = damage_of(jobs, worker.card.id, order)
        mind.give_up(damage) if damage else commit(jobs, worker.card.id, order)
        return True


Farm.TestCase.settings = settings(
    max_examples=EXAMPLES or 60,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],  # to shrink takes minutes
)
TestTheLedgersRules = Farm.TestCase
