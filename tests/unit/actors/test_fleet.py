"""The keeper of the workers: when an empty place is filled again. Ray's answers are given by hand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayError

import actors.fleet
from actors.cluster import FarmNode
from actors.fleet import Fleet
from actors.notices.notice import CloudNotice
from actors.worker.device import device_book
from farm.settings import FarmSettings
from framepack_engine.memory.ladder import MemoryPlan, Workload, size_of


class Cluster:
    """One node, whose workers live as long as the test says. Sleeping makes time pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, workers: int = 1) -> None:
        """No worker has been started."""
        self.now, self.workers = 1000.0, workers
        self.begun: list[float] = []  # when each worker was started
        self.told: list[FarmSettings] = []  # by which each of them goes
        self.dies_at_birth = 0  # so many more workers
        self.draining = False
        self.notice: CloudNotice | None = None
        self.alive: list[Future[None]] = []
        self.deaths: list[tuple[str, bool]] = []
        self.ends: list[tuple[set[str], set[str]]] = []  # slots of nodes that leave and that close, in each round
        self.noticed: list[tuple[int, set[str]]] = []  # nodes, and those with workers

        def get_actor(*_: object, **__: object) -> None:
            raise ValueError("no actor of that name")

        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(actors.fleet, "time", clock)
        monkeypatch.setattr(actors.fleet, "_LOOK_S", 0.01)
        monkeypatch.setattr(actors.fleet, "farm_nodes", self.nodes)
        monkeypatch.setattr(actors.fleet, "with_notices", lambda nodes: nodes)
        monkeypatch.setattr("ray.get_actor", get_actor)

    def sleep(self, seconds: float) -> None:
        """Let half a second pass, so that rounds are few."""
        self.now += 0.5

    def nodes(self) -> list[FarmNode]:
        """As Ray lists them."""
        node = FarmNode("n" * 56, "den", self.workers, 0, draining=self.draining, notice=self.notice)
        return [node]

    def start(self, _slot: str, _number: int, _node: FarmNode, settings: FarmSettings) -> Any:
        """Start a worker, as the fleet wants it."""
        self.told.append(settings)
        return self.worker()

    def worker(self) -> Any:
        """A worker's process comes into being, or dies of it."""
        self.begun.append(self.now)
        birth, life = Future[str](), Future[None]()
        if self.dies_at_birth:
            self.dies_at_birth -= 1
            birth.set_exception(ActorDiedError())
        else:
            birth.set_result(f"den-0.{len(self.begun)}")
            self.alive.append(life)
        return SimpleNamespace(identify=method(birth), wait_until_dead=method(life))

    def kill(self, error: RayError | None = None) -> None:
        """The oldest living worker."""
        self.alive.pop(0).set_exception(error or ActorDiedError())

    def fleet(self, wanted: Callable[[], int | None] = lambda: None) -> Fleet:
        """Its keeper."""
        return Fleet(
            FarmSettings(),
            on_death=lambda worker, alone: self.deaths.append((worker, alone)),
            on_nodes=lambda _, leaving, closing: self.ends.append((leaving, closing)),
            on_notices=lambda nodes, busy: self.noticed.append((len(nodes), set(busy))),
            may_fill=lambda _: True,
            wanted=wanted,
            start=self.start,
        )


def method(answer: Future[Any]) -> SimpleNamespace:
    """A method of an actor with that answer."""
    return SimpleNamespace(remote=lambda: SimpleNamespace(future=lambda: answer))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """With one place."""
    return Cluster(monkeypatch)


def test_a_worker_that_dies_of_its_birth_is_replaced_at_once(cluster: Cluster) -> None:
    """No time passes between the two. It was no worker yet, so its death is not reported."""
    cluster.dies_at_birth = 1
    fleet = cluster.fleet()
    for _ in range(4):
        fleet.look_around()
    assert cluster.begun == [1000.0, 1000.0]
    assert cluster.deaths == []


def test_a_place_where_none_can_live_is_tried_ever_more_rarely(cluster: Cluster) -> None:
    """At once, then after pauses that double up to half a minute. A long life resets the pauses."""
    cluster.dies_at_birth = 4
    fleet = cluster.fleet()

    def until_there_are(number: int) -> None:
        while len(cluster.begun) < number:
            fleet.look_around()

    until_there_are(5)
    for number in range(6, 10):  # these live, but not for long
        while not cluster.alive:
            fleet.look_around()
        fleet.look_around()
        cluster.kill()
        until_there_are(number)
    pauses = [later - earlier for earlier, later in zip(cluster.begun, cluster.begun[1:], strict=False)]
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    fleet.look_around()
    cluster.now += 25
    cluster.kill()
    until_there_are(10)
    assert cluster.begun[-1] == cluster.begun[-2] + 25
    assert [alone for _, alone in cluster.deaths] == [True] * 5


@pytest.mark.parametrize(
    ("error", "draining", "alone"),
    [
        (ActorDiedError(), False, True),
        (OutOfMemoryError("killed: the node runs low on memory"), False, True),
        (ActorUnavailableError("its node does not answer", None), False, False),
        (ActorDiedError(), True, False),
        (OutOfMemoryError("killed: the node runs low on memory"), True, False),
    ],
    ids=["killed", "killed by Ray", "unavailable", "drained", "killed by Ray while drained"],
)
def test_who_dies_alone(cluster: Cluster, *, error: RayError, draining: bool, alone: bool) -> None:
    """The death of a process counts against its video if its node lives on and stays."""
    fleet = cluster.fleet()
    fleet.look_around()
    fleet.look_around()
    cluster.draining = draining
    cluster.kill(error)
    while not cluster.deaths:
        fleet.look_around()
    assert cluster.deaths == [("den-0.1", alone)]


@pytest.mark.parametrize("is_hint", [False, True])
def test_a_machine_with_a_notice_is_filled_no_more(cluster: Cluster, *, is_hint: bool) -> None:
    """Its worker leaves or closes; once that has ended, the place stays empty until the notice is taken back."""
    fleet = cluster.fleet()
    for _ in range(2):
        fleet.look_around()
    cluster.draining, cluster.notice = not is_hint, CloudNotice("aws", "some", is_hint=is_hint)
    fleet.look_around()
    assert cluster.ends[-1] == ((set(), {"den-0"}) if is_hint else ({"den-0"}, set()))
    assert cluster.noticed[-1] == (1, {"n" * 56})
    cluster.kill()
    for _ in range(8):
        fleet.look_around()
    assert (len(cluster.begun), cluster.noticed[-1]) == (1, (1, set()))
    cluster.draining, cluster.notice = False, None
    for _ in range(8):
        fleet.look_around()
    assert len(cluster.begun) == 2


def test_nodes_are_asked_for_as_they_are_wanted(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many workers live as are wanted; Ray's autoscaler hears of each change once, and of none at the end."""
    wanted, asked = [0], list[int]()
    monkeypatch.setattr(actors.fleet, "ask_for_workers", asked.append)
    cluster.workers = 1
    fleet = cluster.fleet(wanted=lambda: wanted[0])
    fleet.look_around()
    assert (asked, len(cluster.begun)) == ([0], 0)
    wanted[0] = 3
    for _ in range(3):
        fleet.look_around()
    assert (asked, len(cluster.begun)) == ([0, 3], 1)
    cluster.workers = 5  # nodes have come, and more than were asked for
    for _ in range(3):
        fleet.look_around()
    assert (asked, len(cluster.begun)) == ([0, 3], 3)
    wanted[0] = 1
    cluster.kill()  # one of those too many ends, and is not replaced
    for _ in range(3):
        fleet.look_around()
    assert (asked, len(cluster.begun)) == ([0, 3, 1], 3)
    assert fleet.drain()
    fleet.look_around()
    assert asked == [0, 3, 1, 0]


def test_the_board_hears_of_a_machine_without_workers(cluster: Cluster) -> None:
    """Such a head may have a notice, too."""
    cluster.workers = 0
    cluster.fleet().look_around()
    assert (cluster.noticed, cluster.begun) == ([(1, set())], [])


def test_a_machine_with_a_notice_gets_a_successor(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place counts for nothing from the notice on, though its worker may still finish a section."""
    asked = list[int]()
    monkeypatch.setattr(actors.fleet, "ask_for_workers", asked.append)
    fleet = cluster.fleet(wanted=lambda: 1)
    fleet.look_around()
    cluster.notice = CloudNotice("aws", "rebalance", is_hint=True)
    fleet.look_around()
    fleet.look_around()
    assert asked == [1, 2]
    cluster.notice = None
    fleet.look_around()
    fleet.look_around()
    assert asked == [1, 2, 1]


def test_a_new_keeper_takes_over_who_lives(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher restarts while more live than are wanted: it watches them all and starts none."""
    cluster.workers = 2
    monkeypatch.setattr(actors.fleet, "ask_for_workers", lambda _: None)
    monkeypatch.setattr("ray.get_actor", lambda *_, **__: cluster.worker())
    fleet = cluster.fleet(wanted=lambda: 1)
    for _ in range(3):
        fleet.look_around()
    assert len(fleet.drain()) == 2


def test_a_worker_knows_how_many_share_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker plans with its share of its own machine's memory, not of the farm's machine."""
    monkeypatch.setattr("actors.worker.device.host_bytes", lambda: 64 << 30)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (8 << 30, 8 << 30))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    plans = list[MemoryPlan]()
    for workers in (1, 4):
        cluster = Cluster(monkeypatch, workers=workers)
        cluster.fleet().look_around()
        plans.append(device_book(size_of("framepack"), cluster.told[-1]).plan(Workload()))
    alone, shared = plans
    assert alone.streamed_bytes > 12 << 30
    assert (alone.mapped, shared.mapped) == (False, True)
    assert replace(shared, mapped=False) == alone
