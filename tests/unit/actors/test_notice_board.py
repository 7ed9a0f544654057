"""The farm logs, counts and answers the clouds' notices. Ray's key-value store is a dictionary here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from actors.cluster import NAMESPACE, FarmNode
from actors.notices import mail
from actors.notices.board import NoticeBoard
from actors.notices.mail import has_left, post_notice, with_notices
from actors.notices.notice import CloudNotice
from tests.unit.farm.test_metrics import Recorder

HEAD = "head:6379"
SPOT = CloudNotice("aws", "spot", deadline_s=1795780800.0, event="x")
HINT = CloudNotice("aws", "rebalance", is_hint=True)


class Store:
    """Ray's key-value store, from inside and from outside. Its machines are den-0, den-1 … with the ids 0, 1 …"""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is empty."""
        self.lines = dict[bytes, bytes]()
        self.machines = 0

        @contextlib.contextmanager
        def asking(address: str) -> Iterator[Store]:
            assert address == HEAD
            yield self

        def id_of(client: Store, node: str) -> str | None:
            return next((str(number) for number in range(client.machines) if node == f"den-{number}"), None)

        for name, stand_in in (("own_client", lambda: self), ("asking", asking), ("id_of", id_of)):
            monkeypatch.setattr(mail, name, stand_in)

    def internal_kv_put(self, key: bytes, data: bytes, *, overwrite: bool, namespace: bytes, timeout: Any) -> None:
        """Write a line."""
        assert (overwrite, namespace) == (True, NAMESPACE.encode())
        self.lines[key] = data

    def internal_kv_get(self, key: bytes, *, namespace: bytes, timeout: Any) -> bytes | None:
        """Read one."""
        return self.lines.get(key)

    def internal_kv_multi_get(self, keys: list[bytes], *, namespace: bytes) -> dict[bytes, bytes]:
        """Read those that are there."""
        return {key: self.lines[key] for key in keys if key in self.lines}

    def internal_kv_del(self, key: bytes, *, del_by_prefix: bool, namespace: bytes, timeout: Any) -> None:
        """Delete one."""
        assert not del_by_prefix  # "notice/1" is the beginning of "notice/10"
        self.lines.pop(key, None)


class Board:
    """The board of one farm, and what Ray keeps for the next dispatcher."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No notice was ever seen."""
        self.meter, self.store = Recorder(), Store(monkeypatch)
        self.board = NoticeBoard(self.meter)

    def look(self, *notices: CloudNotice | None, busy: bool = True) -> None:
        """A round of the fleet, where machine 0 has told the first notice, and so on."""
        self.store.machines = len(notices)
        for number, notice in enumerate(notices):
            assert post_notice(HEAD, f"den-{number}", notice)
        nodes = [FarmNode(str(number), f"den-{number}", 1, 0, draining=False) for number in range(len(notices))]
        noticed = with_notices(nodes)
        assert [node.notice for node in noticed] == list(notices)
        assert [node.draining for node in noticed] == [bool(notice and not notice.is_hint) for notice in notices]
        self.board.look(noticed, {node.id for node in nodes} if busy else set())

    def has_left(self, notice: CloudNotice) -> bool:
        """Return the farm's answer to machine 0."""
        return has_left(HEAD, "den-0", notice)

    @property
    def counted(self) -> dict[str, int]:
        """Kind -> notices."""
        return {labels[2]: len(values) for labels, values in self.meter.values.items()}


@pytest.fixture
def farm(monkeypatch: pytest.MonkeyPatch) -> Board:
    """A farm without a notice."""
    return Board(monkeypatch)


def test_a_notice_counts_once(farm: Board) -> None:
    """However often the fleet looks, and also for the next dispatcher; another machine's counts by itself."""
    farm.look(HINT)
    farm.look(HINT, SPOT)
    assert farm.counted == {"rebalance": 1, "spot": 1}
    farm.board = NoticeBoard(farm.meter)
    farm.look(HINT, SPOT)
    assert farm.counted == {"rebalance": 1, "spot": 1}
    farm.look(SPOT, SPOT)
    assert farm.counted == {"rebalance": 1, "spot": 2}


def test_one_that_is_taken_back_may_come_again(farm: Board) -> None:
    """It counts again, and the machine is answered again."""
    farm.look(SPOT, busy=False)
    assert farm.has_left(SPOT)
    farm.look(None)
    assert farm.store.lines == {}
    farm.look(SPOT)
    assert farm.counted == {"spot": 2}
    assert not farm.has_left(SPOT)


def test_one_that_comes_again_at_once_stands(farm: Board) -> None:
    """The machine tells it between the fleet's look and the end of the one before: nobody deletes it."""
    farm.look(SPOT)
    (bare,) = with_notices([FarmNode("0", "den-0", 1, 0, draining=False)])
    farm.board.look([bare._replace(notice=None, draining=False)], {"0"})
    (noticed,) = with_notices([bare])
    assert noticed.notice == SPOT


def test_a_machine_hears_that_its_work_is_over(farm: Board) -> None:
    """Once no worker of it is left, and of that notice alone."""
    farm.look(SPOT)
    assert not farm.has_left(SPOT)
    farm.look(SPOT, busy=False)
    assert farm.has_left(SPOT)
    assert not farm.has_left(HINT)


def test_of_a_machine_that_is_gone_nothing_is_kept(farm: Board) -> None:
    """Neither what the farm wrote nor what the machine told; a machine that lives keeps its own."""
    farm.look(SPOT, HINT, busy=False)
    assert len(farm.store.lines) == 6
    farm.board.look(with_notices([FarmNode("1", "den-1", 1, 0, draining=False)]), {"1"})
    assert sorted(farm.store.lines) == [b"left/1", b"notice/1", b"noticed/1"]
    assert not post_notice(HEAD, "den-2", SPOT)
