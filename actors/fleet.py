"""The fleet: it keeps a detached actor for each worker that a node declares, and replaces those that die."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.cluster import NAMESPACE, WORKER_RESOURCE, FarmNode, ask_for_workers, farm_nodes, worker_name
from actors.notices.mail import with_notices
from actors.worker.render_worker import RenderWorker
from farm.settings import FarmSettings

log = logging.getLogger(__name__)
_LOOK_S = 0.5
_BIRTH_S = 60.0  #: until a new process answers
_SHORT_LIFE_S = 20.0  #: a worker that dies sooner than this counts as one that could not start
_LONGEST_PAUSE_S = 30.0


@dataclass
class _Slot:
    """A place for one worker on a node."""

    name: str
    number: int
    node: FarmNode
    birth: Future[str] | None = None  # gives the new worker's id
    watch: Future[None] | None = None  # fails once the worker dies
    actor: Any = None
    worker_id: str = ""
    begun: float = 0.0
    failures: int = 0  #: workers in a row that could not start
    not_before: float = 0.0

    @property
    def awaited(self) -> Future[Any] | None:
        """Return the future that ends with its worker; None: it has none."""
        return self.watch or self.birth

    def try_again(self, now: float) -> None:
        """Note that its worker could not start. The next one comes at once, later ones after pauses that double."""
        self.failures += 1
        pause_s = 2.0 ** min(self.failures - 2, 10) if self.failures > 1 else 0.0
        self.not_before = now + min(_LONGEST_PAUSE_S, pause_s)


class Fleet:
    """Keeps each slot's worker alive. Run `keep` in a thread of its own."""

    def __init__(
        self,
        settings: FarmSettings,
        *,
        on_death: Callable[..., None],
        on_nodes: Callable[[set[str], set[str], set[str]], None],
        may_fill: Callable[[str], bool],
        greet: Callable[[FarmNode], None] = lambda _node: None,
        on_notices: Callable[[Collection[FarmNode], Collection[str]], None] = lambda _nodes, _busy: None,
        wanted: Callable[[], int | None] = lambda: None,
        start: Callable[[str, int, FarmNode, FarmSettings], Any] | None = None,
    ) -> None:
        """Start nothing yet.

        on_death: hears `(worker_id, alone=…)` of each worker that died; alone: its node lives on.
        on_nodes: hears the ids of the nodes that have workers, the slots of nodes that go soon, and of those that may.
        may_fill: whether the fleet may start a worker in a slot.
        greet:    hears of each node that is new.
        on_notices: hears of the living nodes, and the ids of those that have a worker, in each round.
        wanted:   how many workers the farm needs in all; the fleet asks Ray's autoscaler for their nodes. None: one a
                  slot, and the fleet does not ask.
        start:    another way than `start_worker` to start one.
        """
        self._settings, self._on_death, self._on_nodes, self._may_fill = settings, on_death, on_nodes, may_fill
        self._greet, self._on_notices = greet, on_notices
        self._wanted, self._start = wanted, start or start_worker
        self._asked: int | None = None  # the last request to the autoscaler, which remembers it after this process ends
        self._slots: dict[tuple[str, int], _Slot] = {}  # by node id and number
        self._known = set[str]()  # ids of the living nodes that have workers
        self._draining = threading.Event()

    def keep(self) -> None:
        """Start missing workers, wait for deaths and report them, for ever."""
        while True:
            self.look_around()

    def look_around(self) -> None:
        """Do one round. Return when something has happened, after half a second at the latest."""
        self._look()
        wanted = self._wanted()
        staying = [slot for slot in self._slots.values() if slot.node.notice is None]
        if wanted is not None:
            ending = len(self._slots) - len(staying)  # the autoscaler counts them until their nodes are gone
            self._ask_for(0 if self._draining.is_set() or not wanted else wanted + ending)
        filled = sum(slot.awaited is not None for slot in staying)
        for slot in self._slots.values():
            if self._is_vacant(slot) and (wanted is None or filled < wanted):
                self._fill(slot)
                filled += 1
        waits = {slot.awaited: slot for slot in self._slots.values() if slot.awaited}
        if not waits:
            time.sleep(_LOOK_S)
            return
        for future in wait(waits, _LOOK_S, FIRST_COMPLETED).done:
            slot = waits[future]
            (self._bury if future is slot.watch else self._welcome)(slot)

    def drain(self) -> list[str]:
        """Replace no worker from now on; return the slots that still live."""
        self._draining.set()
        if self._asked:
            self._ask_for(0)
        return [slot.name for slot in list(self._slots.values()) if slot.watch]

    def _look(self) -> None:
        """Bring the slots up to date with Ray's nodes."""
        living = _living_nodes()
        nodes = {node.id: node for node in living if node.workers}
        for node_id in nodes.keys() - self._known:
            self._greet(nodes[node_id])
        self._known = set(nodes)
        for node in nodes.values():
            for number in range(node.workers):
                if (node.id, number) not in self._slots:
                    name = f"{_unique(node, nodes)}-{number}"
                    log.info("new_slot", extra={"slot": name, "node": node.id, "gpu": number < node.gpus})
                    slot = self._slots[node.id, number] = _Slot(name, number, node)
                    self._adopt(slot)
        for key, slot in list(self._slots.items()):
            if key[0] in nodes:
                slot.node = nodes[key[0]]
            elif not slot.watch:  # else its worker's death must be reported first
                del self._slots[key]
        slots = self._slots.values()
        leaving = {slot.name for slot in slots if slot.node.draining}
        self._on_nodes(set(nodes), leaving, {slot.name for slot in slots if slot.node.closing})
        self._on_notices(living, {slot.node.id for slot in slots if slot.awaited})

    def _is_vacant(self, slot: _Slot) -> bool:
        ends = slot.node.draining or slot.node.closing or self._draining.is_set()
        if slot.awaited or ends or time.monotonic() < slot.not_before:
            if slot.birth and time.monotonic() - slot.begun > _BIRTH_S:
                log.warning("worker_unreachable", extra={"slot": slot.name})
                slot.birth, slot.not_before = None, time.monotonic() + _LONGEST_PAUSE_S
            return False
        return self._may_fill(slot.name)

    def _ask_for(self, workers: int) -> None:
        if workers != self._asked:
            log.info("ask_for_nodes", extra={"workers": workers})
            ask_for_workers(workers)
            self._asked = workers

    def _fill(self, slot: _Slot) -> None:
        """Take over the slot's living worker, or start one. Wait for neither."""
        if not self._adopt(slot):
            settings = self._settings.replaced(workers=str(slot.node.workers))  # they share that machine's memory
            slot.actor = self._start(slot.name, slot.number, slot.node, settings)
            slot.begun, slot.birth = time.monotonic(), slot.actor.identify.remote().future()

    def _adopt(self, slot: _Slot) -> bool:
        """Take over the slot's living worker, if an earlier dispatcher started one."""
        try:
            slot.actor = ray.get_actor(worker_name(slot.name, slot.node.id), namespace=NAMESPACE)
        except ValueError:
            return False
        slot.begun, slot.birth = time.monotonic(), slot.actor.identify.remote().future()
        return True

    def _welcome(self, slot: _Slot) -> None:
        """Watch a new worker that answers, or try again."""
        birth, slot.birth = slot.birth, None
        try:
            slot.worker_id = birth.result() if birth else ""
        except RayError as err:
            log.warning("worker_unreachable: %s", str(err).partition("\n")[0], extra={"slot": slot.name})
            slot.try_again(time.monotonic())
        else:
            slot.watch = slot.actor.wait_until_dead.remote().future()

    def _bury(self, slot: _Slot) -> None:
        error = slot.watch.exception() if slot.watch else None
        if self._draining.is_set():  # it was told to end
            log.info("worker_ended", extra={"worker": slot.worker_id})
        else:
            log.warning("worker_died: %s", str(error).partition("\n")[0], extra={"worker": slot.worker_id})
        now = time.monotonic()
        if now - slot.begun >= _SHORT_LIFE_S:
            slot.failures = 0
        slot.try_again(now)
        slot.watch = slot.actor = None
        if not self._draining.is_set():
            self._on_death(slot.worker_id, alone=self._died_alone(slot, error))

    def _died_alone(self, slot: _Slot, error: BaseException | None) -> bool:
        """Whether only the worker died. If a node dies, Ray calls its workers unavailable first."""
        if isinstance(error, ActorDiedError):
            if error.preempted:
                return False
        elif not isinstance(error, OutOfMemoryError):  # Ray kills before the machine's memory is full
            return False
        return any(node.id == slot.node.id and not node.draining for node in _living_nodes())


def _living_nodes() -> list[FarmNode]:
    return with_notices(farm_nodes())


def start_worker(slot: str, number: int, node: FarmNode, settings: FarmSettings) -> Any:
    """Start the worker of a node's slot `number` as a detached actor; return its handle."""
    gpu = number < node.gpus
    log.info("start_worker", extra={"slot": slot, "node": node.id, "gpu": gpu})
    return (
        ray.remote(RenderWorker)
        .options(
            name=worker_name(slot, node.id),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            num_gpus=1 if gpu else 0,
            resources={WORKER_RESOURCE: 1},
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            max_restarts=0,
            max_task_retries=0,
        )
        .remote(slot, settings, gpu=number if gpu else None)
    )


def _unique(node: FarmNode, nodes: dict[str, FarmNode]) -> str:
    """Return the node's name; if another node has the same, add the beginning of its id."""
    same = sorted(other.id for other in nodes.values() if other.name == node.name)
    return node.name if same == [node.id] else f"{node.name}.{node.id[:6]}"
