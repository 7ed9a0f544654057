"""Which attention this process's device gets where nobody names one: the best by rule, if it passes a trial."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from framepack_engine.memory.ladder import Workload, size_of
from framepack_engine.planning.attention_choice import AttentionFacts, best_attention, has_flash_3
from framepack_engine.sampling.attention import backend_of

log = logging.getLogger(__name__)
_QUERIES = 64  #: of a stretch that is compared; three of them are
#: RMS of the difference over RMS; torch's own on a CPU is 0.0022 away in bfloat16, a kernel that leaves the last 85 of
#: 18,261 keys out 0.07 by arithmetic
_BOUND = 0.02


def device_attention(device: torch.device, dtype: torch.dtype) -> str:
    """The attention of requests that leave it open, on `device`: the best one that passes its trial, else torch's own.

    Raises: torch.AcceleratorError where the trial made the device unusable for this process.
    """
    size, tokens = size_of("framepack-i2v"), Workload().tokens(size_of("framepack-i2v"))
    cuda = device.type == "cuda"
    facts = AttentionFacts(
        capability=torch.cuda.get_device_capability(device) if cuda else None,
        cudnn=(torch.backends.cudnn.version() or 0) if cuda else 0,
        flash_3=has_flash_3(),
        head_dim=size.dim // size.heads,
        half=dtype in {torch.bfloat16, torch.float16},
    )
    while (name := best_attention(facts)) != "sdpa":
        try:
            fault = trial_fault(
                name, device=device, dtype=dtype, heads=size.heads, head_dim=facts.head_dim, tokens=tokens
            )
        except torch.AcceleratorError:
            log.exception("attention_broke_device: %s; FARM_ATTENTION=sdpa avoids it", name, extra={"attention": name})
            raise
        if not fault:
            log.info(
                "attention_chosen", extra={"attention": name, "capability": facts.capability, "cudnn": facts.cudnn}
            )
            break
        log.warning("attention_refused: %s: %s", name, fault, extra={"attention": name})
        facts = replace(facts, flash_3=False) if name == "flash-3" else replace(facts, cudnn=0)
    return name


@torch.no_grad()
def trial_fault(name: str, *, device: torch.device, dtype: torch.dtype, heads: int, head_dim: int, tokens: int) -> str:
    """Why attention `name` must not compute here; empty where it may. Takes about 2 GiB at a section's real size.

    The first, middle and last queries must be those of a softmax in float32: a kernel that is wrong is so at the end of
    a length that it does not like. A second call must give equal bits.
    Raises: torch.AcceleratorError.
    """
    generator = torch.Generator(device).manual_seed(1)
    shape = (1, tokens, heads, head_dim)
    try:
        query, key, value = (torch.randn(shape, generator=generator, device=device).to(dtype) for _ in range(3))
        made = _attend(name, query, key, value)
        for begin in sorted({0, max(0, tokens // 2 - _QUERIES), max(0, tokens - _QUERIES)}):
            part = slice(begin, begin + _QUERIES)
            wanted = _softmax(query[:, part], key, value)
            off = float((made[:, part].float() - wanted).norm() / wanted.norm())
            if not off <= _BOUND:  # nor where it is no number
                return f"queries {begin} to {begin + _QUERIES} are {off:.3g} from a softmax in float32"
        if not torch.equal(made, _attend(name, query, key, value)):
            return "two calls gave different bits"
    except torch.AcceleratorError:
        raise
    except Exception as err:  # noqa: BLE001 - whatever others' kernels raise, torch's own are there
        return f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
    return ""


def _attend(name: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """As the transformer's blocks ask for it: (1, tokens, heads, head_dim) each."""
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    attend: Any = dispatch_attention_fn
    made: Tensor = attend(query, key, value, dropout_p=0.0, is_causal=False, backend=backend_of(name))
    return made


def _softmax(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The definition, in float32, for a few queries."""
    query, key, value = (tensor.float().transpose(1, 2) for tensor in (query, key, value))
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    wanted: Tensor = (scores.softmax(dim=-1) @ value).transpose(1, 2)
    return wanted
