"""Values that cannot be taken over as they stand: the forks' section numbers, FramePack's memory preservation."""

from __future__ import annotations

from typing import get_args

import pytest

from deploy.planner import EnginePlanner
from farm.contract import Stage, WorkerState
from farm.ingress.gradio.asked import keyframes_of, preserved_gb
from farm.ledger.notes import ScriptSections
from framepack_engine.planning.sections import keyframe_section, sections_for
from tests.hands import card

PLANNER = EnginePlanner()
SECONDS, WINDOW = 5.0, 9  #: four sections


def taken_by(numbers: tuple[int, ...]) -> list[int | None]:
    """The keyframe that each section of the fork takes: the one of the lowest number that is not below its own."""
    found = []
    for section in range(sections_for(SECONDS, window=WINDOW)):
        ahead = [(number, n) for n, number in enumerate(numbers) if number >= section]
        found.append(min(ahead)[1] if ahead else None)
    return found


@pytest.mark.parametrize(
    "numbers", [(0,), (3,), (0, 1), (1, 3, 0), (2, 2), (0, 90), (7, 3), (9, 5), (3, 3, 8), (1, 0, 2), ()], ids=str
)
def test_a_section_takes_the_keyframe_that_the_fork_takes(numbers: tuple[int, ...]) -> None:
    """The engine's rule over our times gives what the fork's rule gives over its numbers."""
    sections = ScriptSections(numbers=numbers, files=tuple(f"file-{n}" for n in range(len(numbers))))
    times = keyframes_of(sections, SECONDS, WINDOW, PLANNER)
    count = sections_for(SECONDS, window=WINDOW)
    ours = tuple(keyframe_section(at_s, sections=count, window=WINDOW) for at_s in times.values())
    assert len(set(ours)) == len(ours)
    keyframes = list(times)
    found = []
    for section in range(count):
        ahead = [(number, n) for n, number in enumerate(ours) if number >= section]
        found.append(keyframes[min(ahead)[1]] if ahead else None)
    assert found == taken_by(numbers)


def worker(vram_gib: float | None, *stages: Stage) -> WorkerState:
    """A worker that renders `tiny`, all of it or these stages, and needs 5 GiB for it; None: a CPU."""
    needs = {"tiny": 5.0, "tiny decode=tiled": 2.0}
    does = stages or get_args(Stage)
    return WorkerState(card=card("w", vram_gib=vram_gib, needs_gib=needs, stages=does), state="idle")


@pytest.mark.parametrize(
    ("asked_gb", "workers", "gb"),
    [
        (6, [worker(6)], None),  # FramePack's default: a card of 6 GB is leased as ever
        (0, [worker(6)], None),
        (8, [worker(24)], 2.0),
        (16, [worker(24)], 10.0),
        (128, [worker(24), worker(12)], 18.99),  # so that one still fits
        (16, [worker(12), worker(None)], 6.99),
        (16, [worker(5)], None),  # leaves nothing to preserve
        (16, [worker(None)], None),
        (16, [], None),
        (16, [worker(12, "encode", "section"), worker(24, "decode")], 6.99),  # decoding alone makes no video
        (16, [worker(12), worker(24, "finish")], 6.99),
        (16, [worker(12, "section"), worker(None, "encode", "decode", "finish")], 6.99),
        (16, [worker(7, "decode"), worker(24, "encode", "section")], 1.99),
        (16, [worker(24, "finish"), worker(None)], None),
    ],
)
def test_memory_is_preserved_as_far_as_a_worker_fits(
    asked_gb: float, workers: list[WorkerState], gb: float | None
) -> None:
    """The farm takes the part above FramePack's own 6 GB, and never so much that the video would wait for ever."""
    assert preserved_gb(asked_gb, "tiny", workers) == gb
