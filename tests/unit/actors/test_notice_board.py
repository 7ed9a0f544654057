"""What the farm logs, counts and answers of the clouds' notices. Ray's key-value store is a dictionary here."""

from __future__ import annotations

import pytest

from actors import notice_board
from actors.cluster import FarmNode
from actors.notice import CloudNotice
from actors.notice_board import NoticeBoard
from tests.unit.farm.test_metrics import Recorder

SPOT = CloudNotice("aws", "spot", deadline_s=1795780800.0, event="x")
HINT = CloudNotice("aws", "rebalance", is_hint=True)


class Board:
    """The board of one farm, and what Ray keeps for the next dispatcher."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No notice was ever seen."""
        self.meter, self.seen, self.left = Recorder(), dict[str, CloudNotice](), dict[str, CloudNotice]()
        self.board = NoticeBoard(self.meter)
        monkeypatch.setattr(notice_board, "is_new_notice", self.is_new)
        monkeypatch.setattr(notice_board, "answer_left", self.left.__setitem__)
        monkeypatch.setattr(notice_board, "forget_notice", self.forget)

    def is_new(self, node_id: str, notice: CloudNotice) -> bool:
        """Whether Ray does not have it."""
        before, self.seen[node_id] = self.seen.get(node_id), notice
        return before != notice

    def forget(self, node_id: str) -> None:
        """Ray has nothing of the machine."""
        self.seen.pop(node_id, None)
        self.left.pop(node_id, None)

    def look(self, *notices: CloudNotice | None, busy: bool = True) -> None:
        """A round of the fleet: machine 0 with the first notice, and so on."""
        nodes = [
            FarmNode(str(number), f"den-{number}", 1, 0, draining=False, notice=notice)
            for number, notice in enumerate(notices)
        ]
        self.board.look(nodes, {node.id for node in nodes} if busy else set())

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
    farm.look(None)
    assert not farm.left
    farm.look(SPOT)
    assert farm.counted == {"spot": 2}
    assert not farm.left


def test_a_machine_hears_that_its_work_is_over(farm: Board) -> None:
    """Once no worker of it is left; of a machine that is gone nothing is kept."""
    farm.look(SPOT)
    assert not farm.left
    farm.look(SPOT, busy=False)
    assert farm.left == {"0": SPOT}
    farm.look()
    assert not farm.left
    assert not farm.seen
