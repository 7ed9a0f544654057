"""Simulated farms: what leasing sections gains over binding videos to GPUs."""

from __future__ import annotations

import json

import pytest

from deploy import cli
from lab.bench import replays
from lab.bench import scheduler as simulate
from lab.bench.scheduler import MIXED_FLEET, bound_s, by_section, clips, decisions_per_s, fifo_bound


@pytest.mark.parametrize("seed", [0, 1])
def test_sections_beat_binding_on_17_mixed_gpus(seed: int) -> None:
    """200 videos of 5, 15 and 60 s: at most a tenth over the bound, 0.65 of a FIFO's mean time."""
    videos = clips(200, seed=seed)
    ours, fifo, bound = by_section(videos, MIXED_FLEET), fifo_bound(videos, MIXED_FLEET), bound_s(videos, MIXED_FLEET)
    assert bound <= ours.makespan_s <= 1.10 * bound
    assert fifo.makespan_s > 1.8 * bound
    assert ours.flow_s <= 0.65 * fifo.flow_s
    assert ours.leases == sum(clip.sections + 2 for clip in videos)


def test_the_mix_is_as_asked_for() -> None:
    """60 % are short, 30 % middling, 10 % long; the order is the seed's."""
    sections = [clip.sections for clip in clips(200, seed=3)]
    assert [sections.count(n) for n in (4, 12, 50)] == [120, 60, 20]
    assert sections != [clip.sections for clip in clips(200, seed=4)]
    assert sections == [clip.sections for clip in clips(200, seed=3)]


def test_a_replay_is_the_same_every_time() -> None:
    """Owners and arrivals included: nothing but the news decides."""
    videos = clips(60, seed=5, owners=3, every_s=100.0)
    first, again = by_section(videos, MIXED_FLEET), by_section(videos, MIXED_FLEET)
    assert first == again


def test_one_gpu_loses_nothing() -> None:
    """Alone, a GPU is never idle: the makespan is the work."""
    videos = clips(10, seed=0)
    assert by_section(videos, (30.0,)).makespan_s == pytest.approx(bound_s(videos, (30.0,)))


def test_decisions_are_counted() -> None:
    """As the dispatcher asks: one worker at a time, all others busy. The figure itself is a clock's: no assert."""
    assert decisions_per_s(videos=100, workers=34, seconds=0.02) > 0


def test_bench_scheduler_prints_what_it_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for each number of videos, one for a stream of them, and the decisions a second."""
    monkeypatch.setattr(simulate, "decisions_per_s", lambda **_: 300.0)
    assert cli.main(["bench", "scheduler", "--videos", "20", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["videos"] for row in answer["replays"]] == [20, 1000]
    assert answer["replays"][0]["makespan_over_bound"] >= 1
    assert answer["leases_per_cpu_s"] == 300
    assert answer["goals_missed"] == []


def test_bench_scheduler_says_what_it_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 where the schedule is a FIFO's and too few leases are decided; few videos are not judged."""
    monkeypatch.setattr(simulate, "decisions_per_s", lambda **_: 299.0)
    monkeypatch.setattr(replays, "by_section", fifo_bound)
    assert cli.main(["bench", "scheduler", "--videos", "200", "--videos", "20", "--json"]) == 1
    said = capsys.readouterr()
    missed = json.loads(said.out)["goals_missed"]
    assert [text.split()[0] for text in missed] == ["makespan_over_bound", "flow_over_fifo", "flow_over_fifo", "299"]
    assert said.err.count("goal missed") == 4
    assert not any("(20 videos" in text for text in missed)
