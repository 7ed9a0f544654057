"""Choose the attention of requests that name none: the best one by rule, if it passes a trial on the device."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import Tensor

from framepack_engine.memory.ladder import Workload, size_of
from framepack_engine.planning.attention_choice import AttentionFacts, best_attention, has_flash_3
from framepack_engine.sampling.attention import attend

log = logging.getLogger(__name__)
_QUERIES = 64  #: in each of the three stretches that are compared
#: RMS of the difference over RMS. In bfloat16 torch's own attention on a CPU is 0.0022 away; a kernel that leaves out
#: the last 85 of 18,261 keys is 0.07 away, by arithmetic.
BOUND = 0.02


def device_attention(device: torch.device, dtype: torch.dtype) -> str:
    """Return the attention of requests that leave it open: the best that passes its trial, else torch's own.

    Raises: torch.AcceleratorError if the trial made the device unusable for this process; torch.OutOfMemoryError, which
        says nothing about an attention.
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
        except torch.OutOfMemoryError:
            log.warning("attention_untried: %s lacks memory", name, extra={"attention": name})
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
def trial_fault(
    name: str,
    *,
    device: torch.device,
    dtype: torch.dtype,
    heads: int,
    head_dim: int,
    tokens: int,
    bound: float = BOUND,
) -> str:
    """Say why attention `name` must not be used on this device; empty if it may be. Takes about 2 GiB at full size.

    The first, middle and last queries must agree with a softmax in float32: a wrong kernel is wrong at the end of a
    length that it does not support. A second call must give equal bits.
    Raises: torch.AcceleratorError, torch.OutOfMemoryError.
    """
    generator = torch.Generator(device).manual_seed(1)
    shape = (1, tokens, heads, head_dim)
    try:
        query, key, value = (torch.randn(shape, generator=generator, device=device).to(dtype) for _ in range(3))
        made = attend(name, query, key, value)
        for begin in sorted({0, max(0, tokens // 2 - _QUERIES), max(0, tokens - _QUERIES)}):
            part = slice(begin, begin + _QUERIES)
            wanted = _softmax(query[:, part], key, value)
            off = float((made[:, part].float() - wanted).norm() / wanted.norm())
            if not off <= bound:  # also if it is NaN
                return f"queries {begin} to {begin + _QUERIES} are {off:.3g} from a softmax in float32"
        if not torch.equal(made, attend(name, query, key, value)):
            return "two calls gave different bits"
    except (torch.AcceleratorError, torch.OutOfMemoryError):
        raise
    except Exception as err:  # noqa: BLE001 - other packages' kernels raise anything; torch's own still work
        return f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
    return ""


def _softmax(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute attention by its definition, in float32, for a few queries."""
    query, key, value = (tensor.float().transpose(1, 2) for tensor in (query, key, value))
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    wanted: Tensor = (scores.softmax(dim=-1) @ value).transpose(1, 2)
    return wanted
