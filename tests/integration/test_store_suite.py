"""One suite for every store: a local folder, the S3 emulator and, if installed, a real Ceph gateway."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.errors import Conflict, NotFound, StoreError
from farm.jobs import Jobs, Record
from farm.ledger.states import Event
from farm.store import FolderStore, ObjectMissing, Store
from tests.pages import read_page
from tests.s3_servers import Place

pytestmark = pytest.mark.integration
Accept = Callable[..., Record]
PROCESSES = 4
SIZES = {"race/0": 20, "race/1": 20, "race/2": 20, "race/3": 5_000_000}


def test_an_object_is_created_once(store: Store) -> None:
    """The second writer of a key gets False, and the first one's bytes stay."""
    assert store.put_if_absent("a/b.json", b"first")
    assert not store.put_if_absent("a/b.json", b"second")
    assert store.get("a/b.json") == b"first"


def _race(place: Place, start: multiprocessing.synchronize.Barrier, wins: Path) -> None:
    store, name = place.open(), multiprocessing.current_process().name
    for key, size in SIZES.items():
        start.wait()
        if store.put_if_absent(key, name.encode().ljust(size)):
            (wins / f"{key.replace('/', '_')}.{name}").touch()


def test_one_of_many_processes_wins(place: Place, tmp_path: Path) -> None:
    """Many processes create the same keys at once, small and large: one gets True, and its bytes are stored."""
    wins = tmp_path / "wins"
    wins.mkdir()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES)
    processes = [context.Process(target=_race, args=(place, start, wins)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for key in SIZES:
        (winner,) = wins.glob(f"{key.replace('/', '_')}.*")
        assert place.open().get(key).rstrip().decode() == winner.name.partition(".")[2]


def test_files_and_ranges(store: Store, tmp_path: Path) -> None:
    """An object from a file can be read whole, in part, and into a file."""
    data = bytes(range(256)) * 9000
    (tmp_path / "in").write_bytes(data)
    assert store.put_if_absent("video.mp4", tmp_path / "in")
    assert not store.put_if_absent("video.mp4", tmp_path / "in")
    assert store.size("video.mp4") == len(data)
    assert b"".join(store.open_read("video.mp4")) == data
    for start, length in ((100, 1_500_000), (0, 1), (len(data) - 1, 9), (7, None), (9, 0), (len(data), None)):
        wanted = data[start:] if length is None else data[start : start + length]
        assert b"".join(store.open_read("video.mp4", start=start, length=length)) == wanted
    store.download("video.mp4", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


def test_an_empty_object_is_one(store: Store) -> None:
    """An object may be empty."""
    assert store.put_if_absent("empty", b"")
    assert not store.put_if_absent("empty", b"x")
    assert (store.get("empty"), store.size("empty"), list(store.open_read("empty", length=5))) in [
        (b"", 0, []),
        (b"", 0, [b""]),
    ]


def test_lists_are_sorted_and_paged(store: Store) -> None:
    """A list is in key order, below one folder only, from a key on, up to a limit."""
    for key in ("p/c", "p/a", "p/sub/b", "p-/x", "p.x", "q/a"):
        store.put_if_absent(key, b"")
    assert store.list("p/") == ["p/a", "p/c", "p/sub/b"]
    assert store.list("p/", after="p/a", limit=1) == ["p/c"]
    assert store.list("p/", after="p/b") == ["p/c", "p/sub/b"]
    assert store.list("p/", after="p/sub/b") == []
    assert store.list("none/") == []


def test_existing_names_the_keys_with_an_object(store: Store) -> None:
    """Of many keys, it returns those that have an object, small or in a folder of their own; a folder is no key."""
    there = {f"there/{number:03}" for number in range(40)} | {"alone"}
    for key in there:
        store.put_if_absent(key, b"x")
    assert store.existing([*there, *(f"missing/{number}" for number in range(40)), "alone/below"]) == there
    assert store.existing([]) == set()
    with pytest.raises(StoreError, match="not an object key"):
        store.existing(["../alone"])


def test_what_is_missing_has_a_name(store: Store, tmp_path: Path) -> None:
    """Reading a key without an object raises ObjectMissing; deleting it does nothing."""
    reads: list[Callable[[str], object]] = [
        store.get,
        store.size,
        store.open_read,
        lambda key: store.open_read(key, length=0),
        lambda key: store.open_read(key, start=5, length=5),
        lambda key: store.download(key, tmp_path / "out"),
    ]
    for read in reads:
        with pytest.raises(ObjectMissing, match="no object a/b"):
            read("a/b")
    store.delete("a/b")


def test_a_deleted_key_can_be_used_again(store: Store) -> None:
    """Deleting removes the object and its empty folder, and nothing else."""
    store.put_if_absent("a/b/c", b"1")
    store.put_if_absent("a/d", b"2")
    store.delete("a/b/c")
    store.delete("a/b/c")
    assert store.list("a/") == ["a/d"]
    assert store.put_if_absent("a/b/c", b"3")
    assert store.get("a/b/c") == b"3"


@pytest.mark.parametrize("key", ["", "../x", "a/../b", "/etc/passwd", "a//b", ".tmp/x", "a/.hidden", "a b", "ä", "a/"])
def test_keys_cannot_leave_the_store(store: Store, key: str) -> None:
    """Every method refuses a key that could lead out of the store or to the store's own files."""
    for call in (store.get, store.size, store.open_read, store.delete, lambda key: store.put_if_absent(key, b"")):
        with pytest.raises(StoreError, match="not an object key"):
            call(key)


def test_the_trial_passes_and_is_remembered(store: Store) -> None:
    """The trial accepts a store that lets one writer win, and leaves only its verdict."""
    store.prove()
    left = store.list("probe/")
    store.prove()
    assert store.list("probe/") == left
    assert len(left) == (0 if isinstance(store, FolderStore) else 1)


def test_the_life_of_a_video(store: Store, accept: Accept) -> None:
    """Accepting, leasing, committing, pausing, cancelling, deleting and sweeping work alike on every store."""
    live_through(Jobs(store), accept)
    assert [key for folder in ("jobs/", "open/", "owners/", "idempotency/") for key in store.list(folder)] == []


def live_through(jobs: Jobs, accept: Accept) -> None:
    """Lead one video from its acceptance to the end of its ledger; a second reader sees each step."""
    job, head = accept(jobs, key="k")
    assert accept(jobs, key="k").job.id == job.id
    other = Jobs(jobs.store)
    assert other.open_ids() == [job.id]
    assert read_page(other, owner="local", limit=5, order="desc", status=None) == ([Record(job, head)], False, job.id)
    lease = jobs.ledger.append(job.id, Event(name="leased", key="encode", worker="w"), epoch=1, after=head)
    with pytest.raises(Conflict):
        other.ledger.append(job.id, Event(name="leased", key="encode", worker="v"), epoch=1)
    jobs.ledger.append(job.id, Event(name="committed", key="encode", attempt=lease.seq, worker="w"))
    jobs.wish(job.id, "pause", owner="local")
    assert other.get(job.id, owner="local").head.state.status == "paused"
    jobs.wish(job.id, "cancel", owner="local")
    assert [entry.seq for entry in other.ledger.following(job.id, -1)] == [0, 1, 2, 3, 4]
    jobs.delete(job.id, owner="local")
    with pytest.raises(NotFound):
        other.get(job.id, owner="local")
    late = Jobs(jobs.store, clock=lambda: time.time() + 3601)
    assert late.sweep(job.id) is None
