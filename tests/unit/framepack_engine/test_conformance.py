"""The engine gives the numbers that the reference implementation gave (tests/golden)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from framepack_engine import EngineError, RenderSpec, run_conformance
from framepack_engine.conformance import case_spec
from framepack_engine.errors import ModelUnavailable
from framepack_engine.planning.schedule import flow_mu
from framepack_engine.sampling.solver import flow_sigmas
from tests.imports import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = ROOT / "tests" / "golden"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/case.json"))


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_the_reference(name: str) -> None:
    """Latents, frames and transformer calls per step agree with the reference's; far below its tolerance."""
    (result,) = run_conformance(GOLDEN, [name])
    assert result.passed, result
    assert result.latents_diff is not None
    assert result.latents_diff < 5e-4  # Intel's CPUs stay below 1e-4, an AMD EPYC came to 3.4e-4
    assert result.calls_agree


@pytest.mark.parametrize("name", CASES)
def test_the_schedule_is_the_reference_s(name: str) -> None:
    """Noise levels agree bit for bit."""
    case = json.loads((GOLDEN / name / "case.json").read_text())
    spec: RenderSpec = case_spec(case)
    mu = flow_mu(spec.tokens, shift=spec.flow_shift)
    assert list(flow_sigmas(spec.num_inference_steps, mu=mu)) == case["sigmas"]


def test_a_case_that_is_not_there_is_an_error() -> None:
    """A mistyped name, or a folder without cases, never counts as passed."""
    with pytest.raises(EngineError, match="i2v_9_sections"):
        list(run_conformance(GOLDEN, ["i2v_9_sections"]))
    with pytest.raises(EngineError, match="no case"):
        list(run_conformance(GOLDEN / "tiny_model"))


def test_a_folder_without_weights_names_the_file(tmp_path: Path) -> None:
    """Cases without their tiny model say what is missing."""
    case = tmp_path / "i2v_shift_3"
    case.mkdir()
    (case / "case.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        list(run_conformance(tmp_path))


def test_a_case_that_fails_says_by_how_much(tmp_path: Path) -> None:
    """Other inputs give other latents: the case fails with the difference, it does not raise."""
    from safetensors.torch import load_file, save_file

    source, case = GOLDEN / "i2v_shift_3", tmp_path / "i2v_shift_3"
    case.mkdir()
    (tmp_path / "tiny_model").symlink_to((GOLDEN / "tiny_model").absolute())
    for name in ("case.json", "expected.safetensors"):
        (case / name).symlink_to((source / name).absolute())
    inputs = load_file(source / "inputs.safetensors")
    save_file(inputs | {"image_embeds": torch.zeros_like(inputs["image_embeds"])}, case / "inputs.safetensors")
    (result,) = run_conformance(tmp_path)
    assert not result.passed
    assert result.latents_diff is not None
    assert result.latents_diff > 1e-3
