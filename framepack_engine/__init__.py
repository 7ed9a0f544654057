"""FramePack as a library, without Ray, HTTP or storage. A name loads what it needs at its first use.

`from framepack_engine import sections_for` loads no torch; `from framepack_engine import Renderer` does.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framepack_engine.conformance import CaseResult, run_conformance
    from framepack_engine.environment import prepare_process
    from framepack_engine.errors import EngineError
    from framepack_engine.frames.generated import Clip, GeneratedVideo
    from framepack_engine.frames.provenance import read_provenance
    from framepack_engine.models.shelf import Models, ModelShelf, load_models
    from framepack_engine.pipeline import Renderer, RenderProgress, Sampler
    from framepack_engine.planning.buckets import nearest_bucket
    from framepack_engine.planning.sections import final_frames, frames_for, sections_for
    from framepack_engine.planning.spec import Lora, RenderSpec
    from framepack_engine.sampling.artifacts import Conditioning, SectionState, StepState

# diffusers loads torchao if it is installed, and both log what no user can act on: we use none of torchao's compiled
# kernels, and load none of its checkpoints.
for _name in ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao.torchao_quantizer"):
    logging.getLogger(_name).setLevel(logging.ERROR)

_HOMES = {
    "conformance": "CaseResult run_conformance",
    "environment": "prepare_process",
    "errors": "EngineError",
    "frames.generated": "Clip GeneratedVideo",
    "frames.provenance": "read_provenance",
    "models.shelf": "ModelShelf Models load_models",
    "pipeline": "RenderProgress Renderer Sampler",
    "planning.buckets": "nearest_bucket",
    "planning.sections": "final_frames frames_for sections_for",
    "planning.spec": "Lora RenderSpec",
    "sampling.artifacts": "Conditioning SectionState StepState",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "CaseResult",
    "Clip",
    "Conditioning",
    "EngineError",
    "GeneratedVideo",
    "Lora",
    "ModelShelf",
    "Models",
    "RenderProgress",
    "RenderSpec",
    "Renderer",
    "Sampler",
    "SectionState",
    "StepState",
    "final_frames",
    "frames_for",
    "load_models",
    "nearest_bucket",
    "prepare_process",
    "read_provenance",
    "run_conformance",
    "sections_for",
]


def __getattr__(name: str) -> Any:
    """Import the module that defines `name`."""
    try:
        home = _HOME[name]
    except KeyError as err:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from err
    return getattr(import_module(f"{__name__}.{home}"), name)
