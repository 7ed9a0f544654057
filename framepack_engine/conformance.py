"""Compare the engine with golden numbers of the reference implementation (tests/golden/README.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from framepack_engine.errors import EngineError, ModelUnavailable
from framepack_engine.models.weights import use_onednn
from framepack_engine.pipeline import Sampler
from framepack_engine.planning.sections import decode_needs, time_order
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling.artifacts import Conditioning

LATENTS_TOLERANCE = 1e-3
FRAMES_TOLERANCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """The result of one case. A difference is the largest absolute one, of latents and of 8-bit frames.

    frames_diff is None for a case without frames; both are None if `error` says why nothing was made.
    """

    name: str
    passed: bool
    latents_diff: float | None = None
    frames_diff: int | None = None
    calls_agree: bool = False
    error: str | None = None


class CaseModel(NamedTuple):
    """The parts of the model that the cases were made with."""

    transformer: Any
    vae: Any


def run_conformance(folder: str | Path, only: Sequence[str] | None = None) -> Iterator[CaseResult]:
    """Run the cases of `folder` (all, or those named) on the CPU in float32, in order of name, one at a time.

    Raises: ModelUnavailable if folder/tiny_model is missing; EngineError for an unknown name.
    """
    root = Path(folder)
    cases = {path.parent.name: path.parent for path in sorted(root.glob("*/case.json"))}
    unknown = sorted(set(only or ()) - set(cases))
    if unknown or not cases:
        raise EngineError(f"{root} has no case {', '.join(unknown)}; it has: {', '.join(cases) or 'none'}")
    sampler = Sampler(*load_case_model(root / "tiny_model"))
    for name, case in cases.items():
        if not only or name in only:
            try:
                yield _run(sampler, name, case)
            except EngineError as err:
                yield CaseResult(name=name, passed=False, error=f"{err.code}: {err}")


def load_case_model(folder: Path) -> CaseModel:
    """Load the model of the cases, float32 on the CPU. Raises: ModelUnavailable."""
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoFramepackTransformer3DModel

    for part in ("transformer", "vae"):
        if not (folder / part / "config.json").is_file():
            raise ModelUnavailable(f"{folder / part / 'config.json'} is missing: the cases need their tiny model")
    transformer = HunyuanVideoFramepackTransformer3DModel.from_pretrained(
        folder / "transformer", torch_dtype=torch.float32
    )
    vae = AutoencoderKLHunyuanVideo.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    use_onednn(vae)  # as `load_models` does: the comparison must take the same path as a render
    return CaseModel(transformer, vae)


def _run(sampler: Sampler, name: str, folder: Path) -> CaseResult:
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    expected = safetensors.torch.load_file(folder / "expected.safetensors")
    spec, conditioning = case_spec(case), case_conditioning(folder)
    state, states = None, []
    for index in range(spec.sections):
        state = sampler.section(spec, index, conditioning, state)
        states.append(state)
    latents = {i: made.latents for i, made in enumerate(states)}
    pairs = [(latents[i], expected[f"section_{i:03}"]) for i in range(spec.sections)]
    order = range(spec.sections) if spec.kind == "f1" else range(spec.sections - 1, -1, -1)
    pairs.append((torch.cat([conditioning.start_latent, *(latents[i] for i in order)], dim=2), expected["latents"]))
    latents_diff = max(_difference(made, wanted) for made, wanted in pairs)
    frames_diff = None
    if "frames_uint8" in expected:
        wanted = expected["frames_uint8"][0].permute(1, 2, 3, 0)
        frames_diff = int(_difference(_frames(sampler, spec, conditioning, latents), wanted))
    calls = [list(made.forwards) for made in states] == case["transformer_calls_per_step"]
    return CaseResult(
        name=name,
        latents_diff=latents_diff,
        frames_diff=frames_diff,
        calls_agree=calls,
        passed=calls and latents_diff <= LATENTS_TOLERANCE and (frames_diff or 0) <= FRAMES_TOLERANCE,
    )


def _frames(sampler: Sampler, spec: RenderSpec, conditioning: Conditioning, latents: dict[int, Tensor]) -> Tensor:
    clips = {
        k: sampler.decode(spec, k, conditioning, latents)
        for k in range(spec.sections)
        if decode_needs(spec.kind, spec.sections, k)
    }
    return torch.cat([clips[k] for k in time_order(spec.kind, spec.sections)])


def _difference(made: Tensor, wanted: Tensor) -> float:
    if made.shape != wanted.shape:
        raise EngineError(f"the engine made {tuple(made.shape)}, the case has {tuple(wanted.shape)}")
    return float((made.double() - wanted.double()).abs().max())


def case_spec(case: dict[str, Any]) -> RenderSpec:
    """Return the specification of a case.json."""
    return RenderSpec(
        kind=case["model"],
        sections=case["sections"],
        height=case["latent_height"] * 8,
        width=case["latent_width"] * 8,
        seed=case["seed"],
        prompt="",
        latent_window_size=case["latent_window_size"],
        num_inference_steps=case["steps"],
        guidance_scale=case["gs"],
        true_cfg_scale=case["cfg"],
        guidance_rescale=case["rs"],
        flow_shift=case.get("shift"),
        cache="teacache" if case["teacache"] else "none",
        cache_threshold=case.get("teacache_threshold"),
    )


def case_conditioning(folder: Path) -> Conditioning:
    """Load the inputs of a case folder."""
    return Conditioning.from_tensors(safetensors.torch.load_file(folder / "inputs.safetensors"))
