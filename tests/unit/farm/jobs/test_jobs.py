"""The farm accepts, finds and erases videos, even if the process dies between two writes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from farm.contract import Failure, JobId, JobPlan, Order
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import Conflict, InvalidRequest, NotFound, Unavailable
from farm.jobs import Jobs, Record, Submission, pages
from farm.ledger import Entry
from farm.ledger.notes import mark
from farm.ledger.states import OPEN, Event
from farm.request import VideoRequest
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.clock import Clock
from tests.pages import read_page
from tests.unit.conftest import Hand

Accept = Callable[..., Record]


def test_accept_then_get(jobs: Jobs, accept: Accept, png: bytes) -> None:
    """Another process finds the accepted video and its inputs."""
    job, head = accept(prompt="a dog")
    again = Jobs(jobs.store).get(job.id, owner="local")
    assert again == Record(job, head)
    assert again.job.request.prompt == "a dog"
    assert jobs.store.get(again.job.inputs["start"].key) == png
    assert jobs.open_ids() == [job.id]


def test_another_owners_video_is_not_there(jobs: Jobs, accept: Accept) -> None:
    """Another owner gets the same NotFound as for an id that never existed."""
    job, _ = accept(owner="alice")
    with pytest.raises(NotFound):
        jobs.get(job.id, owner="bob")
    assert read_page(jobs, owner="bob", limit=9, order="desc", status=None) == ([], False, None)


@pytest.mark.parametrize("bad", ["../../etc", "video_" + "0" * 32, "video_/../x", "", "video_" + "Z" * 32])
def test_ids_that_are_none(jobs: Jobs, bad: str) -> None:
    """An unknown or malformed id is NotFound and never becomes part of a path."""
    with pytest.raises(NotFound):
        jobs.get(bad, owner="local")


def test_the_same_key_gives_the_same_video(accept: Accept) -> None:
    """An Idempotency-Key with the same request returns the first video; keys of two owners are different keys."""
    first = accept(key="k")
    assert accept(key="k").job.id == first.job.id
    assert accept(key="k", owner="bob").job.id != first.job.id


def test_the_same_key_for_another_request_is_refused(accept: Accept, jobs: Jobs) -> None:
    """The same key with another request is a Conflict, and the farm stores nothing."""
    accept(key="k", sent="a")
    with pytest.raises(Conflict, match="Idempotency-Key"):
        accept(key="k", sent="b")
    assert len(jobs.open_ids()) == 1


def test_pages(jobs: Jobs, plan: JobPlan) -> None:
    """Pages show videos newest first or oldest first, without gaps or repeats, and filter by status."""
    ticks = count(1000)
    apart = Jobs(jobs.store, clock=lambda: next(ticks))
    request = VideoRequest(prompt="a cat", model="tiny")
    made = [apart.accept(Submission(request, plan, {}, "local", fingerprint="a")).job.id for _ in range(5)]
    jobs.wish(made[2], "cancel", owner="local")
    for order, expected in (("desc", made[::-1]), ("asc", made)):
        seen: list[str] = []
        more = True
        while more:
            page, more, _ = read_page(
                jobs,
                owner="local",
                after=seen[-1] if seen else None,
                limit=2,
                order=order,
                status=None,
            )
            seen += [record.job.id for record in page]
        assert seen == expected
    page, _, _ = read_page(jobs, owner="local", limit=9, order="desc", status="cancelled")
    assert [record.job.id for record in page] == [made[2]]


def test_a_page_that_says_more_says_where(jobs: Jobs, accept: Accept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that met only unaccepted videos says where to go on; otherwise a client would start over for ever."""
    monkeypatch.setattr(pages, "MOST_LOOKS", 3)
    jobs.wish(accept().job.id, "cancel", owner="local")
    for number in range(5):
        jobs.store.put_if_absent(f"owners/local/{number:013}_video_{number:032x}", b"{}")
    found, after, more = list[Record](), None, True
    while more:
        page, more, after = read_page(jobs, owner="local", after=after, status="cancelled")
        assert after or not more
        found += page
    assert len(found) == 1


def left_in(store: FolderStore) -> list[str]:
    """Return the last part of each key in the store."""
    return sorted(path.name for path in store.root.rglob("*") if path.is_file())


def test_deleting_needs_an_end_and_leaves_nothing(jobs: Jobs, accept: Accept, store: FolderStore) -> None:
    """A running video is a Conflict. An ended one goes at once, its ledger an hour later; its key is then free."""
    job, _ = accept(key="k")
    with pytest.raises(Conflict, match="cannot delete a video that is queued"):
        jobs.delete(job.id, owner="local")
    jobs.wish(job.id, "cancel", owner="local")
    jobs.delete(job.id, owner="local")
    with pytest.raises(NotFound):
        jobs.get(job.id, owner="local")
    assert left_in(store) == ["00000000.json", "00000001.json", "00000002.json", job.id]
    assert Jobs(store).sweep(job.id) is None
    assert len(left_in(store)) == 4
    assert Jobs(store, clock=lambda: time.time() + 3601).sweep(job.id) is None
    assert left_in(store) == []
    assert accept(key="k", sent="b").job.id != job.id


def test_another_process_hears_that_a_video_has_another_owner(store: FolderStore, accept: Accept) -> None:
    """A video that was deleted through one ingress may come back as another owner's; no ingress keeps the old one."""
    clock = Clock(time.time())
    one, other = Jobs(store, clock=clock), Jobs(store, clock=clock)
    job, _ = accept(owner="alice")
    assert other.get(job.id, owner="alice").job == job
    one.wish(job.id, "cancel", owner="alice")
    one.delete(job.id, owner="alice")
    clock.now += 3601
    assert one.sweep(job.id) is None
    one.ledger.begin(job.id, Event(name="accepted"))
    one.enter(job.model_copy(update={"owner": "bob"}), is_open=True)  # as an import does
    assert other.get(job.id, owner="bob").job.owner == "bob"
    with pytest.raises(NotFound):
        other.get(job.id, owner="alice")


def test_a_deleted_video_cannot_be_leased(jobs: Jobs, accept: Accept) -> None:
    """The tombstone refuses a late lease."""
    job, head = accept()
    jobs.wish(job.id, "cancel", owner="local")
    jobs.delete(job.id, owner="local")
    with pytest.raises(NotFound):
        jobs.ledger.append(job.id, Event(name="leased", key="encode", worker="w"), after=head)


class Crash(Exception):
    """The process dies here."""


class Mortal(FolderStore):
    """A store whose process dies after `left` more writes and deletes."""

    left = 10_000

    def _live(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Put, or die first."""
        self._live()
        return super().put_if_absent(key, data)

    def delete(self, key: str) -> None:
        """Delete, or die first."""
        self._live()
        super().delete(key)


def deaths(tmp_path: Path, *, most: int = 12) -> Iterator[tuple[Mortal, int]]:
    """Yield stores that die after 0, 1, 2 … writes."""
    for writes in range(most):
        yield Mortal(tmp_path / str(writes)), writes


def test_a_crash_while_accepting(tmp_path: Path, accept: Accept, jobs: Jobs) -> None:
    """After a crash between any two writes, the client's retry with the same key makes exactly one video."""
    survived = 0
    for store, writes in deaths(tmp_path):
        jobs.store = jobs.ledger.store = store
        store.left = writes
        try:
            accept(key="k")
            survived += 1
        except Crash:
            page, _, _ = read_page(Jobs(store), owner="local", limit=9, order="desc", status=None)
            assert page == []
        store.left = 10_000
        record = accept(key="k")
        page, _, _ = read_page(jobs, owner="local", limit=9, order="desc", status=None)
        assert page == [record]
        for hours in (1, 2):  # an accepting that died is given up after an hour, and forgotten after another
            late = Jobs(store, clock=lambda passed=hours * 3601: time.time() + passed)  # type: ignore[misc]
            for job_id in late.open_ids():
                late.sweep(job_id)
        assert jobs.open_ids() == [record.job.id]
        assert {path.name for path in (store.root / "jobs").iterdir()} == {record.job.id}
    assert 0 < survived < 12


def test_a_crash_while_deleting(tmp_path: Path, accept: Accept, jobs: Jobs) -> None:
    """After a crash between any two deletes, the video is gone for users or untouched; sweeps remove the rest."""
    for store, writes in deaths(tmp_path):
        jobs.store = jobs.ledger.store = store
        job, _ = accept(key="k")
        jobs.wish(job.id, "cancel", owner="local")
        store.left = writes
        with contextlib.suppress(Crash):
            jobs.delete(job.id, owner="local")
        store.left = 10_000
        fresh = Jobs(store, clock=lambda: time.time() + 3601)
        for job_id in fresh.open_ids():
            fresh.sweep(job_id)
        assert left_in(store) == [] or fresh.get(job.id, owner="local").head.state.status == "cancelled"
        assert writes < 2 or left_in(store) == []


def fail(hand: Hand, *, at_most: int = 9) -> None:
    """Fail each order until the video has ended, `at_most` times."""
    while at_most and isinstance(order := hand.dispatcher.ask(hand.card), Order):
        where = {"job": order.job.id, "key": order.key, "attempt": order.attempt, "worker": hand.card.id}
        hand.dispatcher.give_up(Failure(**where, code="boom", message="x"))
        hand.dispatcher.nudge(order.job.id)
        at_most -= 1


def cancel(hand: Hand) -> None:
    """Cancel the video and nudge the dispatcher."""
    (job_id,) = hand.jobs.open_ids()
    hand.jobs.wish(job_id, "cancel", owner="local")
    hand.dispatcher.nudge(job_id)


def all_but_the_finish(hand: Hand) -> None:
    """Commit every order but the last."""
    while (order := hand.take()).key.stage != "finish":
        hand.commit(order, **{{"encode": "conditioning", "decode": "clip"}.get(order.key.stage, "section"): b"x"})


@pytest.mark.parametrize(
    ("status", "begin", "end"),
    [
        ("completed", all_but_the_finish, Hand.finish),
        ("failed", partial(fail, at_most=2), fail),
        ("cancelled", lambda _: None, cancel),
    ],
    ids=["completed", "failed", "cancelled"],
)
def test_a_crash_while_ending(
    *,
    tmp_path: Path,
    accept: Accept,
    jobs: Jobs,
    status: str,
    begin: Callable[[Hand], None],
    end: Callable[[Hand], None],
) -> None:
    """After a crash between any two writes of an ending, a restart knows the video as open or removes its marker."""
    survived, left_open = 0, 0
    for store, writes in deaths(tmp_path):
        jobs.store = jobs.ledger.store = store
        job, _ = accept()
        hand = Hand(jobs, Dispatcher(jobs, FarmSettings()))
        begin(hand)
        store.left = writes
        try:
            end(hand)
            survived += 1
        except Crash:
            store.left = 10_000
            hand.dispatcher = Dispatcher(jobs, FarmSettings())
            if jobs.get(job.id, owner="local").head.state.status in OPEN:
                assert hand.dispatcher.live(job.id)
                left_open += 1
                end(hand)
        store.left = 10_000
        assert jobs.get(job.id, owner="local").head.state.status == status
        late = Jobs(store, clock=lambda: time.time() + 3601)  # what a sweep that died left goes after an hour
        assert Dispatcher(late, FarmSettings()).live(job.id) is None
        assert store.list("open/") == []
    assert 0 < left_open < 12 - survived < 12


def test_a_crash_while_retrying(tmp_path: Path, accept: Accept, jobs: Jobs) -> None:
    """The marker comes before the entry, so a restart finds a queued video after any crash."""
    states = set()
    for store, writes in deaths(tmp_path):
        jobs.store = jobs.ledger.store = store
        job, _ = accept()
        jobs.wish(job.id, "cancel", owner="local")
        jobs.sweep(job.id)
        store.left = writes
        with contextlib.suppress(Crash):
            jobs.wish(job.id, "retry", owner="local")
        store.left = 10_000
        dispatcher, status = Dispatcher(jobs, FarmSettings()), jobs.get(job.id, owner="local").head.state.status
        assert (dispatcher.live(job.id) is not None) == (status == "queued")
        assert jobs.open_ids() == ([job.id] if status == "queued" else [])
        states.add(status)
    assert states == {"cancelled", "queued"}


def test_markers_of_ended_and_abandoned_videos_go(jobs: Jobs, accept: Accept, store: FolderStore) -> None:
    """A sweep keeps open videos, removes markers of ended ones, and gives up interrupted acceptances after an hour."""
    job, head = accept()
    assert jobs.sweep(job.id) == Record(job, head)
    jobs.ledger.append(job.id, Event(name="cancel"))
    assert jobs.sweep(job.id) is None
    assert jobs.open_ids() == []
    lost = JobId("video_" + "a" * 32)
    mark(store, lost, at=time.time())
    assert jobs.sweep(lost) is None
    assert jobs.open_ids() == [lost]
    for hours in (1, 2):  # given up, so that one which only slept cannot go on; then forgotten
        later = Jobs(store, clock=lambda passed=hours * 3601: time.time() + passed)  # type: ignore[misc]
        assert jobs.open_ids() == [lost]
        assert later.sweep(lost) is None
    assert jobs.open_ids() == []
    assert store.list(f"jobs/{lost}/") == []


def test_an_accepting_that_slept_for_an_hour_is_told_so(tmp_path: Path, accept: Accept, jobs: Jobs) -> None:
    """A sweep gives the video up while the process is suspended: the client gets 503, and its next try succeeds."""

    class Sleepy(FolderStore):
        """A store that sleeps once before it writes entry 0, while another process sweeps."""

        slept = False

        def put_if_absent(self, key: str, data: bytes | Path) -> bool:
            """Sleep, then put."""
            if key.endswith("/log/00000000.json") and not self.slept:
                self.slept = True
                late = Jobs(FolderStore(self.root), clock=lambda: time.time() + 3601)
                (job_id,) = late.open_ids()
                assert late.sweep(job_id) is None
            return super().put_if_absent(key, data)

    jobs.store = jobs.ledger.store = Sleepy(tmp_path / "sleepy")
    with pytest.raises(Unavailable, match="ask again"):
        accept(key="k")
    record = accept(key="k")
    assert read_page(jobs, owner="local").records == [record]


def test_retry_is_found_by_a_restart(jobs: Jobs, accept: Accept) -> None:
    """A retry of an ended video restores its marker."""
    job, _ = accept()
    jobs.wish(job.id, "cancel", owner="local")
    jobs.sweep(job.id)
    assert jobs.wish(job.id, "retry", owner="local").head.state.status == "queued"
    assert jobs.open_ids() == [job.id]


class Meanwhile(FolderStore):
    """A store that lets something happen just before it removes a marker."""

    happens: Callable[[], object] | None = None

    def delete(self, key: str) -> None:
        """Let it happen once, then delete."""
        happens, self.happens = self.happens, None
        if happens and key.startswith("open/"):
            happens()
        super().delete(key)


@pytest.mark.parametrize("event", ["retry", "delete"])
def test_a_sweep_beside_a_retry_keeps_the_marker(tmp_path: Path, accept: Accept, jobs: Jobs, event: str) -> None:
    """A retry or deletion comes after the sweep has read the cancelled state: a restart still finds the video."""
    jobs.store = jobs.ledger.store = store = Meanwhile(tmp_path / "meanwhile")
    job, _ = accept()
    jobs.wish(job.id, "cancel", owner="local")
    user = Jobs(FolderStore(store.root))
    store.happens = (
        (lambda: user.delete(job.id, owner="local"))
        if event == "delete"
        else (lambda: user.wish(job.id, "retry", owner="local"))
    )
    jobs.sweep(job.id)
    assert jobs.open_ids() == [job.id]


def test_what_cannot_be_read_back_is_not_stored(accept: Accept, store: FolderStore) -> None:
    """The farm refuses a request that it could write but not read back, names it, and stores nothing."""
    deep: object = "x"
    for _ in range(230):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        accept(metadata={"deep": deep})
    assert left_in(store) == []


def test_a_sweep_beside_an_accepting_erases_nothing(
    jobs: Jobs, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry 0 appears between a sweep's two looks at the ledger: the sweep keeps the new video."""
    written = jobs.ledger.begin

    def swept_meanwhile(job_id: JobId, event: Event) -> Entry:
        sweeper = Jobs(FolderStore(jobs.store.root))  # type: ignore[attr-defined]
        look, looks = sweeper.store.list, count()

        def list_then_write(prefix: str, **options: Any) -> list[str]:
            found = look(prefix, **options)
            if next(looks) == 0:
                written(job_id, event)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(sweeper.store, "list", list_then_write)
            sweeper.sweep(job_id)
        return jobs.ledger.entry(job_id, 0)

    monkeypatch.setattr(jobs.ledger, "begin", swept_meanwhile)
    record = accept()
    monkeypatch.undo()
    fresh = Jobs(jobs.store)
    assert fresh.sweep(record.job.id) == record
    assert fresh.store.get(record.job.inputs["start"].key)
