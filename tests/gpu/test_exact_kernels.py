"""Whether the fused kernels keep the bits of eager operations on this GPU; on the CPU the same bodies run eagerly."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from framepack_engine.kernels import blocks, eager
from framepack_engine.kernels.guard import Guarded
from tests.unit.framepack_engine.kernels.small_model import inputs, small_model

CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use; with one: make gpu"),
        pytest.mark.filterwarnings("default"),
    ],
)
on_both = pytest.mark.parametrize("device", ["cpu", CUDA])
NAMES = ("modulate", "add_gated", "join_gelu", "join_heads")


def arguments(name: str, device: str) -> tuple[Any, ...]:
    """Arguments of a single block's chain at FramePack's width; on a GPU a quarter of the tokens of 640x608."""
    tokens, heads = (4565, 24) if device == "cuda" else (40, 2)
    width, generator = heads * 128, torch.Generator(device).manual_seed(4)

    def draw(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.randn(shape, device=device, generator=generator).to(dtype)

    x, row = draw(1, tokens, width), draw(1, width)
    if name == "join_heads":
        angles = draw(tokens - 30, 64, dtype=torch.float32).repeat_interleave(2, dim=1)
        return x.unflatten(2, (heads, 128)), row[0, :128], None, None, angles.cos(), angles.sin(), 1e-6
    others: dict[str, tuple[Tensor, ...]] = {
        "modulate": (row, draw(1, width)),
        "add_gated": (draw(1, tokens, width), row),
        "join_gelu": (draw(1, tokens, 4 * width),),
    }
    return x, *others[name]


@on_both
@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_keeps_the_bits_of_its_chain(name: str, device: str, caplog: pytest.LogCaptureFixture) -> None:
    """Compared and trusted at the first call, equal at the second; a GPU gives none up, or the log says why."""
    kernel, args = Guarded(name), arguments(name, device)
    wanted = getattr(eager, name)(*args)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.equal(kernel(*args).view(torch.uint8), wanted.view(torch.uint8))
    if device == "cuda":
        assert [record.getMessage() for record in caplog.records] == []


@on_both
def test_a_model_keeps_the_bits_of_eager_blocks(
    device: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One block of each class, twice: once compared, once trusted."""
    monkeypatch.setattr(blocks, "DEVICES", {device})
    for name in NAMES:
        monkeypatch.setattr(blocks, name, Guarded(name))
    model = small_model(torch.bfloat16).to(device)
    given = {name: v.to(device) if isinstance(v, Tensor) else v for name, v in inputs(torch.bfloat16).items()}
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        wanted = model(**given)[0]
        blocks.compute_exactly(model)
        for _ in range(2):
            assert torch.equal(model(**given)[0], wanted)
    if device == "cuda":
        assert [record.getMessage() for record in caplog.records] == []
