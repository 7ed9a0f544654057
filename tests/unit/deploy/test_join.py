"""A machine that joins a farm: what it does when the farm goes, and what its workers find."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

import actors.cluster
from actors.cluster import HEARD, NODE_LABEL, FarmLook, FarmNotice, Told
from actors.notices.notice import CloudNotice
from actors.reach import Ports
from actors.wire import own_build
from deploy.node import join
from deploy.node.notices import watcher
from deploy.node.notices.watcher import Watch
from farm.errors import ConfigError, Unavailable
from farm.settings import FarmSettings

ADDRESS = "127.0.0.1:1"  # nobody listens there
BeANode = Callable[[str, FarmSettings, list[str], threading.Event, join.Patience], None]


@pytest.fixture(autouse=True)
def process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`join` is a whole process: it takes signals and sets variables."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(os, "environ", {**os.environ, "RAY_AUTH_TOKEN": "0" * 64})
    monkeypatch.setattr(join, "_AGAIN_S", 0.0)
    monkeypatch.setattr(join, "watch_cloud", lambda _: Watch(lambda: None).watching())
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def joining(monkeypatch: pytest.MonkeyPatch, be_a_node: BeANode, **settings: float) -> int:
    """The exit code of `join` on a machine where this is done instead of running Ray."""
    monkeypatch.setattr(join, "_fitted", lambda _address, settings, **_: (settings, []))
    monkeypatch.setattr(join, "be_a_node", be_a_node)
    return join.join_foreground(ADDRESS, FarmSettings(node="den", workers="1", **settings), own_store=False)


def test_a_machine_that_was_in_the_farm_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The farm goes, and goes again while Ray starts here: the machine tries until it is in again."""
    lives: list[str] = []

    def be_a_node(_: str, settings: FarmSettings, __: list[str], stop: threading.Event, ___: join.Patience) -> None:
        lives.append(settings.node)
        if len(lives) == 2:
            raise Unavailable("Ray did not start here")
        if len(lives) == 3:
            stop.set()

    assert joining(monkeypatch, be_a_node) == 0
    assert lives == ["den"] * 3


def test_a_machine_gives_up_on_a_farm_that_stays_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With FARM_GIVE_UP_S the command ends with 3, not while the farm is there; the time counts from its loss."""
    lives = 0

    def be_a_node(*given: object) -> None:
        nonlocal lives
        lives += 1
        if lives > 1:
            raise Unavailable("nothing answers")
        time.sleep(0.5)
        patience = given[-1]
        assert isinstance(patience, join.Patience)
        assert patience.is_over  # no sign came
        patience.hear("1")

    assert joining(monkeypatch, be_a_node, give_up_s=0.3) == 3
    assert lives > 1
    assert "FARM_GIVE_UP_S" in capsys.readouterr().err


@pytest.mark.parametrize("last", [Unavailable("nothing answers"), Told(None, "5")])
def test_a_dispatcher_that_gives_signs_is_there(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, last: Exception | Told
) -> None:
    """A worker waits for a full GPU for longer than FARM_GIVE_UP_S: its machine stays until there is no new sign.

    The cluster of `up --ray` still answers then, with the last sign.
    """
    now, limit_s = 0.0, 900.0
    words = [Told(None, "1"), Told(None, "2"), Told(None, "3"), Told(HEARD, "4"), Told(None, "5")]
    ray = subprocess.Popen(["sleep", "600"])
    request.addfinalizer(ray.wait)
    request.addfinalizer(ray.kill)

    def told(_address: str, _name: str) -> Told:
        nonlocal now
        now += 0.8 * limit_s
        said = words.pop(0) if words else last
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(join, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(join, "_LOOK_S", 0.0)
    monkeypatch.setattr(actors.cluster, "told", told)
    patience = join.Patience(limit_s)
    assert join.await_joined(ADDRESS, "den", ray, threading.Event(), patience)
    assert (len(words), patience.is_over) == (1, False)
    assert not join.await_joined(ADDRESS, "den", ray, threading.Event(), patience)
    assert (words, patience.is_over) == ([], True)


def test_a_machine_leaves_a_ray_that_has_no_farm_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was heard, and the dispatcher of `up --ray` ends: without a new sign, `join` ends Ray here and gives up."""
    clock, signs, asked, program = count(step=10), iter("1234"), list[str](), tmp_path / "ray"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)

    def told(_address: str, _name: str) -> Told:
        asked.append(next(signs, "4"))
        return Told(HEARD, asked[-1])

    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(join, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(join, "_LOOK_S", 0.0)
    monkeypatch.setattr(actors.cluster, "told", told)
    assert joining(monkeypatch, join.be_a_node, give_up_s=900.0) == 3
    said = capsys.readouterr()
    assert said.out == f"joined {ADDRESS} as den\n"
    assert "FARM_GIVE_UP_S=900" in said.err
    assert asked[:4] == list("1234")


def test_one_client_asks_what_the_farm_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The living machine of that name, not the dead one before it."""
    asked = list[str]()

    def node(name: str, node_id: bytes, state: int) -> SimpleNamespace:
        labels = {NODE_LABEL: name}
        return SimpleNamespace(node_id=SimpleNamespace(hex=node_id.hex), labels=labels, state=state)

    dead, den, loft = node("den", b"0", 1), node("den", b"1", 0), node("loft", b"2", 0)
    said = {b"node/30": b"unheard", b"node/31": b"heard", b"sign": b"12"}
    client = SimpleNamespace(
        get_all_node_info=lambda **_: dict(enumerate((dead, den, loft))),
        internal_kv_get=lambda key, **_: said.get(key),
    )

    @contextlib.contextmanager
    def asking(address: str) -> Iterator[SimpleNamespace]:
        asked.append(address)
        yield client

    monkeypatch.setattr(actors.cluster, "asking", asking)
    words = [actors.cluster.told(ADDRESS, name) for name in ("den", "loft", "attic")]
    assert words == [Told("heard", "12"), Told(None, "12"), Told(None, "12")]
    assert asked == [ADDRESS] * 3


class Passing:
    """Time that passes with each look at it, and the watch of this machine's cloud."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, notice: CloudNotice | None = None) -> None:
        """The notice stands."""
        self.now, self.watch = 0.0, Watch(lambda: None)
        for module in (join, watcher):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=self.monotonic))
        monkeypatch.setattr(join, "watch_cloud", lambda _: self.watch.watching())
        monkeypatch.setattr(join, "_LOOK_S", 0.0)
        self.says(notice)

    def says(self, notice: CloudNotice | None) -> None:
        """Let the watch ask the cloud."""
        self.watch.look(SimpleNamespace(name="aws", look=lambda: notice))  # all that it needs

    def monotonic(self) -> float:
        """Let ten seconds pass."""
        self.now += 10
        if self.now > 10_000:
            pytest.fail("the machine waits for ever")
        return self.now


SPOT = CloudNotice("aws", "spot")
HINT = CloudNotice("aws", "rebalance", is_hint=True)


def test_a_machine_whose_end_is_near_waits_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its cloud's notice stands it does not join; that time is not the farm's absence."""
    cloud, lives = Passing(monkeypatch, SPOT), 0
    renew = join.Patience.renew

    def renewed(patience: join.Patience) -> None:
        renew(patience)
        cloud.says(SPOT if cloud.now < 3000 else None)

    def be_a_node(*given: object) -> None:
        nonlocal lives
        lives += 1
        assert cloud.watch.notice is None
        if lives == 1:  # a machine that had waited for the farm for so long would give up
            raise Unavailable("nothing answers")
        stop = given[3]
        assert isinstance(stop, threading.Event)
        stop.set()

    monkeypatch.setattr(join.Patience, "renew", renewed)
    assert joining(monkeypatch, be_a_node, give_up_s=900.0) == 0
    assert (lives, cloud.now > 3000) == (2, True)


def test_a_hint_that_stands_ends_the_wait_outside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rented machine would be paid for nothing: with FARM_GIVE_UP_S it gives up, and says why."""
    Passing(monkeypatch, HINT)
    assert joining(monkeypatch, lambda *_: pytest.fail("it joined"), give_up_s=900.0) == 3
    said = capsys.readouterr().err
    assert "giving up: for FARM_GIVE_UP_S=900 s, this machine's cloud has said that it may end" in said


@pytest.mark.parametrize("word", [HEARD, None])
def test_a_hint_that_stands_ends_a_machine_in_the_farm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, word: str | None
) -> None:
    """The dispatcher gives signs all the time, and the machine has no work: it leaves, heard or not."""
    cloud, program = Passing(monkeypatch), tmp_path / "ray"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)

    def told(_address: str, _name: str) -> Told:
        if cloud.now > 2000 and not cloud.watch.notice:
            cloud.says(HINT)
        return Told(word, str(cloud.now))

    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(actors.cluster, "told", told)
    assert joining(monkeypatch, join.be_a_node, give_up_s=900.0) == 3
    said = capsys.readouterr()
    assert said.out == (f"joined {ADDRESS} as den\n" if word else "")
    assert "this machine's cloud has said that it may end" in said.err
    assert cloud.now > 2900


def test_without_give_up_s_a_hint_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user did not ask the machine to leave. Another time of the same hint begins no new wait."""
    cloud = Passing(monkeypatch, HINT)
    for number in range(100):
        cloud.says(HINT._replace(event=str(number)))
        cloud.monotonic()
    assert join.Patience(900.0, lambda: cloud.watch.hinted_s).is_over
    assert not join.Patience(None, lambda: cloud.watch.hinted_s).is_over
    cloud.says(SPOT)
    assert not join.Patience(900.0, lambda: cloud.watch.hinted_s).is_over


def test_with_give_up_s_the_first_join_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both machines boot, and the head is the slower one. A port that is closed ends the command even so."""
    lives = 0

    def be_a_node(*given: object) -> None:
        nonlocal lives
        lives += 1
        if lives == 1:
            raise Unavailable("nothing answers at 127.0.0.1:1")
        stop = given[3]
        assert isinstance(stop, threading.Event)
        stop.set()

    assert joining(monkeypatch, be_a_node, give_up_s=3600.0) == 0
    lives = 0
    with pytest.raises(ConfigError, match="nothing answers"):
        joining(monkeypatch, be_a_node)

    def shut_out(*_: object) -> None:
        raise Unavailable("the farm does not hear this machine", unreached="10.0.0.7:20000")

    with pytest.raises(ConfigError, match="does not hear"):
        joining(monkeypatch, shut_out, give_up_s=3600.0)


def test_what_keeps_a_machine_out_from_the_first_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray does not start: the command ends, and its last words are Ray's own."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    settings = FarmSettings(node="den", workers="1")
    with pytest.raises(Unavailable, match="Ray did not start here"):
        join.be_a_node(ADDRESS, settings, [], threading.Event(), join.Patience(None))
    be_a_node = join.be_a_node
    with pytest.raises(ConfigError, match="Ray did not start here: it said nothing"):
        joining(monkeypatch, be_a_node)


def test_a_machine_with_other_software_starts_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """The farm's notice names its build: the command ends before Ray starts, and says what to install."""
    notice = FarmNotice("/s", None, "epoch/1", "0", own_build()._replace(ray="1.0"))
    monkeypatch.setattr(actors.cluster, "look_at", lambda _address: FarmLook(notice, {}, Ports("127.0.0.1", ())))
    monkeypatch.setattr(join, "be_a_node", lambda *_: pytest.fail("Ray was started"))
    with pytest.raises(ConfigError, match=r"the farm runs Ray 1\.0, .*pip install 'ray\[serve\]==1\.0'"):
        join.join_foreground(ADDRESS, FarmSettings(node="den", workers="1"), own_store=False)


def test_workers_find_the_settings_of_the_join_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A FARM_S3_ENDPOINT that was left in the shell does not lead them to another store than the farm's."""
    monkeypatch.setitem(os.environ, "FARM_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(os.environ, "FARM_API_KEY", "of the user")
    env = join.node_env(FarmSettings(storage="s3://bucket/farm", node="den", workers="1", cpu_threads=2), [])
    ours = {name: value for name, value in env.items() if name.startswith("FARM_")}
    assert (ours["FARM_STORAGE"], ours["FARM_NODE"]) == ("s3://bucket/farm", "den")
    assert FarmSettings(s3_endpoint="http://127.0.0.1:8").on_node(env).s3_endpoint is None  # not the farm's
    assert "FARM_API_KEY" not in ours
    assert env["PATH"] == os.environ["PATH"]
