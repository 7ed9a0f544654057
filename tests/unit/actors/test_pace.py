"""A worker reports its own speed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.worker.vitals import Pace
from farm.contract import Artifact, Order, OrderKey
from farm.jobs import Record
from farm.jobs.demand import section_work


def test_the_pace_is_the_median_of_whole_sections(accept: Callable[..., Record]) -> None:
    """By model; a decode, and a section that was taken up inside, tell nothing; one slow section moves it little."""
    pace, job = Pace(), accept().job
    assert pace.of(None) == {"model": None, "s_per_section": None, "s_per_standard_section": None}

    def order(key: str, **needs: Artifact) -> Order:
        return Order(job=job, key=OrderKey.parse(key), attempt=1, needs=needs, numeric_class=None, lease_s=30.0)

    pace.note(order("decode/0"), 99.0)
    pace.note(order("section/1", step=Artifact(key="s", sha256="0", bytes=1)), 0.1)
    assert pace.of("tiny")["s_per_section"] is None
    for seconds in (2.0, 3.0, 50.0):
        pace.note(order("section/1"), seconds)
    says = pace.of("tiny")
    assert (says["model"], says["s_per_section"]) == ("tiny", 3.0)
    assert says["s_per_standard_section"] == pytest.approx(3.0 / section_work(job.request, job.plan))
    assert pace.of("tiny-f1")["s_per_section"] is None
