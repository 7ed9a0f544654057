"""Files end at their expiry, and nothing that happens at the same time breaks one."""

from __future__ import annotations

import pytest

from farm.dispatch.dispatcher import Dispatcher
from farm.errors import Damaged, NotFound, StoreError
from farm.jobs import Jobs
from farm.jobs.erase import Eraser
from farm.jobs.files import Files, has_expired
from farm.jobs.leftovers import Leftovers
from farm.jobs.scripts import ScriptSession
from farm.ledger.layout import FILES
from farm.ledger.notes import FileNote, ScriptSections
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.clock import Clock

NOTE = FileNote(filename="a.png", purpose="vision", media_type="image/png", bytes=2, width=64, height=48)
DATA = b"\n\n"  #: the object's first line is the note


@pytest.fixture
def files(store: FolderStore, clock: Clock) -> Files:
    """Files that are kept for an hour."""
    return Files(store, hours=1, clock=clock)


def test_a_file_ends_at_its_expiry(files: Files, store: FolderStore, clock: Clock) -> None:
    """Nobody sees it from then on, and the sweep erases it; a renewed one stays."""
    kept, gone = files.keep(DATA, NOTE, owner="ann"), files.keep(b"b", NOTE, owner="ann")
    clock.now += 1800
    assert files.keep(DATA, NOTE, owner="ann").key.created_ms == kept.key.created_ms
    clock.now += 1801
    with pytest.raises(NotFound):
        files.get(gone.id, owner="ann")
    assert [file.id for file in files.page(owner="ann").files] == [kept.id]
    assert len(store.list("files/")) == 2
    assert Eraser(store, FILES).erase_some(lambda key: has_expired(key, now_s=clock())) is False
    assert len(store.list("files/")) == 1
    assert files.read(kept.id, owner="ann")[1] == DATA
    clock.now += 1800
    again = files.keep(DATA, NOTE, owner="ann")
    assert again.key.created_ms == int(clock() * 1000)  # the expired one was another file


def test_the_later_expiry_wins(files: Files, store: FolderStore, clock: Clock) -> None:
    """A program that wants the bytes erased soon takes them from no other; sending them again still mends damage."""
    kept = files.keep(DATA, NOTE, owner="ann")
    (store.root / str(kept.key)).write_bytes(b"x")
    again = files.keep(DATA, NOTE, owner="ann", most_s=60)
    assert again.key.expires_ms >= kept.key.expires_ms
    clock.now += 61
    assert files.read(kept.id, owner="ann")[1] == DATA
    assert len(store.list("files/")) == 1
    soon = files.keep(b"b", NOTE, owner="ann", most_s=60)
    clock.now += 61
    with pytest.raises(NotFound):
        files.get(soon.id, owner="ann")


def test_a_file_that_cannot_be_erased_stops_no_other_expiry(
    jobs: Jobs, files: Files, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the fault; other files, notes of scripts and leftovers go all the same."""
    held, gone = files.keep(DATA, NOTE, owner="ann"), files.keep(b"b", NOTE, owner="ann")
    session = ScriptSession(jobs.store, owner="ann", name="s", clock=clock)
    session.set_sections(ScriptSections(numbers=(), files=()))
    leftovers = list[float]()
    dispatcher = Dispatcher(jobs, FarmSettings(file_hours=1), clock=clock, wall=clock)
    monkeypatch.setattr(Leftovers, "erase_some", lambda _, *, now_s: leftovers.append(now_s))
    delete = FolderStore.delete

    def delete_others(store: FolderStore, key: str) -> None:
        if key == str(held.key):
            raise StoreError(f"{key} is locked")
        delete(store, key)

    monkeypatch.setattr(FolderStore, "delete", delete_others)
    clock.now += 3 * 3600
    dispatcher.sweep()
    assert jobs.store.list("files/") == [str(held.key)]
    assert gone.key != held.key
    assert jobs.store.list("scripts/") == []
    assert leftovers == [clock()]
    assert f"{held.key} is locked" in caplog.text


def test_the_dispatcher_erases_them(jobs: Jobs, files: Files, clock: Clock) -> None:
    """At its sweep, a portion at a time; videos without FARM_KEEP_DAYS stay."""
    for n in range(201):
        files.keep(bytes([n]), NOTE, owner="ann")
    dispatcher = Dispatcher(jobs, FarmSettings(), clock=clock, wall=clock)
    clock.now += 3601
    dispatcher.sweep()
    assert len(jobs.store.list("files/")) == 1
    dispatcher.sweep()
    assert jobs.store.list("files/") == []


def test_many_files_that_cannot_be_erased_keep_none_behind_them(
    jobs: Jobs, files: Files, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sweep tries five of them and the next one goes on behind; once at the end, it tries them again later."""
    for n in range(12):
        files.keep(bytes([n]), NOTE, owner="ann")
    *held, last = jobs.store.list(FILES)
    dispatcher = Dispatcher(jobs, FarmSettings(), clock=clock, wall=clock)
    delete = FolderStore.delete

    def delete_last(store: FolderStore, key: str) -> None:
        if key in held:
            raise StoreError(f"{key} is locked")
        delete(store, key)

    monkeypatch.setattr(FolderStore, "delete", delete_last)
    clock.now += 3601
    for tried in (5, 10, 11):
        dispatcher.sweep()
        assert caplog.text.count("is locked") == tried
    assert jobs.store.list(FILES) == held
    dispatcher.sweep()
    assert caplog.text.count("is locked") == 11
    monkeypatch.setattr(FolderStore, "delete", delete)
    clock.now += 601
    dispatcher.sweep()
    assert jobs.store.list(FILES) == []
    assert last not in held


def test_two_senders_at_once(files: Files, store: FolderStore, clock: Clock) -> None:
    """Both objects hold the file, and the later expiry counts."""
    one = files.keep(DATA, NOTE, owner="ann")
    raw = store.get(str(one.key))
    clock.now += 5
    other = one.key._replace(created_ms=one.key.created_ms + 5000, expires_ms=one.key.expires_ms + 5000)
    store.put_if_absent(str(other), raw)
    assert files.get(one.id, owner="ann").key == other
    assert len(files.page(owner="ann").files) == 1
    files.delete(one.id, owner="ann")
    assert store.list("files/") == []


def test_a_damaged_file_says_so_and_sending_it_again_mends_it(files: Files, store: FolderStore, clock: Clock) -> None:
    """Its list leaves it out only where it cannot say what it is."""
    file = files.keep(DATA, NOTE, owner="ann")
    path = store.root / str(file.key)
    path.write_bytes(path.read_bytes() + b"x")
    assert files.get(file.id, owner="ann").note == NOTE
    with pytest.raises(Damaged, match="send the file again"):
        files.read(file.id, owner="ann")
    path.write_bytes(b"x")
    with pytest.raises(Damaged, match="send the file again"):
        files.get(file.id, owner="ann")
    assert files.page(owner="ann").files == []
    clock.now += 1
    assert files.read(files.keep(DATA, NOTE, owner="ann").id, owner="ann")[1] == DATA
