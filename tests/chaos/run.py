"""One run: undisturbed videos first, then the same requests under faults, then the books."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from farm.jobs import Jobs
from tests.chaos.audit import read_books
from tests.chaos.customers import Owner, await_all, keep_busy
from tests.chaos.door import Door
from tests.chaos.farm import FarmUnderTest
from tests.chaos.faults import KINDS, Injector, Kind, Missed, Track
from tests.chaos.poison import Poison
from tests.chaos.report import FaultDone, Report
from tests.chaos.store import StoreUnderTest, store_under_test
from tests.chaos.videos import REQUESTS, Made
from tests.hosts import hosts

_OWNERS = ("ada", "ben", "cleo")
_POISON = "many steps"
_END_S = 600.0  #: after the last fault every video has ended within this
_TRACKS: dict[Track, float] = {"farm": 1.0, "store": 3.0}  #: how many mean pauses lie between two faults of a track


@dataclass(frozen=True)
class Wanted:
    """The kind of a run."""

    seed: int = 0
    faults: int = 200
    minutes: float = 120.0
    workers: int = 2  #: on the head
    nodes: Mapping[str, str] = field(default_factory=dict)  #: machines that join: name -> VRAM class
    lease_s: float = 10.0
    pause_s: float = 2.0  #: mean time between two faults of a track
    at_once: int = 2  #: videos that each owner has going
    requests: Sequence[str] = tuple(REQUESTS)
    kinds: Sequence[Kind] = KINDS
    on_hosts: bool = False  #: head, each node and the store on machines of their own; this process enters their network
    each_once: bool = False  #: every kind of fault once, in some order; else by their weights


def run(wanted: Wanted, *, cache: Path, keep: Path | None = None) -> Report:
    """Do it, and stop all that was started. `cache` holds the tiny models; `keep`: logs and store stay there."""
    begun = time.monotonic()
    report = Report(seed=wanted.seed, workers=wanted.workers, nodes=dict(wanted.nodes))
    # a short path: Ray puts sockets into it
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        calm, mallory, *owners = (Owner(name, folder) for name in ("calm", "mallory", *_OWNERS))
        keys = ",".join(owner.entry for owner in [calm, mallory, *owners])
        with contextlib.ExitStack() as stack:
            net = None
            if wanted.on_hosts:
                shutil.copytree(cache, folder / "cache")
                net = stack.enter_context(hosts("head", *wanted.nodes, folder=folder))
                net.enter_hub()
            address = net.hub_address if net else "127.0.0.1"
            store = stack.enter_context(store_under_test(folder / "store", address=address))
            farm = FarmUnderTest(
                folder,
                ray_folder=Path(name),
                cache=cache,
                store=store,
                workers=wanted.workers,
                nodes=wanted.nodes,
                lease_s=wanted.lease_s,
                settings={"API_KEYS": keys},
                net=net,
            )
            try:
                farm.start()
                undisturbed = _undisturbed(calm, farm, wanted)
                door = Door(farm.url)
                with _poisoned(mallory, farm, report), door.watched():
                    _Disturbed(farm, store, owners, wanted, report).go()
                report.note_gaps(door.gaps())
                _compare(owners, undisturbed, report)
            finally:
                report.broken += farm.stop()
            _audit(store, report)
    if not report.compared:  # a run that saw nothing has kept no promise
        report.broken.append("no video was compared: this run shows nothing")
    if len(report.faults) < wanted.faults and not wanted.each_once:
        report.broken.append(
            f"{len(report.faults)} of {wanted.faults} faults happened: this run does not show them all"
        )
    report.whims = sum(owner.whims for owner in owners)
    report.accepted = sum(len(owner.videos) for owner in [calm, mallory, *owners])
    report.seconds = time.monotonic() - begun
    return report


def say(message: str) -> None:
    """Print a line for the person who watches."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def _undisturbed(owner: Owner, farm: FarmUnderTest, wanted: Wanted) -> Mapping[str, Made]:
    """Return the video of each request in a farm without faults. Raises: AssertionError if one does not end."""
    say(f"undisturbed: {', '.join(wanted.requests)}")
    with owner.client(farm.url) as client:
        for request in wanted.requests:
            owner.ask(client, request)
    await_all(owner, farm.url, seconds=_END_S)
    assert all(video.made for video in owner.videos), [video for video in owner.videos if not video.made]
    return {video.request: video.made for video in owner.videos if video.made}


@contextlib.contextmanager
def _poisoned(owner: Owner, farm: FarmUnderTest, report: Report) -> Iterator[None]:
    """One video that kills its workers, beside all others: it must end as failed, by that name."""
    poison = Poison(farm.head.log, farm.kill_worker)
    try:
        with owner.client(farm.url) as client:
            video = owner.ask(client, _POISON)
            poison.add(video.id)
            yield
            await_all(owner, farm.url, seconds=_END_S)
            error = client.get(video.id)["error"] or {}
    finally:
        poison.stop()
    report.poison_deaths = poison.deaths
    if (video.status, error.get("code")) != ("failed", "worker_died"):
        report.broken.append(f"poison {video.id} is {video.status} {error} after {poison.deaths} deaths")


class _Disturbed:
    """The time in which faults happen."""

    def __init__(
        self, farm: FarmUnderTest, store: StoreUnderTest, owners: Sequence[Owner], wanted: Wanted, report: Report
    ) -> None:
        self._farm, self._store, self._owners, self._wanted, self._report = farm, store, owners, wanted, report
        self._until = time.monotonic() + 60 * wanted.minutes
        self._enough, self._lock = threading.Event(), threading.Lock()

    def go(self) -> None:
        """Keep the owners busy, let faults happen, then wait until every video has ended."""
        over, dice = threading.Event(), random.Random(self._wanted.seed)
        with ThreadPoolExecutor(len(self._owners) + len(_TRACKS)) as pool:
            busy = [
                pool.submit(
                    keep_busy,
                    owner,
                    self._farm.url,
                    requests=self._wanted.requests,
                    dice=random.Random(dice.random()),
                    at_once=self._wanted.at_once,
                    over=over,
                )
                for owner in self._owners
            ]
            tracks = [pool.submit(self._track, track, random.Random(dice.random())) for track in _TRACKS]
            try:
                for future in tracks:
                    future.result()
            finally:
                over.set()
            say("no more faults; waiting for the videos")
            for ending in busy:
                ending.result()
            for owner in self._owners:
                await_all(owner, self._farm.url, seconds=_END_S)

    def _track(self, track: Track, dice: random.Random) -> None:
        hand = Injector(self._farm, self._store, self._owners[0], dice)
        try:
            for kind in self._kinds(track, dice):
                time.sleep(min(20.0, dice.expovariate(1 / (_TRACKS[track] * self._wanted.pause_s))))
                if track == "store":  # a start needs the store; one that is disturbed all the time need not succeed
                    self._farm.head.await_ready()
                if self._enough.is_set() or time.monotonic() > self._until:
                    return
                self._one(kind, hand)
        except AssertionError as err:  # the farm did not come back
            self._report.broken.append(str(err))
            self._enough.set()

    def _kinds(self, track: Track, dice: random.Random) -> Iterator[Kind]:
        has_nodes, has_hosts = bool(self._farm.nodes), self._farm.net is not None
        kinds = [
            kind
            for kind in self._wanted.kinds
            if kind.track == track and has_nodes >= kind.node and has_hosts >= kind.hosts
        ]
        if self._wanted.each_once:
            yield from dice.sample(kinds, len(kinds))
            return
        while kinds:
            yield from dice.choices(kinds, [kind.weight for kind in kinds])

    def _one(self, kind: Kind, hand: Injector) -> None:
        begun = time.time()
        say(f"{len(self._report.faults):4} {kind.name}")
        try:
            kind.do(hand)
        except Missed:
            self._report.missed[kind.name] += 1
            return
        with self._lock:
            self._report.faults.append(FaultDone(kind.name, begun, time.time()))
            if len(self._report.faults) >= self._wanted.faults:
                self._enough.set()


def _compare(owners: Sequence[Owner], undisturbed: Mapping[str, Made], report: Report) -> None:
    """Each video against the undisturbed one of its request."""
    for owner in owners:
        report.calls_in_vain += owner.troubles
        for video in owner.videos:
            if video.status != "completed":
                report.broken.append(f"{video.id} ({video.request}) is {video.status} {video.trouble}")
            elif video.made != undisturbed[video.request]:
                report.broken.append(f"{video.id} ({video.request}) differs: {video.made}")
            else:
                report.compared += 1


def _audit(store: StoreUnderTest, report: Report) -> None:
    books = read_books(Jobs(store.ours.open()))
    report.videos = dict(books.videos)
    report.sections_committed, report.sections_leased = books.committed, books.leased
    report.sections_continued, report.sections_repeated = books.continued, books.repeated
    report.others_repeated = books.other_repeated
    report.broken += books.faults
    if books.repeated > len(report.faults) + report.poison_deaths:
        report.broken.append(
            f"{books.repeated} sections were repeated after {len(report.faults)} faults and "
            f"{report.poison_deaths} workers that the poison killed"
        )
    if books.other_repeated > len(report.faults) + report.poison_deaths:
        report.broken.append(f"{books.other_repeated} orders of other stages were repeated")
    report.note_recoveries(books.begun)
