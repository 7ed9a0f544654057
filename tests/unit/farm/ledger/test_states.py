"""A video's state machine: each event is legal only in some states, and no history breaks the rules."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.contract import Artifact, JobPlan
from farm.errors import Conflict, LeaseLost
from farm.ledger.states import ENDED, ErrorInfo, Event, EventName, JobState, advance, complete, made, runnable

PLAN = JobPlan(
    kind="i2v", sections=3, latent_window_size=9, fps=30, height=96, width=128, frames=109, final_frames=(0, 36, 73)
)
NAMES: tuple[EventName, ...] = tuple(name for name in get_args(EventName) if name != "accepted")


def lease(state: JobState, seq: int, worker: str = "w") -> tuple[JobState, str]:
    """Lease the most urgent order."""
    key = str(runnable(PLAN, state)[0])
    return advance(state, Event(name="leased", key=key, worker=worker), seq=seq, at=0.0), key


def commit(state: JobState, key: str, attempt: int, seq: int) -> JobState:
    """Commit a lease."""
    return advance(state, Event(name="committed", key=key, attempt=attempt), seq=seq, at=5.0)


def test_a_video_from_start_to_end() -> None:
    """Orders come in this sequence, each once: encode, sections with their decodes, finish."""
    state, done, seq = JobState(), [], 0
    while state.status != "completed":
        state, key = lease(state, seq := seq + 1)
        state = commit(state, key, seq, seq := seq + 1)
        done.append(key)
    assert done == ["encode", "section/0", "section/1", "decode/1", "section/2", "decode/2", "finish"]
    assert state.ended_at == 5.0
    assert complete(PLAN, state) == 1.0
    assert runnable(PLAN, state) == []


def test_decode_and_next_section_run_side_by_side() -> None:
    """Two workers can lease section 2 and the decode of section 1 at once."""
    state = JobState(status="in_progress", conditioning=1, sections=(2, 3))
    assert [str(key) for key in runnable(PLAN, state)] == ["decode/1", "section/2"]


def test_a_zombie_cannot_commit() -> None:
    """Once its lease has expired and another worker has the order, the first worker's commit is refused."""
    state, key = lease(JobState(), 1, "zombie")
    state = advance(state, Event(name="expired", key=key, attempt=1), seq=2, at=0.0)
    with pytest.raises(LeaseLost):
        commit(state, key, 1, 3)
    state, key = lease(state, 3, "other")
    with pytest.raises(LeaseLost):
        commit(state, key, 1, 4)
    assert commit(state, key, 3, 4).conditioning == 4


def test_cancel_beats_a_later_commit() -> None:
    """A commit after a cancel is refused."""
    state, key = lease(JobState(), 1)
    state = advance(state, Event(name="cancel"), seq=2, at=9.0)
    with pytest.raises(LeaseLost, match="cancelled"):
        commit(state, key, 1, 3)


def test_a_commit_after_pause_is_taken() -> None:
    """A commit that follows a pause counts, and the video stays paused."""
    state, key = lease(JobState(), 1)
    state = commit(advance(state, Event(name="pause"), seq=2, at=0.0), key, 1, 3)
    assert state.status == "paused"
    assert state.conditioning == 3
    assert runnable(PLAN, state) == []


@pytest.mark.parametrize(("wish", "status"), [("cancel", "completed"), ("resume", "queued"), ("retry", "in_progress")])
def test_wishes_that_the_state_forbids(wish: EventName, status: str) -> None:
    """A forbidden wish is a Conflict that names the current and the required status."""
    with pytest.raises(Conflict, match=f"cannot {wish} a video that is {status}; it must be "):
        advance(JobState.model_validate({"status": status}), Event(name=wish), seq=9, at=0.0)


def test_a_saved_step_lasts_until_its_section_is_committed() -> None:
    """A returned lease leaves its saved step to the next lease; the expiry of another lease keeps it."""
    state, key = lease(JobState(status="in_progress", conditioning=1), 2)
    step = Artifact(key="jobs/x/steps/0000.a2", sha256="0" * 64, bytes=1)
    state = advance(state, Event(name="released", key=key, attempt=2, artifacts={"step": step}), seq=3, at=0.0)
    assert state.step == 3
    state, key = lease(state, 4)
    state = advance(state, Event(name="expired", key=key, attempt=4), seq=5, at=0.0)
    assert state.step == 3
    state, key = lease(state, 6)
    assert commit(state, key, 6, 7).step is None


def test_retry_keeps_what_is_made() -> None:
    """After a retry, a failed video goes on where it was and has no failures."""
    state = JobState(status="in_progress", conditioning=1, sections=(2,))
    state = advance(state, Event(name="failed", error=ErrorInfo(code="x", message="y")), seq=5, at=0.0)
    assert state.error
    state = advance(state, Event(name="retry"), seq=6, at=0.0)
    assert (state.status, state.sections, state.error, state.failures) == ("queued", (2,), None, ())


def lose(state: JobState, *orders: str, seq: int) -> JobState:
    """The store loses what these orders made; nobody holds a lease for it."""
    lost = {order: made(state)[order] for order in orders}
    why = ErrorInfo(code="damaged", message="the store s3://x loses objects")
    return advance(state, Event(name="lost", lost=lost, error=why), seq=seq, at=9.0)


WHOLE = JobState(
    status="completed", conditioning=2, sections=(4, 6, 10), clips={"1": 8, "2": 12}, video=14, ended_at=5.0
)


def test_what_a_completed_video_lost_is_made_again() -> None:
    """Each order comes once, what it starts from first; then the video is completed as of its first end."""
    state, done, seq = lose(WHOLE, "encode", "section/1", "section/2", "decode/1", "finish", seq=15), [], 15
    assert (state.status, complete(PLAN, state) < 1.0) == ("queued", True)
    while state.status != "completed":
        state, key = lease(state, seq := seq + 1)
        state = commit(state, key, seq, seq := seq + 1)
        done.append(key)
    assert done == ["encode", "section/1", "decode/1", "section/2", "finish"]
    assert (state.ended_at, state.sections[0], complete(PLAN, state)) == (5.0, 4, 1.0)


def test_what_a_remix_shares_is_never_made_again() -> None:
    """Entry 0 names the sections that came from another video; a loss of one of them changes nothing."""
    state = WHOLE.model_copy(update={"sections": (0, 6, 10)})
    with pytest.raises(Conflict, match="none of these artifacts is lost"):
        lose(state, "section/0", seq=15)
    assert lose(state, "section/0", "section/1", seq=15).lost == ("section/1",)


def test_a_loss_that_was_made_good_is_no_loss() -> None:
    """Two writers saw the same damaged section; the second one is refused, also after it was made again."""
    state = lose(WHOLE, "section/0", seq=15)
    late = Event(name="lost", lost={"section/0": 4})
    with pytest.raises(Conflict, match="none of these artifacts is lost"):
        advance(state, late, seq=16, at=0.0)
    state, key = lease(state, 16)
    state = commit(state, key, 16, 17)
    assert (state.status, state.sections) == ("completed", (17, 6, 10))
    with pytest.raises(Conflict, match="none of these artifacts is lost"):
        advance(state, late, seq=18, at=0.0)


def test_the_fourth_loss_of_one_thing_ends_the_video() -> None:
    """It was made again three times: the error is the writer's, which names the store. A retry goes on."""
    state, seq = WHOLE, 20
    for _ in range(3):
        state = lose(state, "decode/2", seq=seq)
        assert state.status == "queued"
        state, key = lease(state, seq + 1)
        state = commit(state, key, seq + 1, seq + 2)
        seq += 3
    state = lose(state, "decode/2", seq=seq)
    assert (state.status, state.error and state.error.message) == ("failed", "the store s3://x loses objects")
    state = advance(state, Event(name="retry"), seq=seq + 1, at=0.0)
    state, key = lease(state, seq + 2)
    assert (key, commit(state, key, seq + 2, seq + 3).status) == ("decode/2", "completed")


def test_a_worker_that_misses_something_loses_its_lease() -> None:
    """The order that started from it comes again after it; a lost step costs only the steps."""
    state = JobState(status="in_progress", conditioning=1, sections=(2,), step=5)
    state, key = lease(state, 6)
    event = Event(name="lost", key=key, attempt=6, lost={"section/0": 2, "step": 5})
    state = advance(state, event, seq=7, at=0.0)
    assert (key, state.leases, state.step, state.failures) == ("section/1", {}, None, ())
    assert [str(each) for each in runnable(PLAN, state)] == ["section/0"]
    state, key = lease(state, 8)
    saved = Artifact(key="jobs/x/steps/0000.a8", sha256="0" * 64, bytes=1)
    state = advance(state, Event(name="released", key=key, attempt=8, artifacts={"step": saved}), seq=9, at=0.0)
    assert state.step is None  # a step of section 0 is none of section 1
    assert [str(each) for each in runnable(PLAN, state)] == ["section/0"]


def test_a_cancelled_video_loses_and_stays_cancelled() -> None:
    """Its retry makes it again."""
    state = JobState(status="cancelled", conditioning=1, sections=(2,), ended_at=3.0)
    state = lose(state, "encode", seq=5)
    assert (state.status, runnable(PLAN, state)) == ("cancelled", [])
    state = advance(state, Event(name="retry"), seq=6, at=0.0)
    assert [str(each) for each in runnable(PLAN, state)] == ["encode"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 40), st.booleans()), max_size=60))
def test_no_history_breaks_the_rules(history: list[tuple[EventName, int, bool]]) -> None:
    """For any events in any order, results only grow, an ended video has no leases, and a commit needs its lease."""
    state = JobState()
    for seq, (name, attempt, urgent) in enumerate(history, start=1):
        there = made(state)
        lost = {order: there[order] for order in list(there)[attempt % 3 :: 3]} if name == "lost" else {}
        keys = [*map(str, runnable(PLAN, state)), "encode", *state.leases]
        key = keys[0] if urgent else keys[-1]
        held = state.leases.get(key)
        event = Event(name=name, key=key, attempt=held.attempt if held and urgent else attempt, worker="w", lost=lost)
        if lost and not urgent:  # as fsck writes it
            event = event.model_copy(update={"key": None, "attempt": None})
        before = state
        try:
            state = advance(state, event, seq=seq, at=float(seq))
        except (Conflict, LeaseLost):
            continue
        kept = [old for k, old in enumerate(before.sections) if f"section/{k}" not in before.lost]
        assert set(kept) <= set(state.sections)
        assert len(state.sections) >= len(before.sections)
        assert len(state.sections) <= PLAN.sections
        assert set(before.clips) <= set(state.clips)
        assert not (state.leases and state.status in ENDED | {"deleted"})
        if name == "committed":
            assert held
            assert held.attempt == event.attempt
        if before.status in ENDED:
            assert name in {"retry", "deleted", "lost"}
        if state.status == "completed":
            assert not state.lost
            assert "finish" in made(state)
        if state.status in {"queued", "in_progress"}:
            assert runnable(PLAN, state) or state.leases
