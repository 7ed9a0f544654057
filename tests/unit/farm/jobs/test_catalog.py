"""Lists show what the store says, also after another process changed it, and stay within their memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.contract import JobId, JobPlan, LiveJob
from farm.errors import Conflict, NotFound
from farm.ingress.views import encoded
from farm.jobs import Jobs, Record, Submission
from farm.jobs.catalog import Catalog
from farm.jobs.pages import Wanted, read_page
from farm.ledger import Ledger
from farm.ledger.layout import entry_key
from farm.ledger.states import Event
from farm.request import VideoEdit, VideoRequest
from farm.store import FolderStore
from tests.clock import Clock

Accept = Callable[..., Record]
HOUR_S = 3600.0
PLAN = JobPlan(kind="i2v", sections=1, latent_window_size=9, fps=30, height=64, width=64, frames=37, final_frames=(37,))
STILL = Clock()


def catalog_of(jobs: Jobs, *, most_bytes: int = 1 << 20, clock: Callable[[], float] = STILL) -> Catalog:
    """A catalog of that store, as an ingress has it."""
    return Catalog(jobs, lambda record, _: encoded(record, None, keep_days=None), most_bytes=most_bytes, clock=clock)


def shown(catalog: Catalog, **wanted: object) -> list[bytes]:
    """The answers on the first page."""
    page = read_page(catalog, owner="local", limit=100, wanted=Wanted(**wanted))  # type: ignore[arg-type]
    return [catalog.answer(listed, None) for listed in page.videos]


ACTS = ("accept", "cancel", "retry", "pause", "resume", "label", "name", "delete", "sweep", "bring back", "hour")


@given(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 2)), max_size=25))
@settings(max_examples=40)
def test_a_list_shows_what_the_store_holds(acts: list[tuple[str, int]]) -> None:
    """Others accept, change, delete and import videos; after each act, a list with a memory equals one without."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        store = FolderStore(Path(folder))
        ours, other = catalog_of(Jobs(store, clock=clock), clock=clock), Jobs(store, clock=clock)
        videos = list[Record]()
        for act, number in acts:
            if act == "accept":
                videos.append(accept(other))
            elif act == "hour":
                clock.now += HOUR_S + 1
            elif videos:
                with_others(other, act, videos[number % len(videos)])
            fresh = catalog_of(Jobs(store, clock=clock))
            for wanted in ({}, {"status": "cancelled"}, {"status": "queued"}, {"starred": True}, {"q": "NAME"}):
                assert shown(ours, **wanted) == shown(fresh, **wanted), (act, wanted)


def accept(jobs: Jobs) -> Record:
    """Accept a video."""
    request = VideoRequest(prompt="a cat", model="tiny", seed=1)
    return jobs.accept(Submission(request, PLAN, {}, "local", fingerprint=uuid4().hex))


def with_others(jobs: Jobs, act: str, video: Record) -> None:
    """Let another process do this to the video; what the state forbids does not happen."""
    id_ = video.asked.id
    try:
        if act == "label":
            starred = "starred" in jobs.get(id_, owner="local").job.request.labels
            jobs.edit(id_, VideoEdit(labels=() if starred else ("starred",)), owner="local")
        elif act == "name":
            jobs.edit(id_, VideoEdit(name=f"name {uuid4().hex}"), owner="local")
        elif act == "delete":
            jobs.delete(id_, owner="local")
        elif act == "sweep":
            jobs.sweep(id_)
        elif act == "bring back":
            bring_back(jobs, video)
        else:
            jobs.wish(id_, act, owner="local")  # type: ignore[arg-type]
    except (Conflict, NotFound):
        return


def bring_back(jobs: Jobs, video: Record) -> None:
    """Import the video under its old id, once nothing is left of it: with a ledger as long as it had, or longer."""
    job = video.asked
    if jobs.ledger.newest(job.id) is not None:
        return
    ledger = Ledger(jobs.store)
    ledger.begin(job.id, Event(name="accepted"))
    for _ in range(3):
        ledger.append(job.id, Event(name="edited", edit=VideoEdit(name="it came back")))
    jobs.enter(job, is_open=True)


def test_a_video_that_comes_back_is_read_again(jobs: Jobs) -> None:
    """Deleted, swept and imported under its old id with a ledger of the same length, it is the new one."""
    clock = Clock()
    jobs = Jobs(jobs.store, clock=clock)
    video = accept(jobs)
    jobs.wish(video.job.id, "pause", owner="local")
    jobs.wish(video.job.id, "resume", owner="local")
    jobs.wish(video.job.id, "cancel", owner="local")
    ours, other = catalog_of(jobs, clock=clock), Jobs(jobs.store, clock=clock)
    assert b'"cancelled"' in shown(ours)[0]
    other.delete(video.job.id, owner="local")
    clock.now += HOUR_S + 1
    assert other.sweep(video.job.id) is None
    bring_back(other, video)
    assert b"it came back" in shown(ours)[0]


def test_a_damaged_entry_leaves_the_others(jobs: Jobs, accept: Accept, store: FolderStore) -> None:
    """A video with a damaged newest entry is left out; once the entry is mended, it is back."""
    first, second = accept(), accept(sent="b")
    catalog = catalog_of(jobs)
    assert len(shown(catalog)) == 2
    path = store.root / entry_key(first.job.id, 1)
    path.write_bytes(b"{")
    assert [first.job.id.encode() in answer for answer in shown(catalog)] == [False]
    assert second.job.id.encode() in shown(catalog)[0]
    path.unlink()
    assert len(shown(catalog)) == 2


def test_it_keeps_no_more_than_it_may(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for three videos, the three that lists showed last are not read again, and the pages stay right."""
    for number in range(12):
        request = VideoRequest(prompt="a cat " * 600, model="tiny", seed=number)
        record = jobs.accept(Submission(request, PLAN, {}, "local", fingerprint=uuid4().hex))
        jobs.wish(record.job.id, "cancel", owner="local")
    small, large = catalog_of(jobs, most_bytes=40_000), catalog_of(jobs)
    assert shown(small) == shown(large)
    reads, get = list[str](), jobs.get

    def counting(id_: str, *, owner: str) -> Record:
        reads.append(id_)
        return get(id_, owner=owner)

    monkeypatch.setattr(jobs, "get", counting)
    ids = [listed.id for listed in read_page(large, owner="local").videos]
    assert reads == []
    for id_ in reversed(ids):
        assert small.look([id_], owner="local") == large.look([id_], owner="local")
    assert reads == ids[-4::-1]


def test_an_open_video_is_shown_as_the_dispatcher_knows_it(jobs: Jobs, accept: Accept) -> None:
    """The answer of an open video changes with the dispatcher's knowledge, without a new entry."""
    accept()
    catalog = Catalog(jobs, lambda record, live: encoded(record, live, keep_days=None))
    for position in (3, 2, None):
        listed = read_page(catalog, owner="local").videos[0]
        live = None if position is None else LiveJob(queue_position=position)
        text = f'"queue_position":{"null" if position is None else position}'.encode()
        assert text in catalog.answer(listed, live)


def test_ids_of_other_owners_show_nothing(jobs: Jobs, accept: Accept) -> None:
    """An owner who looks for another owner's video finds nothing, whether it is remembered or not."""
    video, catalog = accept(owner="ann"), catalog_of(jobs)
    assert catalog.look([video.job.id], owner="bob") == [None]
    assert catalog.look([video.job.id], owner="ann") != [None]
    assert catalog.look([video.job.id], owner="bob") == [None]
    assert catalog.look([JobId(f"video_{0:032x}")], owner="ann") == [None]
