"""Attention for training on a CPU with matrix units: half the time of torch's, forward and backward together.

torch's fused attention saves memory; its backward pass does not use the units (docs/decisions/0086). Here scores are
whole matrices of bfloat16: for the pocket model's 760 tokens they fit.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import torch
from torch import Tensor

_LEAST = 256  #: tokens; below it, nothing is gained
_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2  #: of glibc's mallopt
_installed = False


@torch.library.custom_op("framefarm::attend", mutates_args=())
def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(query @ key^T / sqrt(D) + bias) @ value, and the softmax. (n, L, D) each; bias: (n, 1, L)."""
    scores = torch.baddbmm(bias, query, key.mT, alpha=query.shape[-1] ** -0.5)
    shares = torch.softmax(scores, -1)
    return torch.bmm(shares, value), shares


@torch.library.custom_op("framefarm::attend_backward", mutates_args=())
def attend_backward(
    slope: Tensor, query: Tensor, key: Tensor, value: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, from that of the result."""
    scale = query.shape[-1] ** -0.5
    of_scores = torch._softmax_backward_data(torch.bmm(slope, value.mT), shares, -1, shares.dtype)  # noqa: SLF001
    return (
        torch.bmm(of_scores, key).mul_(scale),
        torch.bmm(of_scores.mT, query).mul_(scale),
        torch.bmm(shares.mT, slope),
    )


@attend.register_fake
def _attend_shapes(query: Tensor, key: Tensor, _value: Tensor, _bias: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(query), query.new_empty(query.shape[0], query.shape[1], key.shape[1])


@attend_backward.register_fake
def _backward_shapes(
    _slope: Tensor, query: Tensor, key: Tensor, value: Tensor, _shares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _saved(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3], output[1])


def _slopes(ctx: Any, slope: Tensor, _of_shares: Tensor) -> tuple[Tensor | None, ...]:
    return (*attend_backward(slope.contiguous(), *ctx.saved_tensors), None)


attend.register_autograd(_slopes, setup_context=_saved)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Compute attention of (B, L, heads, D) in bfloat16. mask: (B, 1, 1, L), True for tokens that count."""
    batch, length, heads, dim = query.shape
    bias = torch.zeros(batch, 1, 1, length, dtype=torch.bfloat16, device=query.device)
    if mask is not None:
        bias = bias.masked_fill(~mask, float("-inf"))
    flat = [x.to(torch.bfloat16).transpose(1, 2).reshape(batch * heads, length, dim) for x in (query, key, value)]
    made, _ = attend(*flat, bias.expand(batch, heads, 1, length).reshape(batch * heads, 1, length))
    whole: Tensor = made.view(batch, heads, length, dim).transpose(1, 2)
    return whole


def train_with_quick_attention() -> None:
    """Use this attention in HunyuanVideo's blocks from now on, for training in bfloat16 on the CPU.

    diffusers takes no attention of its user's (its backends are an enumeration), so this replaces the function that
    its module calls. All other calls go to the original.
    """
    global _installed  # noqa: PLW0603
    from diffusers.models.transformers import transformer_hunyuan_video as module

    if _installed:
        return
    _installed = True
    theirs = module.dispatch_attention_fn

    def dispatch(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **others: Any) -> Tensor:
        ours = (
            torch.is_grad_enabled()
            and torch.is_autocast_enabled("cpu")
            and query.device.type == "cpu"
            and query.shape[1] >= _LEAST
            and (attn_mask is None or attn_mask.shape[1:3] == (1, 1))
        )
        if ours:
            return attention(query, key, value, attn_mask)
        made: Tensor = theirs(query, key, value, attn_mask=attn_mask, **others)
        return made

    module.dispatch_attention_fn = dispatch
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory: new pages for each step's scores would cost more than computing them."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        for setting, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 256 * 2**20)):
            mallopt(setting, value)
