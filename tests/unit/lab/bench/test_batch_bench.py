"""Batch sizes like image diffusion's: what a step takes of a clip does not grow with it, but for the one left whole."""

from __future__ import annotations

import json

import pytest

from deploy import cli
from lab.bench.training import step_costs
from tests.small_recipe import SMALLEST


def test_a_packed_clip_takes_the_same_at_any_length() -> None:
    """Tokens, memory and so the batch; the same transformer given every frame at once pays for each."""
    costs = {(cost.how, cost.sections): cost for cost in step_costs(SMALLEST, sections=(1, 2, 4))}
    for sections in (2, 4):
        assert costs["packed", sections].tokens == costs["packed", 1].tokens == costs["whole", 1].tokens
        assert costs["packed", sections].kept_mb == costs["packed", 1].kept_mb
        assert costs["packed", sections].batch == costs["packed", 1].batch
    one, two, four = (costs["whole", sections] for sections in (1, 2, 4))
    side = SMALLEST.resolution // 16
    assert two.tokens - one.tokens == SMALLEST.window * side**2
    assert four.tokens - two.tokens == 2 * SMALLEST.window * side**2
    assert one.kept_mb < two.kept_mb < four.kept_mb
    assert one.batch > two.batch > four.batch > 0


def test_the_command_prints_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Both ways of one length, as JSON, each announced before it is measured; a wrong size or length is refused."""
    assert cli.main(["bench", "training", "--sections", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == ["1 sections, packed …", "1 sections, whole …"]
    packed, whole = json.loads(out)
    assert (packed["how"], whole["how"]) == ("packed", "whole")
    assert packed["tokens"] == whole["tokens"] > 9 * 64
    assert cli.main(["bench", "training", "--sections", "1000"]) == 2
    assert "--sections" in capsys.readouterr().err
    assert cli.main(["bench", "training", "--size", "512"]) == 2
    assert "there are 128, 256" in capsys.readouterr().err
