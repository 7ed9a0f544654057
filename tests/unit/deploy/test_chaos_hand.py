"""The hand that kills and freezes: it waits for somebody to hit, and says where there was nobody."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.chaos import faults
from tests.chaos.door import Gap
from tests.chaos.farm import WORKER
from tests.chaos.faults import Injector, Missed
from tests.chaos.report import FaultDone, Report
from tests.patience import patient


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that would sleep for long."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


class Farm:
    """Its worker is away for the first looks, as between a death and the next birth."""

    def __init__(self, process: subprocess.Popen[bytes] | None, *, away: int) -> None:
        """`away`: looks that find nobody."""
        self.process, self.away = process, away

    def any_actor(self, name: str, dice: random.Random) -> psutil.Process | None:
        """The worker, once it is there."""
        assert name == WORKER
        self.away -= 1
        return psutil.Process(self.process.pid) if self.process and self.away < 0 else None


def hand(farm: Any) -> Injector:
    """Of this farm; it has no store and nobody to ask it."""
    return Injector(farm, store=farm, operator=farm, dice=random.Random(0))


def test_a_worker_that_is_just_being_born_is_waited_for(victim: subprocess.Popen[bytes]) -> None:
    """The fault happens all the same."""
    hand(Farm(victim, away=3)).kill(WORKER)
    assert victim.wait(patient(60)) == -signal.SIGKILL


def test_nobody_to_hit_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as missed, so that it does not count."""
    monkeypatch.setattr(faults, "_AIM_S", 0.0)
    with pytest.raises(Missed):
        hand(Farm(None, away=0)).kill(WORKER)


def test_a_gap_belongs_to_the_fault_before_it() -> None:
    """The report names the longest time without an answer for each kind; a fault of the store takes no door away."""
    faults = [
        FaultDone("ingress killed", 10.0, 10.0),
        FaultDone("every ingress killed", 20.0, 20.0),
        FaultDone("store killed", 20.1, 23.0),
        FaultDone("ingress killed", 30.0, 30.0),
    ]
    report = Report(seed=0, workers=1, nodes={}, faults=faults)
    report.note_gaps([Gap(1, 8), Gap(10.2, 10.3), Gap(19.9, 22.4), Gap(25, 25.1), Gap(29.95, 30.3)])
    assert [round(fault.away_s, 2) for fault in faults] == [0.1, 2.5, 0.0, 0.35]
    assert "| every ingress killed | 1 | - | - | 2.5 |" in report.as_text().splitlines()
