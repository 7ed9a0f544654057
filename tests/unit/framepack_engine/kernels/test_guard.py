"""A fused kernel computes only where its bits are those of the eager operations."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from framepack_engine import kernels
from framepack_engine.kernels import eager
from framepack_engine.kernels.guard import Guarded

_DRAWN = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(3))
X, SCALE, SHIFT = _DRAWN[:, :4].clone(), _DRAWN[:, 4].clone(), _DRAWN[:, 5].clone()
Chain = Callable[[Tensor, Tensor, Tensor], Tensor]


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for the module of Triton kernels: `modulate` is what a test puts there; `calls` counts."""
    module = SimpleNamespace(modulate=eager.modulate, calls=0)

    def modulate(*args: Tensor) -> Tensor:
        module.calls += 1
        chain: Chain = module.modulate
        return chain(*args)

    monkeypatch.setattr(kernels, "fused", SimpleNamespace(modulate=modulate), raising=False)
    return module


@pytest.fixture
def eager_calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes that the eager chain was computed for."""
    calls, chain = list[torch.Size](), eager.modulate

    def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        calls.append(x.shape)
        return chain(x, scale, shift)

    monkeypatch.setattr(eager, "modulate", modulate)
    return calls


def test_equal_bits_are_trusted_after_one_look(fused: SimpleNamespace, eager_calls: list[torch.Size]) -> None:
    """Each new shape, dtype or stride is compared once; afterwards the fused kernel computes alone."""
    fused.modulate, chain = eager.modulate, Guarded("modulate")
    spread = torch.empty(1, 4, 12)[:, :, ::2].copy_(X)
    seen = (X, SCALE, SHIFT), (X[:, :2], SCALE, SHIFT), (X.half(), SCALE.half(), SHIFT.half()), (spread, SCALE, SHIFT)
    for args in seen:
        eager_calls.clear()
        wanted = X[:, : args[0].shape[1]] * (1 + SCALE[:, None]) + SHIFT[:, None]
        for _ in range(3):
            torch.testing.assert_close(chain(*args).float(), wanted, rtol=1e-2, atol=1e-2)
        assert len(eager_calls) == 1 + 3  # the comparison, and three times as the stand-in for the fused kernel


@pytest.mark.parametrize("change", ["bit", "zero", "dtype", "shape", "error"])
def test_the_first_difference_ends_its_use(
    change: str, fused: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    """After a wrong bit, sign of a zero, dtype or shape, or an error, the eager chain computes; one line says so."""

    def wrong(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        made = eager.modulate(x, scale, shift)
        if change == "bit":
            made.view(torch.int32)[0, 0, 0] ^= 1
        elif change == "zero":
            made = -made
        elif change == "error":
            raise RuntimeError("no such instruction\nand more")
        return made.double() if change == "dtype" else made[:, :2] if change == "shape" else made

    fused.modulate, chain = wrong, Guarded("modulate")
    x, shift = (torch.zeros_like(X), torch.zeros_like(SHIFT)) if change == "zero" else (X, SHIFT)
    with caplog.at_level(logging.WARNING):
        for rows in (4, 4, 3):
            made = chain(x[:, :rows], SCALE, shift)
            assert torch.equal(made.view(torch.uint8), eager.modulate(x[:, :rows], SCALE, shift).view(torch.uint8))
    assert fused.calls == 1
    [record] = caplog.records
    assert record.getMessage().startswith("kernel_given_up: ")
    assert ("RuntimeError: no such instruction;" in record.getMessage()) == (change == "error")
    assert (record.__dict__["kernel"], record.__dict__["device"]) == ("modulate", "cpu")


def test_too_little_memory_to_compare_says_nothing_about_the_kernel(fused: SimpleNamespace) -> None:
    """Those shapes stay eager; the kernel is used for others."""

    def full(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        if x.shape[1] == 4:
            raise torch.OutOfMemoryError("no room for both")
        return eager.modulate(x, scale, shift)

    fused.modulate, chain = full, Guarded("modulate")
    for rows in (4, 4, 3, 3):
        made = chain(X[:, :rows], SCALE, SHIFT)
        assert torch.equal(made, eager.modulate(X[:, :rows], SCALE, SHIFT))
    assert fused.calls == 3  # once for what does not fit, twice for what does
