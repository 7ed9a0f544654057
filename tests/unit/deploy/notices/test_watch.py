"""The watch of a machine: what it tells the farm, when, and what a cloud's failures change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.notices.notice import CloudNotice
from deploy.node.notices import watcher
from deploy.node.notices.aws import Aws
from deploy.node.notices.azure import Azure
from deploy.node.notices.metadata import Cloud
from deploy.node.notices.watcher import Watch
from farm.errors import Unavailable
from tests.metadata_server import EVENTS, REBALANCE, SPOT, State
from tests.patience import wait_for
from tests.unit.deploy.notices.conftest import Service
from tests.unit.deploy.notices.test_clouds import HINT, NOON, SPOT_NOTICE, TERMINATE, azure, event


class Farm:
    """A farm that hears of a machine."""

    def __init__(self) -> None:
        self.told = list[tuple[str, str, CloudNotice | None]]()
        self.answers, self.is_empty, self.now = True, False, NOON - 120

    def post(self, address: str, node: str, notice: CloudNotice | None) -> bool:
        """Hear of a notice; it may not answer."""
        if not self.answers:
            raise Unavailable("nothing answers")
        self.told.append((address, node, notice))
        return True

    def left(self, *_: Any) -> bool:
        """Whether the machine has no worker."""
        return self.is_empty

    def watch(self, find: Callable[[], Cloud | None] = lambda: None) -> Watch:
        """A machine's watch."""
        return Watch(find, post=self.post, left=self.left, wall=lambda: self.now)


@pytest.fixture
def farm() -> Farm:
    """A farm that answers."""
    return Farm()


def test_a_notice_is_told_once_and_taken_back(farm: Farm, service: Service) -> None:
    """The farm hears of it when the machine is there, of the end of its work the machine hears; then it is off."""
    watch, aws = farm.watch(), Aws(service.client)
    service.now = State("aws", {SPOT: TERMINATE})
    watch.look(aws)
    assert watch.notice == SPOT_NOTICE
    assert watch.tell(aws)  # there is nobody to tell yet
    with watch.telling("head:1", "den"):
        assert not watch.tell(aws)  # its workers are still there
        farm.is_empty = True
        watch.look(aws)
        assert watch.tell(aws)
        assert watch.tell(aws)
        service.now = State("aws")
        watch.look(aws)
        assert watch.tell(aws)
    assert farm.told == [("head:1", "den", SPOT_NOTICE), ("head:1", "den", None)]


def test_each_life_of_the_node_is_told(farm: Farm, service: Service) -> None:
    """Ray forgets a machine that joins again. Where no notice stands, nothing is told."""
    watch, aws = farm.watch(), Aws(service.client)
    for _ in range(2):
        with watch.telling("head:1", "den"):
            assert watch.tell(aws)
    service.now = State("aws", {REBALANCE: HINT})
    watch.look(aws)
    for _ in range(2):
        with watch.telling("head:1", "den"):
            assert watch.tell(aws)  # a hint is over when the machine says so, not when its work ends
    assert [notice.kind if notice else None for _, _, notice in farm.told] == ["rebalance", "rebalance"]


def test_a_farm_that_does_not_answer_is_told_later(farm: Farm, service: Service) -> None:
    """Until then the watch has work to do."""
    watch, aws = farm.watch(), Aws(service.client)
    service.now, farm.answers = State("aws", {REBALANCE: HINT}), False
    watch.look(aws)
    with watch.telling("head:1", "den"):
        assert not watch.tell(aws)
        farm.answers = True
        assert watch.tell(aws)
    assert len(farm.told) == 1


@pytest.mark.parametrize("fault", ["503", "401", "garbage"])
def test_what_stood_stands_while_the_service_fails(farm: Farm, service: Service, fault: str) -> None:
    """A failure neither makes a notice nor takes one back."""
    watch, aws = farm.watch(), Aws(service.client)
    failing = State("aws", {SPOT: "<html>"}) if fault == "garbage" else State("aws", fault=fault)
    for state, stands in ((failing, None), (State("aws", {SPOT: TERMINATE}), SPOT_NOTICE), (failing, SPOT_NOTICE)):
        service.now = state
        watch.look(aws)
        assert watch.notice == stands


def test_a_machine_that_outlives_its_end_works_on(farm: Farm, service: Service) -> None:
    """A time that has just passed counts; one that is long over does not, as after a stop and a start."""
    watch, aws = farm.watch(), Aws(service.client)
    service.now, farm.now = State("aws", {SPOT: TERMINATE}), NOON + 60
    watch.look(aws)
    assert watch.notice == SPOT_NOTICE
    farm.now = NOON + 601
    watch.look(aws)
    assert watch.notice is None


def test_azure_hears_when_it_need_not_wait(farm: Farm, service: Service) -> None:
    """Only after the machine's work is given back; again if it does not answer. A begun event is no other one."""
    watch, cloud = farm.watch(), Azure(service.client)
    service.now = State("azure", {EVENTS: azure(event())})
    watch.look(cloud)

    def acknowledgements() -> int:
        return sum(line.startswith("POST") for line in service.asked)

    with watch.telling("head:1", "den"):
        assert not watch.tell(cloud)
        assert acknowledgements() == 0
        farm.is_empty = True
        service.now = State("azure", fault="503")
        assert not watch.tell(cloud)
        service.now = State("azure", {EVENTS: azure(event(before=""))})
        watch.look(cloud)
        assert watch.tell(cloud)
        assert watch.tell(cloud)
    assert acknowledgements() == 2
    assert len(farm.told) == 1


def test_the_threads_carry_on(farm: Farm, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cloud's word to the farm, past an answer that nobody foresaw."""
    aws, strange = Aws(service.client), [TypeError("nobody foresaw it")]
    look = aws.look

    def looks() -> CloudNotice | None:
        if strange:
            raise strange.pop()
        return look()

    monkeypatch.setattr(aws, "look", looks)
    monkeypatch.setattr(watcher, "_LOOK_S", 0.0)
    watch = farm.watch(lambda: aws)
    with watch.watching(), watch.telling("head:1", "den"):
        service.now, farm.is_empty = State("aws", {SPOT: TERMINATE}), True
        wait_for(lambda: farm.told or None, seconds=5, what="the notice")
        service.now = State("aws")
        wait_for(lambda: len(farm.told) == 2 or None, seconds=5, what="its end")
    assert [notice.kind if notice else None for _, _, notice in farm.told] == ["spot", None]
