"""A device, a model on it and what that makes: the same for a CPU and a GPU, small enough for either."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from framepack_engine import Conditioning, RenderSpec, Sampler, SectionState
from framepack_engine.memory.cuda_share import CONTEXT_BYTES
from framepack_engine.memory.ladder import GIB, HOST_RESERVE_BYTES, RESERVE_BYTES, MemoryPlan, ladder
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from lab.bench.random_model import RandomParts, random_conditioning, random_framepack

#: FramePack's architecture, heads of 128 numbers as they are, but narrow and short; for the CPU with narrow inputs, too
WIDTHS: dict[str, dict[str, Any]] = {
    "cpu": {
        "num_attention_heads": 1,
        "num_layers": 1,
        "num_single_layers": 5,
        "num_refiner_layers": 1,
        "text_embed_dim": 64,
        "pooled_projection_dim": 64,
        "image_proj_dim": 64,
    },
    "cuda": {"num_attention_heads": 12, "num_layers": 4, "num_single_layers": 12},
}
VAES: dict[str, dict[str, Any]] = {
    "cpu": {"block_out_channels": (4, 4, 8, 8), "layers_per_block": 1, "norm_num_groups": 4},
    "cuda": {},
}
SMALL = RenderSpec(
    kind="i2v", sections=2, height=32, width=48, seed=5, prompt="", latent_window_size=1, num_inference_steps=3
)
SPECS = {"cpu": SMALL, "cuda": replace(SMALL, height=448, width=448, latent_window_size=9)}


def model_of(device: str, *, home: str = "cpu") -> RandomParts:
    """A model of its own, drawn on the device, its weights at `home`; the same numbers each time."""
    parts = random_framepack(
        device=torch.device(device),
        home=torch.device(home),
        transformer_config=WIDTHS[device],
        vae_config=VAES[device],
    )
    if device == "cpu":
        parts.image_tokens = 16  # of 729: they would be most of so small a video
    return parts


@dataclass(frozen=True)
class Site:
    """A device, a model whose weights lie in the machine's memory, and what it makes when it simply lies there."""

    device: str
    parts: RandomParts
    spec: RenderSpec
    conditioning: Conditioning
    wanted: SectionState
    frames: Tensor

    @property
    def latents(self) -> dict[int, Tensor]:
        """Of two sections."""
        return _two(self.wanted)

    def renderer(
        self, plan: MemoryPlan, *, parts: RandomParts | None = None, lora_dir: Path | None = None, counted: bool = False
    ) -> Sampler:
        """A renderer whose best plan is that one. counted: on the CPU each tensor is, which is slow."""
        parts, host = parts or self.parts, HOST_RESERVE_BYTES if plan.mapped else GIB << 10
        counted = counted and self.device == "cpu"
        book = PlanBook(size=parts.size(), device_bytes=GIB << 8, host_bytes=host, counted=counted)
        for larger in ladder(parts.size(), workload_of(self.spec)):
            if larger.rung < plan.rung:
                book.too_large(workload_of(self.spec), larger)
        return Sampler(parts.transformer, parts.vae, device=self.device, lora_dir=lora_dir, book=book)


def make_site(device: str) -> Site:
    """That of a device."""
    here = model_of(device, home=device)
    plain, spec = Sampler(here.transformer, here.vae, device=device), SPECS[device]
    conditioning = random_conditioning(here, height=spec.height, width=spec.width)
    wanted = plain.section(spec, 0, conditioning, None)
    frames = plain.decode(spec, 1, conditioning, _two(wanted))
    del plain, here
    gc.collect()  # hooks refer to what they are on
    return Site(device, model_of(device), spec, conditioning, wanted, frames)


def _two(state: SectionState) -> dict[int, Tensor]:
    return {0: state.latents, 1: state.latents.flip(2)}


def plan_named(name: str, site: Site) -> MemoryPlan:
    """One of the ladder."""
    plans = ladder(site.parts.size(), workload_of(site.spec))
    streamed = [plan for plan in plans if plan.streamed]
    found = {
        **{f"keeps {plan.keeps}": plan for plan in plans if not plan.streamed},
        "some streamed": streamed[len(streamed) // 2],
        "all streamed": streamed[-1],
        "mapped": replace(streamed[-1], mapped=True),
    }
    return found[name]


#: bytes that cuBLAS and cuDNN may take through torch's allocator, for their workspaces: what a plan's reserve leaves
#: beside the CUDA context. cuBLAS takes 32 MiB a stream on Hopper. cuDNN's plans tell their size only when they run:
#: if it is more, a plan runs out of memory on a device of its own size, and a test must fail
WORKSPACES = RESERVE_BYTES - CONTEXT_BYTES
PLANS = ("keeps all", "keeps transformer", "keeps nothing", "some streamed", "all streamed", "mapped")


class Watched:
    """The most that a renderer takes on its device: by torch's own statistics on a GPU, by the budget on the CPU."""

    def __init__(self, renderer: Sampler) -> None:
        assert renderer.tenancy is not None
        self._budget, self._cuda = renderer.tenancy.budget, renderer.device.type == "cuda"
        self._budget.peak = 0
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()

    def peak(self, *, before: int) -> int:
        """Bytes since then, less what libraries work with on a GPU. before: bytes that lay there already."""
        return torch.cuda.max_memory_allocated() - before - WORKSPACES if self._cuda else self._budget.peak


def lies_there(device: str) -> int:
    """Bytes of the device that earlier tests left, libraries' workspaces for the most part."""
    return torch.cuda.memory_allocated() if device == "cuda" else 0
