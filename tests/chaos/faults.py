"""The faults. Each lasts until it is over: the process is thawed, restarted or answers again."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import psutil

from farm.client import FarmClient
from farm.contract import slot_of
from farm.errors import Conflict, FarmError, NotFound
from tests.chaos.customers import Owner
from tests.chaos.farm import DISPATCHER, INGRESS, WORKER, FarmUnderTest
from tests.chaos.service import Service
from tests.chaos.store import LogWrite, Moment, StoreUnderTest
from tests.hosts import HUB, Host
from tests.patience import patient

Track = Literal["farm", "store"]  #: faults of one track follow each other; the two tracks run side by side
_AIM_S = 15.0  #: patience for the moment that a fault waits for
_BACK_S = 120.0  #: within this a drained worker can be let back
_HEAD_ENDS_S = 40.0  #: `up` must notice within this that Ray's head is gone


class Missed(Exception):
    """There was nothing to hit; no fault happened."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault, how often it comes beside the others, and what it does."""

    name: str
    track: Track
    weight: int
    do: Callable[[Injector], None]
    node: bool = False  #: needs a machine that joined
    hosts: bool = False  #: needs machines with networks of their own


class Injector:
    """The hand that does it; every choice comes from the dice."""

    def __init__(self, farm: FarmUnderTest, store: StoreUnderTest, operator: Owner, dice: random.Random) -> None:
        """`dice` is this track's own. operator: with whose key workers are drained."""
        self.farm, self.store, self.operator, self.dice = farm, store, operator, dice

    def kill(self, actor: str) -> None:
        """SIGKILL one process of this class."""
        victim = self._victim(actor)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()

    def kill_all(self, actor: str) -> None:
        """SIGKILL every process of this class at once."""
        victims = self.farm.actors(actor)
        if not victims:
            raise Missed
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()

    def freeze_past_lease(self, actor: str) -> None:
        """SIGSTOP one process of this class for longer than a lease: a zombie when it thaws."""
        self.freeze(actor, (self.farm.lease_s + 1.5, self.farm.lease_s + 4.0))

    def freeze(self, actor: str, seconds: tuple[float, float]) -> None:
        """SIGSTOP one process of this class, thaw it after a time."""
        victim = self._victim(actor)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.suspend()
            time.sleep(self.dice.uniform(*seconds))
            victim.resume()

    def kill_writer(self, event: str, stages: Sequence[str] = ()) -> None:
        """SIGKILL the process that writes such a ledger entry, in the moment before or after it is stored."""
        stage = self.dice.choice(stages) if stages else None
        moment: Moment = self.dice.choice(["before", "after"])

        def wanted(write: LogWrite) -> bool:
            return write.event == event and stage in {None, write.stage}

        def shoot(write: LogWrite) -> None:
            victim = self.farm.process_at(write.port)
            if victim is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()

        if self.store.await_write(wanted, shoot, moment=moment, seconds=_AIM_S) is None:
            raise Missed

    def crash_head(self) -> None:
        """SIGKILL every process of `up` at once; it is started again on the same store."""
        lives = self.farm.head.lives
        self.farm.head.kill()
        self.farm.head.await_next_life(lives, 30)
        self.farm.head.await_ready()

    def crash_ray(self, daemon: str) -> None:
        """SIGKILL one of Ray's own programs on the head: `up` notices, ends, and is started again."""
        victim, lives = self.farm.daemon(daemon, self.farm.head), self.farm.head.lives
        if victim is None:
            raise Missed
        victim.kill()
        self.farm.head.await_next_life(lives, _HEAD_ENDS_S)
        self.farm.head.await_ready()

    def restart(self) -> None:
        """SIGTERM for `up`: workers give back what they have; it is started again."""
        lives = self.farm.head.lives
        self.farm.head.terminate()
        self.farm.head.await_next_life(lives, 90)
        self.farm.head.await_ready()

    def freeze_head(self) -> None:
        """SIGSTOP every process of `up`, as a laptop's lid does; thaw them after longer than a lease."""
        self._freeze_all(self.farm.head)

    def crash_node(self) -> None:
        """SIGKILL every process of a machine that joined; it joins again."""
        self._node().kill()

    def crash_raylet(self) -> None:
        """SIGKILL the raylet of a machine that joined: `framefarm join` starts another."""
        raylet = self.farm.daemon("raylet", self._node())
        if raylet is None:
            raise Missed
        with contextlib.suppress(psutil.NoSuchProcess):
            raylet.kill()

    def freeze_node(self) -> None:
        """SIGSTOP every process of a machine that joined, for longer than a lease: its worker is a zombie then."""
        self._freeze_all(self._node())

    def drain_node(self) -> None:
        """SIGTERM, as before a spot machine is taken away: what is half made is saved; the machine comes back."""
        node = self._node()
        lives = node.lives
        node.terminate()
        node.await_next_life(lives, 90)

    def cut(self, name: str, *others: str) -> None:
        """Let nothing pass between a host and others, or one way only; less than a lease, or longer than Ray waits."""
        host = self._host(name)
        ways: list[Literal["both", "in", "out"]] = ["both"] if others else ["in", "out"]
        host.cut(*(others or ("head",)), way=self.dice.choice(ways))
        time.sleep(self.dice.uniform(2, self.farm.lease_s + 30))
        host.heal()

    def slow_down(self, name: str) -> None:
        """Put a host behind a home's uplink: 80 ms there and back, 20 Mbit/s, some frames lost."""
        host = self._host(name)
        host.slow(delay_ms=40, loss=0.001, mbit=20)
        time.sleep(self.dice.uniform(10, 30))
        host.fast()

    def switch_off(self, name: str) -> None:
        """Take a host's power, and give it back: what runs there is started again."""
        host = self._host(name)
        host.power_off()
        time.sleep(self.dice.uniform(1, self.farm.lease_s + 5))
        host.power_on()
        service = next(each for each in (self.farm.head, *self.farm.nodes) if each.host is host)
        service.await_ready()

    def any_node(self) -> str:
        """Return the name of a machine that joined."""
        return self._node().name

    def _host(self, name: str) -> Host:
        assert self.farm.net is not None
        return self.farm.net[name]

    def drain_worker(self) -> None:
        """As `framefarm drain`: a worker saves its last finished step and ends; a little later it may come back."""
        with self.operator.client(self.farm.url) as client:
            try:
                working = [each for each in client.workers()["data"] if each["state"] in {"idle", "busy"}]
                if not working:
                    raise Missed
                slot = slot_of(self.dice.choice(working)["id"])
                client.worker_wish(slot, "drain")
            except FarmError as err:  # the door, or the store, is away just now
                raise Missed from err
            time.sleep(self.dice.uniform(1, 4))
            self._let_back(client, slot)

    def _let_back(self, client: FarmClient, slot: str) -> None:
        until = time.monotonic() + patient(_BACK_S)
        while True:
            try:
                client.worker_wish(slot, "resume")
            except (Conflict, NotFound):  # it came back by itself: a lost answer, or a machine that joined again
                return
            except FarmError as err:
                trouble = str(err)
            else:
                return
            if time.monotonic() > until:
                raise AssertionError(f"{slot} cannot be let back: {trouble}")
            time.sleep(0.5)

    def _victim(self, actor: str) -> psutil.Process:
        """One process of this class; an earlier fault, or the poison, may have killed the last one just now."""
        until = time.monotonic() + patient(_AIM_S)
        while (victim := self.farm.any_actor(actor, self.dice)) is None:
            if time.monotonic() > until:
                raise Missed
            time.sleep(0.2)
        return victim

    def _node(self) -> Service:
        if not self.farm.nodes:
            raise Missed
        return self.dice.choice(self.farm.nodes)

    def _freeze_all(self, service: Service) -> None:
        processes = service.processes()
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(self.farm.lease_s + self.dice.uniform(0.5, 3))


_STAGES = ("encode", "section", "decode", "finish")

KINDS = (
    Kind("worker killed", "farm", 4, lambda hand: hand.kill(WORKER)),
    Kind("worker killed as it commits", "farm", 4, lambda hand: hand.kill_writer("committed", _STAGES)),
    Kind("worker frozen past its lease", "farm", 3, lambda hand: hand.freeze_past_lease(WORKER)),
    Kind("worker drained", "farm", 3, Injector.drain_worker),
    Kind("dispatcher killed", "farm", 2, lambda hand: hand.kill(DISPATCHER)),
    Kind("dispatcher killed as it leases", "farm", 2, lambda hand: hand.kill_writer("leased", _STAGES)),
    Kind("dispatcher frozen past a lease", "farm", 2, lambda hand: hand.freeze_past_lease(DISPATCHER)),
    Kind("ingress killed", "farm", 2, lambda hand: hand.kill(INGRESS)),
    Kind("ingress killed as it accepts", "farm", 2, lambda hand: hand.kill_writer("accepted")),
    Kind("ingress frozen", "farm", 1, lambda hand: hand.freeze(INGRESS, (1.0, 5.0))),
    Kind("every ingress killed", "farm", 1, lambda hand: hand.kill_all(INGRESS)),
    Kind("head killed, all of it", "farm", 1, Injector.crash_head),
    Kind("head's gcs_server killed", "farm", 1, lambda hand: hand.crash_ray("gcs_server")),
    Kind("head's raylet killed", "farm", 1, lambda hand: hand.crash_ray("raylet")),
    Kind("head stopped and started", "farm", 1, Injector.restart),
    Kind("head frozen past a lease", "farm", 1, Injector.freeze_head),
    Kind("node killed, all of it", "farm", 2, Injector.crash_node, node=True),
    Kind("node's raylet killed", "farm", 3, Injector.crash_raylet, node=True),
    Kind("node frozen past a lease", "farm", 2, Injector.freeze_node, node=True),
    Kind("node drained", "farm", 3, Injector.drain_node, node=True),
    Kind("head and node cut", "farm", 3, lambda hand: hand.cut(hand.any_node(), "head"), node=True, hosts=True),
    Kind("head and node cut one way", "farm", 3, lambda hand: hand.cut(hand.any_node()), node=True, hosts=True),
    Kind("node and store cut", "farm", 3, lambda hand: hand.cut(hand.any_node(), HUB), node=True, hosts=True),
    Kind("head and store cut", "farm", 2, lambda hand: hand.cut("head", HUB), hosts=True),
    Kind("head's power off", "farm", 1, lambda hand: hand.switch_off("head"), hosts=True),
    Kind("node's power off", "farm", 2, lambda hand: hand.switch_off(hand.any_node()), node=True, hosts=True),
    Kind("node's link slow", "farm", 2, lambda hand: hand.slow_down(hand.any_node()), node=True, hosts=True),
    Kind("store killed", "store", 2, lambda hand: hand.store.crash(hand.dice.uniform(0.5, 4))),
    Kind("store frozen", "store", 1, lambda hand: hand.store.freeze(hand.dice.uniform(1, 8))),
    Kind(
        "store answers errors",
        "store",
        2,
        lambda hand: hand.store.disturb("error", seconds=hand.dice.uniform(1, 6), share=0.8, dice=hand.dice),
    ),
    Kind(
        "store breaks connections",
        "store",
        2,
        lambda hand: hand.store.disturb("reset", seconds=hand.dice.uniform(1, 6), share=0.8, dice=hand.dice),
    ),
    Kind(
        "store loses answers",
        "store",
        2,
        lambda hand: hand.store.disturb("lose", seconds=hand.dice.uniform(1, 6), share=0.5, dice=hand.dice),
    ),
    Kind(
        "store hangs",
        "store",
        2,
        lambda hand: hand.store.disturb("hang", seconds=hand.dice.uniform(2, 10), share=0.6, dice=hand.dice),
    ),
)
