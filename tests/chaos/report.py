"""The outcome of a run, for people and for programs."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.door import Gap

_ASKED_S = 0.2  #: between two questions to the door, and a little more


@dataclass
class FaultDone:
    """One fault that happened."""

    kind: str
    begun: float  #: unix seconds
    over: float
    recovered_s: float | None = None  #: from its end until work that was leased after it was committed
    away_s: float = 0.0  #: how long the door gave no answer, longest


@dataclass
class Report:
    """Everything that is printed."""

    seed: int
    workers: int  #: on the head
    nodes: dict[str, str]  #: machines that joined, with a worker each: name -> VRAM class
    seconds: float = 0.0
    faults: list[FaultDone] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)  #: faults that found nothing to hit; they count nowhere
    accepted: int = 0
    calls_in_vain: list[str] = field(default_factory=list)  #: although the client was patient
    compared: int = 0  #: videos whose latents and frames were compared with those of an undisturbed run
    videos: dict[str, int] = field(default_factory=dict)
    sections_committed: int = 0
    sections_leased: int = 0
    sections_continued: int = 0
    sections_repeated: int = 0
    others_repeated: int = 0
    whims: int = 0  #: how often owners paused a video, or let a paused one go on
    poison_deaths: int = 0  #: workers that the poisoned video killed before it was given up; beside the faults
    broken: list[str] = field(default_factory=list)  #: promises

    def note_recoveries(self, begun: list[tuple[float, float]]) -> None:
        """`begun`: of each commit, when it was leased and when committed, unix seconds."""
        for fault in self.faults:
            after = [committed - fault.over for leased, committed in begun if leased > fault.over]
            fault.recovered_s = min(after, default=None)

    def note_gaps(self, gaps: list[Gap]) -> None:
        """Give each gap of the door to the fault that hit the farm last before it began."""
        hits = [fault for fault in sorted(self.faults, key=lambda fault: fault.begun) if "store " not in fault.kind]
        for gap in gaps:
            # the last answer before a hit may be a tenth of a second older than the hit
            before = [hit for hit in hits if hit.begun < gap.begun + _ASKED_S]
            if before:
                before[-1].away_s = max(before[-1].away_s, gap.seconds)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"faults_by_kind": self._by_kind()}

    def as_text(self) -> str:
        """A table and a few lines."""
        names = ("fault", "times", "recovered after, median s", "at most s", "door away, at most s")
        lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        for kind, row in self._by_kind().items():
            times = " | ".join(_s(row[name]) for name in ("median_s", "most_s", "away_s"))
            lines.append(f"| {kind} | {row['times']} | {times} |")
        nodes = ", ".join(f"{name} ({vram})" for name, vram in self.nodes.items())
        share = self.sections_repeated / max(1, len(self.faults))
        videos = ", ".join(f"{number} {status}" for status, number in sorted(self.videos.items()))
        lines += [
            "",
            f"seed {self.seed}, workers on the head: {self.workers}, nodes: {nodes or 'none'}",
            f"{self.seconds / 60:.1f} minutes, {len(self.faults)} faults",
            f"videos accepted: {self.accepted} ({videos}); compared bit for bit: {self.compared}",
            f"paused or let go on by their owners: {self.whims}",
            f"sections committed: {self.sections_committed}, leased: {self.sections_leased}",
            f"sections gone on with behind a saved step: {self.sections_continued}",
            f"sections repeated: {self.sections_repeated}, a fault: {share:.2f}",
            f"orders of other stages repeated: {self.others_repeated}",
            f"workers that the poisoned video killed: {self.poison_deaths}",
            *(f"call in vain: {why}" for why in self.calls_in_vain),
            *(f"BROKEN: {promise}" for promise in self.broken),
            "every promise was kept" if not self.broken else f"{len(self.broken)} promises broken",
        ]
        return "\n".join(lines)

    def _by_kind(self) -> dict[str, dict[str, Any]]:
        rows = {}
        for kind in sorted({fault.kind for fault in self.faults}):
            ours = [fault for fault in self.faults if fault.kind == kind]
            times = [fault.recovered_s for fault in ours if fault.recovered_s is not None]
            rows[kind] = {
                "times": len(ours),
                "median_s": round(statistics.median(times), 1) if times else None,
                "most_s": round(max(times), 1) if times else None,
                "away_s": round(max(fault.away_s for fault in ours), 1),
            }
        return rows


def _s(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
