"""Which machines may join a farm, by their software."""

from __future__ import annotations

import json

import pytest

from actors import wire
from actors.cluster import FarmNotice
from actors.wire import Build, mismatch, own_build, wire_number
from farm.contract import WorkerCard

FARM = Build("0.2.0", 7, "2.60.0", "3.11.7")


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (FARM._replace(version="0.1.0", wire=6), ["0.2.0 (wire 7)", "0.1.0 (wire 6)", "git pull && make env"]),
        (FARM._replace(wire=6), ["0.2.0 (wire 7)", "0.2.0 (wire 6)", "git pull && make env"]),
        (FARM._replace(ray="2.61.0"), ["Ray 2.60.0", "2.61.0", "pip install 'ray[serve]==2.60.0'"]),
        (FARM._replace(python="3.12.1"), ["Python 3.11.7", "3.12.1", "make PYTHON3=python3.11 env"]),
    ],
    ids=["another version", "another commit", "another Ray", "another Python"],
)
def test_another_software_is_told_with_its_cure(here: Build, said: list[str]) -> None:
    """One line: both versions, and the command."""
    why = mismatch(FARM, here)
    assert why
    assert [words for words in said if words not in why] == []
    assert "\n" not in why


@pytest.mark.parametrize("here", [FARM, FARM._replace(python="3.11.2"), FARM._replace(version="0.2.1")])
def test_what_is_alike_enough_may_join(here: Build) -> None:
    """Python's third number, and a version that changed nothing of what is exchanged."""
    assert mismatch(FARM, here) is None


def test_a_new_field_changes_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to remember it; and the same fields give the same number."""
    assert wire_number() == wire_number() == own_build().wire

    class Longer(WorkerCard):
        mood: str = "good"

    Longer.__name__ = WorkerCard.__name__
    before = wire_number()
    monkeypatch.setattr(wire, "_SENT", (Longer, *wire._SENT[1:]))
    assert wire_number() != before


def test_notices_of_other_versions_are_read() -> None:
    """A farm of before, which named no build; one to come, which says more."""
    said = {"storage": "/s", "s3_endpoint": None, "key": "epoch/1", "sha256": "0"}
    old = FarmNotice.read(json.dumps(said).encode())
    assert "wire 0" in str(mismatch(old.build, FARM))
    new = FarmNotice.read(json.dumps({**said, "mood": 1, "build": {**FARM._asdict(), "os": "x"}}).encode())
    assert new.build == FARM
