"""From noisy latents to a velocity: diffusers' FramePack transformer, called as the reference calls it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from framepack_engine.errors import ArtifactMismatch
from framepack_engine.memory.hoist import Hoist, Table
from framepack_engine.models.compiled import compute_plainly, is_compiled
from framepack_engine.models.precision import precision_of
from framepack_engine.planning.cache_choice import mag_ratios
from framepack_engine.planning.sections import IndexLayout
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling.artifacts import Conditioning
from framepack_engine.sampling.attention import pin_attention
from framepack_engine.sampling.cache_diffusers import DiffusersCache
from framepack_engine.sampling.caches import CacheState, StepCache, TeaCache
from framepack_engine.sampling.context import PackedContext
from framepack_engine.sampling.lora.stack import LoraStack
from framepack_engine.sampling.numeric import numeric_class
from framepack_engine.sampling.text import padded_text

_SCALE = 1000.0  #: the model counts timesteps and guidance in thousandths


def _float32_input(_module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (args[0].float(), *args[1:])


def guided(positive: Tensor, negative: Tensor, *, scale: float, rescale: float) -> Tensor:
    """Apply true classifier-free guidance, then move its contrast back to the positive branch's by `rescale` (0-1).

    Source: arXiv:2207.12598; rescaling arXiv:2305.08891 §3.4, std over all but the batch axis.
    """
    velocity = negative + scale * (positive - negative)
    if rescale == 0:
        return velocity
    axes = list(range(1, velocity.ndim))
    contrast = positive.std(dim=axes, keepdim=True) / velocity.std(dim=axes, keepdim=True)
    return rescale * velocity * contrast + (1 - rescale) * velocity


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer in one step.

    velocity: float32, of x's shape. caches: one state for each guidance branch, for the next step; empty without a
    cache. forwards: how often the model's blocks ran.
    """

    velocity: Tensor
    caches: tuple[CacheState, ...]
    forwards: int


class Transformer:
    """One HunyuanVideoFramepackTransformer3DModel, prepared as FramePack calls it.

    The output projection becomes float32 in place; every other weight keeps its precision.
    """

    def __init__(self, model: Any, *, name: str | None = None, device: torch.device | None = None) -> None:
        """name: of the model in the catalog, to look up MagCache's ratios.

        device: where it computes; None: where its weights are.
        """
        self.name = name
        #: set with each memory plan; None: each forward computes all. Compiled blocks are always hoisted, so that their
        #: graph is the same on every memory plan
        self.hoist: Hoist | None = Hoist(model) if is_compiled(model) else None
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.dtype: torch.dtype = model.x_embedder.proj.weight.dtype
        self.device: torch.device = device or model.x_embedder.proj.weight.device
        if model.proj_out.weight.dtype != torch.float32:
            # Source: lllyasviel/FramePack's high_quality_fp32_output_for_inference
            model.proj_out.to(torch.float32)
            model.proj_out.register_forward_pre_hook(_float32_input)
        self.loras = LoraStack(model, device=self.device, dtype=self.dtype)

    def numeric_class(self, attention: str | None = None) -> str:
        """Name its numeric class. attention: the video's; None leaves it open."""
        precision, compiled = precision_of(self.model), is_compiled(self.model)
        return numeric_class(self.device, self.dtype, attention=attention, precision=precision, compiled=compiled)

    @contextmanager
    def prepared(self, spec: RenderSpec) -> Iterator[StepCache | None]:
        """Let the model compute as `spec` says inside: with its attention, cache and LoRAs. Yields the cache.

        Raises: AttentionUnavailable, CacheUnusable.
        """
        pin_attention(self.model, spec.attention, device=self.device, dtype=self.dtype)
        compute_plainly(self.model, plain=bool(self.loras.using))  # compiled code ignores the hooks of LoRAs
        with self.loras.at_work(), nullcontext() if self.hoist is None else self.hoist.at_work():
            if spec.cache == "none":
                yield None
                return
            with closing(self._cache(spec)) as cache:
                yield cache

    def _cache(self, spec: RenderSpec) -> StepCache:
        steps = spec.num_inference_steps
        if spec.cache == "teacache":
            return TeaCache(self.model, threshold=spec.threshold, steps=steps)
        ratios = mag_ratios(self.name, spec.cache_ratios) if spec.cache == "magcache" else ()
        return DiffusersCache(self.model, spec.cache, threshold=spec.threshold, steps=steps, ratios=ratios)


class Question:
    """The inputs of a section's forwards that are the same in each step, cast and moved once."""

    def __init__(
        self,
        transformer: Transformer,
        spec: RenderSpec,
        conditioning: Conditioning,
        *,
        context: PackedContext,
        layout: IndexLayout,
        sigmas: Sequence[float],
        cache: StepCache | None = None,
    ) -> None:
        """sigmas: of all steps; a hoisted model makes its tables of them here.

        cache: the one of `Transformer.prepared` for this section.

        Raises: ArtifactMismatch if true CFG needs a negative prompt and the conditioning has none.
        """
        self._transformer, self._spec, self._cache = transformer, spec, cache
        self._fixed: dict[str, Any] = {
            "guidance": self._cast(torch.tensor([spec.guidance_scale * _SCALE])),
            "image_embeds": self._cast(conditioning.image_embeds),
            "indices_latents": self._indices(layout.noisy),
            "latents_clean": self._cast(context.clean),
            "indices_latents_clean": self._indices(layout.clean),
            "latents_history_2x": self._cast(context.history_2x),
            "indices_latents_history_2x": self._indices(layout.history_2x),
            "latents_history_4x": self._cast(context.history_4x),
            "indices_latents_history_4x": self._indices(layout.history_4x),
        }
        self._branches = [self._text(conditioning.prompt_embeds, conditioning.pooled_prompt_embeds)]
        if spec.true_cfg_scale != 1.0:
            negative, pooled = conditioning.negative_prompt_embeds, conditioning.negative_pooled_prompt_embeds
            if negative is None or pooled is None:
                raise ArtifactMismatch("true_cfg_scale needs a negative prompt, and the conditioning has none")
            self._branches.append(self._text(negative, pooled))
        self._tables = self._hoisted(sigmas)

    def _hoisted(self, sigmas: Sequence[float]) -> list[Table | None]:
        """One table for each guidance branch; None if every forward computes all."""
        hoist = self._transformer.hoist
        if hoist is None:
            return [None] * len(self._branches)
        timesteps = [self._timestep(sigma) for sigma in sigmas]
        salt = self._transformer.loras.using
        return [hoist.table({**self._fixed, **text}, timesteps=timesteps, salt=salt) for text in self._branches]

    def _timestep(self, sigma: float) -> Tensor:
        return self._cast(torch.tensor([sigma]) * _SCALE)

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self._transformer.device, self._transformer.dtype)

    def _indices(self, positions: tuple[int, ...]) -> Tensor:
        return torch.tensor(positions, device=self._transformer.device)

    def _text(self, embeds: Tensor, pooled: Tensor) -> dict[str, Tensor]:
        text, mask = padded_text(self._cast(embeds))
        return {
            "encoder_hidden_states": text,
            "encoder_attention_mask": mask,
            "pooled_projections": self._cast(pooled),
        }

    def ask(self, x: Tensor, sigma: float, *, caches: tuple[CacheState, ...], step: int) -> Answer:
        """Return the velocity of `x` (1, 16, w, h, w float32, on the model's device) at noise level `sigma`.

        caches: of the step before; empty at step 0. step: 0 … num_inference_steps - 1.
        """
        model = self._transformer.model
        inputs = {
            **self._fixed,
            "hidden_states": self._cast(x),
            "timestep": self._timestep(sigma),
            "return_dict": False,
        }
        outputs, states, forwards = [], [], 0
        unknown = [None] * len(self._branches)
        for text, table, state in zip(self._branches, self._tables, caches or unknown, strict=True):
            if table is not None and self._transformer.hoist is not None:
                self._transformer.hoist.show(table, step, self._transformer.device)

            def run(text: dict[str, Tensor] = text) -> Tensor:
                velocity: Tensor = model(**inputs, **text)[0].float()
                return velocity

            if self._cache is None:
                outputs.append(run())
                forwards += 1
                continue
            answer = self._cache.call(run, state, step=step)
            outputs.append(answer.output)
            states.append(answer.state)
            forwards += answer.computed
        return Answer(self._combined(outputs), tuple(states), forwards)

    def _combined(self, outputs: list[Tensor]) -> Tensor:
        if len(outputs) == 1:
            return outputs[0]
        return guided(*outputs, scale=self._spec.true_cfg_scale, rescale=self._spec.guidance_rescale)
