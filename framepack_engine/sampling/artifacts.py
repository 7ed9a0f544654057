"""The artifacts that one stage leaves for the next, as values and as bytes. Equal values give equal bytes.

The bytes are safetensors with one metadata entry, JSON with sorted keys: safetensors writes several entries in no fixed
order. Reading copies the tensors, so that the bytes can be freed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from framepack_engine.errors import ArtifactDamaged
from framepack_engine.sampling.caches import CacheState
from framepack_engine.sampling.solver import SolverState

_ENTRY = "framepack"
_VERSION = 1


def _to_bytes(kind: str, tensors: Mapping[str, Tensor | None], **facts: object) -> bytes:
    entry = json.dumps({"kind": kind, "version": _VERSION, **facts}, sort_keys=True)
    # cloned: safetensors refuses tensors that share memory, such as a keyframe with the start image
    present = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items() if value is not None}
    return bytes(safetensors.torch.save(present, metadata={_ENTRY: entry}))


def _from_bytes(kind: str, data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an artifact's tensors and facts. Raises: ArtifactDamaged."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts: dict[str, Any] = json.loads(header["__metadata__"][_ENTRY])
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as err:
        raise ArtifactDamaged(f"{len(data)} bytes are not a {kind} artifact: {err}") from err
    if (facts.get("kind"), facts.get("version")) != (kind, _VERSION):
        raise ArtifactDamaged(f"found artifact {facts.get('kind')!r} version {facts.get('version')!r}, wanted {kind!r}")
    return tensors, facts


def _required(tensors: Mapping[str, Tensor], name: str, kind: str) -> Tensor:
    try:
        return tensors[name]
    except KeyError as err:
        raise ArtifactDamaged(f"the {kind} artifact has no {name}") from err


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`; the prefix is removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditioning:
    """The encoded prompts and images of a video.

    prompt_embeds: (1, n, D) of the real tokens, not padded. pooled_prompt_embeds: (1, P). The negative ones are None
    without true CFG. image_embeds: (1, m, E). start_latent, end_latent, keyframes: (1, 16, 1, h, w) float32, scaled;
    keyframes by section in generation order. timed: embeddings and pooled embeddings of the timed prompts, in time
    order. history: (1, 16, n, h, w) float32, n from 1 to 19, the end of the video that is continued, or None.
    """

    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor
    image_embeds: Tensor
    start_latent: Tensor
    negative_prompt_embeds: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None
    end_latent: Tensor | None = None
    keyframes: Mapping[int, Tensor] = field(default_factory=dict)
    timed: tuple[tuple[Tensor, Tensor], ...] = ()
    history: Tensor | None = None

    def to_bytes(self) -> bytes:
        """Return deterministic safetensors bytes."""
        names = ("prompt_embeds", "pooled_prompt_embeds", "image_embeds", "start_latent")
        optional = ("negative_prompt_embeds", "negative_pooled_prompt_embeds", "end_latent", "history")
        numbered = {f"keyframe_{section:06}": latent for section, latent in self.keyframes.items()}
        for number, (embeds, pooled) in enumerate(self.timed):
            numbered |= {f"timed_embeds_{number:06}": embeds, f"timed_pooled_{number:06}": pooled}
        return _to_bytes("conditioning", {name: getattr(self, name) for name in (*names, *optional)} | numbered)

    @classmethod
    def from_bytes(cls, data: bytes) -> Conditioning:
        """Undo `to_bytes`. Raises: ArtifactDamaged."""
        tensors, _ = _from_bytes("conditioning", data)
        return cls.from_tensors(tensors)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Conditioning:
        """Gather the fields by name, keyframes as `keyframe_<section>`. Raises: ArtifactDamaged if one is missing."""
        names = ("prompt_embeds", "pooled_prompt_embeds", "image_embeds", "start_latent")
        prompt, pooled, image, start = (_required(tensors, name, "conditioning") for name in names)
        timed = sorted(name for name in tensors if name.startswith("timed_embeds_"))
        return cls(
            prompt_embeds=prompt,
            pooled_prompt_embeds=pooled,
            image_embeds=image,
            start_latent=start,
            negative_prompt_embeds=tensors.get("negative_prompt_embeds"),
            negative_pooled_prompt_embeds=tensors.get("negative_pooled_prompt_embeds"),
            end_latent=tensors.get("end_latent"),
            keyframes={
                int(name.removeprefix("keyframe_")): value
                for name, value in tensors.items()
                if name.startswith("keyframe_")
            },
            timed=tuple(
                (tensors[name], _required(tensors, name.replace("embeds", "pooled"), "conditioning")) for name in timed
            ),
            history=tensors.get("history"),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SectionState:
    """A finished section, with everything that the next one needs.

    latents: (1, 16, window, h, w) float32, the new ones. history: (1, 16, 19, h, w) float32, the NEXT section's context
    in time order. rng_state: uint8, the CPU generator after this section's noise. forwards: for each step, how often
    the transformer's blocks ran.
    """

    index: int
    latents: Tensor
    history: Tensor
    rng_state: Tensor
    forwards: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """Return deterministic safetensors bytes."""
        tensors = {"latents": self.latents, "history": self.history, "rng_state": self.rng_state}
        return _to_bytes("section", tensors, index=self.index, forwards=self.forwards)

    @classmethod
    def from_bytes(cls, data: bytes) -> SectionState:
        """Undo `to_bytes`. Raises: ArtifactDamaged."""
        tensors, facts = _from_bytes("section", data)
        return cls(
            index=int(facts["index"]),
            **{name: _required(tensors, name, "section") for name in ("latents", "history", "rng_state")},
            forwards=tuple(facts["forwards"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepState:
    """A section after a finished step. Its tensors stay on the device of the solver until `to_bytes`.

    forwards: of the finished steps. caches: one state for each guidance branch; empty without a cache.
    """

    index: int
    solver: SolverState
    caches: tuple[CacheState, ...]
    rng_state: Tensor
    forwards: tuple[int, ...]

    @property
    def step(self) -> int:
        """The number of finished steps."""
        return self.solver.step

    @property
    def estimate(self) -> Tensor:
        """The newest estimate of the clean latents, (1, 16, window, h, w) float32: what a preview shows."""
        return self.solver.outputs[-1]

    def to_bytes(self) -> bytes:
        """Return deterministic safetensors bytes."""
        tensors: dict[str, Tensor | None] = {"x": self.solver.x, "rng_state": self.rng_state}
        tensors |= {f"output_{i}": output for i, output in enumerate(self.solver.outputs)}
        for i, cache in enumerate(self.caches):
            tensors |= {f"cache_{i}_{name}": tensor for name, tensor in cache.tensors.items()}
        caches = [{"cache": cache.cache, "facts": cache.facts} for cache in self.caches]
        return _to_bytes("step", tensors, index=self.index, step=self.step, forwards=self.forwards, caches=caches)

    @classmethod
    def from_bytes(cls, data: bytes) -> StepState:
        """Undo `to_bytes`; tensors are on the CPU. Raises: ArtifactDamaged."""
        tensors, facts = _from_bytes("step", data)
        count = sum(name.startswith("output_") for name in tensors)
        outputs = tuple(_required(tensors, f"output_{i}", "step") for i in range(count))
        return cls(
            index=int(facts["index"]),
            solver=SolverState(int(facts["step"]), _required(tensors, "x", "step"), outputs),
            caches=tuple(
                CacheState(entry["cache"], entry["facts"], _under(f"cache_{i}_", tensors))
                for i, entry in enumerate(facts["caches"])
            ),
            rng_state=_required(tensors, "rng_state", "step"),
            forwards=tuple(facts["forwards"]),
        )

    def to(self, device: torch.device) -> StepState:
        """Return the same state with its solver and caches on `device`; the generator's state stays on the CPU."""
        solver = SolverState(self.step, self.solver.x.to(device), tuple(o.to(device) for o in self.solver.outputs))
        caches = tuple(cache.to(device) for cache in self.caches)
        return StepState(
            index=self.index, solver=solver, caches=caches, rng_state=self.rng_state, forwards=self.forwards
        )
