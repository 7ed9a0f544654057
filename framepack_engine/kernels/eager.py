"""The chains between a block's matrix products as diffusers computes them, operation by operation.

Each function has a twin of the same name and arguments in `fused`. `guard` compares the twin
with them. B is 1; n counts the picture's tokens, m the text's; D = heads x d is the model's width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gelu


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Scale and shift a normalised x (B, n, D) by (B, D) each.

    Source: diffusers models/normalization.py, AdaLayerNormZero.forward.
    """
    return x * (1 + scale[:, None]) + shift[:, None]


def add_gated(x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
    """Add a branch (B, n, D) to x (B, n, D), each channel weighted by gate (B, D).

    Source: diffusers models/transformers/transformer_hunyuan_video.py, "Modulation and residual connection".
    """
    return x + branch * gate.unsqueeze(1)


def join_gelu(attention: Tensor, mlp: Tensor) -> Tensor:
    """Put attention (B, n, D) and the GELU of mlp (B, n, M) beside each other: (B, n, D + M).

    Source: as `add_gated`, HunyuanVideoSingleTransformerBlock.forward.
    """
    return torch.cat([attention, gelu(mlp, approximate="tanh")], dim=2)


def join_heads(  # noqa: PLR0917 - `fused` has the same, and Guarded passes them by position
    x: Tensor, weight: Tensor, text: Tensor | None, text_weight: Tensor | None, cos: Tensor, sin: Tensor, eps: float
) -> Tensor:
    """Normalise queries or keys head by head, turn those of the picture, and put the text's behind them.

    x: (B, n, heads, d); if text is None, its last tokens are the text's. text: (B, m, heads, d) or None.
    weight, text_weight: (d,) of the RMS norms. cos, sin: (pictures' tokens, d) float32.
    Returns: (B, n + m, heads, d).
    Source: diffusers models/normalization.py, RMSNorm; models/embeddings.py, apply_rotary_emb.
    """
    x = _normed(x, weight, eps)
    x, words = x[:, : len(cos)], x[:, len(cos) :]
    if text is not None and text_weight is not None:
        words = _normed(text, text_weight, eps)
    return torch.cat([_turned(x, cos, sin), words], dim=1)


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    variance = x.to(torch.float32).pow(2).mean(-1, keepdim=True)
    return (x * torch.rsqrt(variance + eps)).to(weight.dtype) * weight


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    real, imaginary = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    crossed = torch.stack([-imaginary, real], dim=-1).flatten(3)
    return (x.float() * cos[None, :, None] + crossed.float() * sin[None, :, None]).to(x.dtype)
