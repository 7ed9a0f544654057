"""The chains of `eager` as one Triton kernel each, with the same bits. Importing this module imports Triton.

Every eager operation rounds its answer to the tensors' precision, and the kernels round at the same places. No product
is contracted with the sum behind it (`enable_fp_fusion=False`). Means are added in the order of torch's own kernel. No
GPU has run these kernels: docs/decisions/0108.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _COLUMNS, _HEADS = 4, 1024, 8  #: the share of one program: a tile of tokens, or so many heads
EXACT: dict[str, Any] = {"enable_fp_fusion": False, "num_warps": 4}


@triton.jit
def modulate_kernel(x, scale, shift, out, rows, width, x_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Write round(round(x * round(1 + scale)) + shift) to `out`, which is contiguous."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (row < rows) & (column < width)
    kind = out.dtype.element_ty
    one_more = (tl.load(scale + column, mask=column < width).to(tl.float32) + 1.0).to(kind).to(tl.float32)
    added = tl.load(shift + column, mask=column < width).to(tl.float32)
    scaled = (tl.load(x + row * x_stride + column, mask=inside).to(tl.float32) * one_more).to(kind).to(tl.float32)
    tl.store(out + row * width + column, (scaled + added).to(kind), mask=inside)


@triton.jit
def add_gated_kernel(
    x, branch, gate, out, rows, width, x_stride, branch_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Write round(x + round(branch * gate)) to `out`, which is contiguous."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (row < rows) & (column < width)
    kind = out.dtype.element_ty
    weight = tl.load(gate + column, mask=column < width).to(tl.float32)
    weighted = (tl.load(branch + row * branch_stride + column, mask=inside).to(tl.float32) * weight).to(kind)
    total = tl.load(x + row * x_stride + column, mask=inside).to(tl.float32) + weighted.to(tl.float32)
    tl.store(out + row * width + column, total.to(kind), mask=inside)


@triton.jit
def fold(sums, ROWS: tl.constexpr, HALF: tl.constexpr):
    """Add the second half of each row's numbers to the first half: a sum of two has only one order."""
    return tl.sum(tl.reshape(sums, (ROWS, 2, HALF)), axis=1)


@triton.jit
def mean_of_squares(x, ROWS: tl.constexpr):
    """(ROWS, 128) -> (ROWS, 1), summed as torch's CUDA kernel sums.

    A warp has a row. Each lane adds its four neighbours in turn; then lane i adds lane i + 16, + 8, + 4, + 2, + 1.
    Source: torch 2.13 ATen/native/cuda/Reduce.cuh, input_vectorized_thread_reduce_impl and block_x_reduce.
    """
    even, odd = tl.split(tl.reshape(x * x, (ROWS, 32, 2, 2)))
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    sums = ((first + second) + third) + fourth
    sums = fold(fold(fold(fold(fold(sums, ROWS, 16), ROWS, 8), ROWS, 4), ROWS, 2), ROWS, 1)
    return sums * (1.0 / 128)


@triton.jit
def join_heads_kernel(x, weight, cos, sin, out, first, rows, heads, turned, x_stride, eps, ROWS: tl.constexpr):
    """Write the heads of one stream into the joint tensor `out`, which is contiguous, from token `first` on.

    rows: tokens x heads of the stream; a token's heads lie behind each other in `x`. turned: tokens of `out` that are
    the picture's.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.broadcast_to(tl.arange(0, 128)[None, :], (ROWS, 128))
    inside = row < rows
    token, head = (row // heads).to(tl.int64), row % heads
    kind = out.dtype.element_ty
    wide = tl.load(x + token * x_stride + head * 128 + column, mask=inside, other=0.0).to(tl.float32)
    normed = (wide * tl.rsqrt(mean_of_squares(wide, ROWS) + eps)).to(kind).to(tl.float32)
    normed = (normed * tl.load(weight + column).to(tl.float32)).to(kind).to(tl.float32)
    turns = inside & (first + token < turned)
    real, imaginary = tl.split(tl.reshape(normed, (ROWS, 64, 2)))
    crossed = tl.reshape(tl.join(-imaginary, real), (ROWS, 128))
    angle = (first + token) * 128 + column
    straight = normed * tl.load(cos + angle, mask=turns, other=1.0)
    across = crossed * tl.load(sin + angle, mask=turns, other=0.0)
    tl.store(
        out + ((first + token) * heads + head) * 128 + column,
        tl.where(turns, straight + across, normed).to(kind),
        mask=inside,
    )


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Compute `eager.modulate` in one kernel."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    rows, width = _rows(x)
    modulate_kernel[_tiles(rows, width)](
        x, scale, shift, out, rows, width, x.stride(1), ROWS=_ROWS, COLUMNS=_COLUMNS, **EXACT
    )
    return out


def add_gated(x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
    """Compute `eager.add_gated` in one kernel."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    rows, width = _rows(x)
    add_gated_kernel[_tiles(rows, width)](
        x, branch, gate, out, rows, width, x.stride(1), branch.stride(1), ROWS=_ROWS, COLUMNS=_COLUMNS, **EXACT
    )
    return out


def join_gelu(attention: Tensor, mlp: Tensor) -> Tensor:
    """Compute `eager.join_gelu`: torch's own GELU writes beside the attention, which saves the concatenation."""
    batch, tokens, width = attention.shape
    out = attention.new_empty(batch, tokens, width + mlp.shape[2])
    torch.ops.aten.gelu.out(mlp, approximate="tanh", out=out[..., width:])
    out[..., :width].copy_(attention)
    return out


def join_heads(
    x: Tensor, weight: Tensor, text: Tensor | None, text_weight: Tensor | None, cos: Tensor, sin: Tensor, eps: float
) -> Tensor:
    """Compute `eager.join_heads` in one kernel."""
    batch, tokens, heads, dim = x.shape
    out = x.new_empty(batch, tokens + (0 if text is None else text.shape[1]), heads, dim)
    for stream, norm, first in ((x, weight, 0), (text, text_weight, tokens)):
        if stream is not None:
            rows, turned = stream.shape[1] * heads, len(cos)
            join_heads_kernel[(triton.cdiv(rows, _HEADS),)](
                stream, norm, cos, sin, out, first, rows, heads, turned, stream.stride(1), eps, ROWS=_HEADS, **EXACT
            )
    return out


def _rows(x: Tensor) -> tuple[int, int]:
    return x.shape[1], x.shape[2]


def _tiles(rows: int, width: int) -> tuple[int, int]:
    return triton.cdiv(rows, _ROWS), triton.cdiv(width, _COLUMNS)
