"""A program for Triton's interpreter: runs each check on the CPU, and prints its name when it holds.

test_fused.py starts it with TRITON_INTERPRET=1, which counts only when it is set before Triton is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from triton.runtime import interpreter

from framepack_engine.kernels import blocks, eager, fused

_truncating = interpreter._convert_float


def _rounding(data: Any, source: Any, target: Any, mode: Any) -> Any:
    """The interpreter cuts float32 off where a GPU rounds to bfloat16; torch rounds as a GPU does."""
    if (source.name, target.name) == ("fp32", "bf16"):
        rounded = torch.from_numpy(np.ascontiguousarray(data)).bfloat16()
        return rounded.view(torch.int16).numpy().view(np.uint16).reshape(data.shape)
    return _truncating(data, source, target, mode)


interpreter._convert_float = _rounding
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def draw(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    """Numbers of many sizes."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * torch.randn(shape, generator=generator).exp()).to(dtype)


def same(one: Tensor, other: Tensor) -> bool:
    """Whether both have the same bits."""
    return one.dtype == other.dtype and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


def modulate() -> None:
    """Odd numbers of tokens and channels, rows of a longer tensor, rows further apart than they are long."""
    for dtype in DTYPES:
        whole = draw(1, 9, 1500, dtype=dtype, seed=1)
        scale, shift = draw(1, 3000, dtype=dtype, seed=2).chunk(2, dim=1)
        for x in (whole, whole[:, 2:7], whole[:, :, :1200]):
            width = x.shape[2]
            args = x, scale[:, :width], shift[:, :width]
            assert same(fused.modulate(*args), eager.modulate(*args)), dtype


def add_gated() -> None:
    """As `modulate`."""
    for dtype in DTYPES:
        x, branch, gate = (draw(1, n, 1500, dtype=dtype, seed=n) for n in (9, 8, 1))
        for rows in (slice(0, 8), slice(3, 6)):
            args = x[:, rows], branch[:, rows], gate[:, 0]
            assert same(fused.add_gated(*args), eager.add_gated(*args)), dtype
        args = x[:, :8, 100:300], branch[:, :, :200], gate[:, 0, :200]
        assert same(fused.add_gated(*args), eager.add_gated(*args)), dtype


def cuda_mean(x: Tensor) -> Tensor:
    """Mean of the squares of (…, 128) float32 in the order of torch 2.13's CUDA kernel. Returns: (…, 1)."""
    lanes = (x * x).unflatten(-1, (32, 4))
    sums = lanes[..., 0] + lanes[..., 1] + lanes[..., 2] + lanes[..., 3]
    for offset in (16, 8, 4, 2, 1):
        sums = sums[..., :offset] + sums[..., offset : 2 * offset]
    mean: Tensor = sums * (1 / 128)
    return mean


def streams(dtype: torch.dtype, pool: Callable[..., Tensor]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Arguments of `join_heads` in a double block and in a single one: 5 tokens of a picture, 3 of a text, 2 heads."""
    angles = torch.randn(5, 64, generator=torch.Generator().manual_seed(8)).repeat_interleave(2, dim=1)
    x, text = (pool(1, n, 2, 128, dtype=dtype, seed=n) for n in (5, 3))
    weight, other = (draw(128, dtype=dtype, seed=n) for n in (6, 7))
    turns = angles.cos(), angles.sin(), 1e-6
    return (x, weight, text, other, *turns), (torch.cat([x, text], dim=1), weight, None, None, *turns)


def join_heads() -> None:
    """Eager operations around a mean that adds in the order of torch's CUDA kernel; in float32 other orders differ."""
    for dtype in DTYPES:
        for args in streams(dtype, draw):
            torch_mean, seen = eager._normed, list[bool]()

            def normed(x: Tensor, weight: Tensor, eps: float, seen: list[bool] = seen) -> Tensor:
                variance = cuda_mean(x.float())
                seen.append(same(variance, x.float().pow(2).mean(-1, keepdim=True)))
                return (x * torch.rsqrt(variance + eps)).to(weight.dtype) * weight

            eager._normed = normed
            wanted = eager.join_heads(*args)
            eager._normed = torch_mean
            assert same(fused.join_heads(*args), wanted), dtype
            assert not all(seen), "these numbers do not tell one order from another"


def join_heads_of_exact_sums() -> None:
    """Where each sum of squares is exact, every order gives the bits of torch's eager chain, also of the CPU's."""

    def eighths(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
        return (torch.randint(-32, 33, shape, generator=torch.Generator().manual_seed(seed)) / 8).to(dtype)

    for dtype in DTYPES:
        for args in streams(dtype, eighths):
            assert same(fused.join_heads(*args), eager.join_heads(*args)), dtype


def transformer() -> None:
    """A whole model of one block of each class: the bits of diffusers' own, and no element-wise kernel is given up."""
    from tests.unit.framepack_engine.kernels.small_model import inputs, small_model

    model = small_model(torch.bfloat16)
    with torch.no_grad():
        wanted = model(**inputs(torch.bfloat16))[0]
        blocks.DEVICES = {"cpu"}
        blocks.compute_exactly(model)
        for _ in range(2):  # the first forward compares, the second trusts
            assert same(model(**inputs(torch.bfloat16))[0], wanted)
    for kernel in (blocks.modulate, blocks.add_gated, blocks.join_gelu):
        assert kernel.equal, kernel.name
        assert not kernel.given_up, kernel.name


CHECKS = (modulate, add_gated, join_heads, join_heads_of_exact_sums, transformer)

if __name__ == "__main__":
    torch.set_num_threads(1)
    for check in CHECKS:
        check()
        print(check.__name__, flush=True)  # noqa: T201 - the test reads it
