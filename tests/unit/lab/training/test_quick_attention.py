"""Attention for training on a CPU: the values and gradients of torch's, as near as bfloat16 comes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lab.training import quick_attention


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of diffusers with our attention, until the test's end."""
    from diffusers.models.transformers import transformer_hunyuan_video as module

    monkeypatch.setattr(module, "dispatch_attention_fn", module.dispatch_attention_fn)
    monkeypatch.setattr(quick_attention, "_installed", False)
    monkeypatch.setattr(quick_attention, "_keep_freed_memory", lambda: None)  # of the whole process, and for good
    quick_attention.train_with_quick_attention()
    return module


def drawn(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of two clips and three heads: (2, tokens, 3, 16)."""
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(2, tokens, 3, 16, generator=generator).requires_grad_() for _ in range(3))
    return query, key, value


def slopes(made: Tensor, inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Gradients of a weighted sum of what was made."""
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(4))
    return torch.autograd.grad((made * weights).sum(), inputs)


@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_torchs(*, masked: bool) -> None:
    """Within 2 % of their size; what a mask hides has no gradient at all."""
    inputs = drawn(70)
    mask = torch.ones(2, 1, 1, 70, dtype=torch.bool)
    mask[1, ..., 60:] = not masked
    ours = quick_attention.attention(*inputs, mask if masked else None)
    query, key, value = (x.transpose(1, 2) for x in inputs)
    theirs = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
    found, wanted = slopes(ours, inputs), slopes(theirs, inputs)
    for one, other in zip((ours.detach(), *found), (theirs.detach(), *wanted), strict=True):
        assert float((one - other).norm() / other.norm()) < 0.02
    hidden = sum(float(of[1, 60:].abs().sum()) for of in found[1:])
    assert (hidden == 0) is masked


def test_it_computes_where_gradients_are_taken_under_autocast(installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nowhere else: without gradients, in float32, or for few tokens diffusers' own does."""
    asked: list[int] = []
    ours = quick_attention.attention

    def counted(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        asked.append(query.shape[1])
        return ours(query, key, value, mask)

    monkeypatch.setattr(quick_attention, "attention", counted)
    many, few = drawn(300), drawn(40)
    with torch.autocast("cpu", torch.bfloat16):
        made = installed.dispatch_attention_fn(*many)
        assert made.dtype == torch.bfloat16
        installed.dispatch_attention_fn(*few)
        with torch.no_grad():
            installed.dispatch_attention_fn(*many)
    plain = installed.dispatch_attention_fn(*many)
    assert asked == [300]
    assert float((made - plain).detach().norm() / plain.detach().norm()) < 0.02
