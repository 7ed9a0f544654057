"""Forwards of the transformer's blocks with fused chains: the modules, products and bits of diffusers' blocks.

A block calls its own layers as modules. Hooks of streaming, hoisting and LoRAs therefore act as on a stock block.
The forwards skip concatenations of tensors that already lie together.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from framepack_engine.errors import KernelsUnavailable
from framepack_engine.kernels.guard import Guarded

DEVICES = {"cuda"}  #: kinds of devices that the kernels run on; on others the blocks stay as they are
_HEAD = 128  #: numbers of a head; torch would add another number in another order

modulate, add_gated, join_gelu, join_heads = map(Guarded, ("modulate", "add_gated", "join_gelu", "join_heads"))
Pair = tuple[Tensor, Tensor]


class ExactForward:
    """A block's forward with fused kernels; on other devices and for gradients it calls diffusers' own."""

    def __init__(self, block: nn.Module, compute: Callable[[Any, Tensor, Tensor, Tensor, Pair], Pair]) -> None:
        """compute: of the block's class."""
        self._block, self._compute = block, compute

    def __call__(self, hidden: Tensor, text: Tensor, temb: Tensor, mask: Tensor | None, rotary: Pair) -> Pair:
        """Run the block on pictures (1, n, D) and text (1, m, D), with tables (n, d) of the rotary embedding."""
        if mask is not None or torch.is_grad_enabled() or hidden.device.type not in DEVICES:
            answer: Pair = type(self._block).forward(self._block, hidden, text, temb, mask, rotary)
            return answer
        return self._compute(self._block, hidden, text, temb, rotary)


def compute_exactly(transformer: Any) -> None:
    """Let all blocks of a HunyuanVideoFramepackTransformer3DModel compute with fused kernels from now on.

    Blocks with heads of another size stay as they are. Call this before hooks are put on the blocks. A second call
    changes nothing.
    """
    forwards = [(block, _double) for block in transformer.transformer_blocks]
    forwards += [(block, _single) for block in transformer.single_transformer_blocks]
    for block, compute in forwards:
        if block.attn.norm_q.weight.shape == (_HEAD,):
            block.forward = ExactForward(block, compute)


def check_exact(device: torch.device) -> None:
    """Check that fused kernels can be compiled for `device`. Raises: KernelsUnavailable."""
    if device.type in DEVICES and find_spec("triton") is None:
        raise KernelsUnavailable(
            "FARM_KERNELS=exact needs the package triton, which is not installed here; torch for CUDA on Linux brings "
            "it. Install triton, or leave FARM_KERNELS out"
        )


def _double(block: Any, hidden: Tensor, text: Tensor, temb: Tensor, rotary: Pair) -> Pair:
    """Source: diffusers models/transformers/transformer_hunyuan_video.py, HunyuanVideoTransformerBlock.forward."""
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = _adaln(block.norm1, temb, 6)
    c_shift, c_scale, c_gate, c_mlp_shift, c_mlp_scale, c_mlp_gate = _adaln(block.norm1_context, temb, 6)
    attn, tokens = block.attn, hidden.shape[1]
    normed = modulate(block.norm1.norm(hidden), scale, shift)
    answer = _attended(attn, normed, modulate(block.norm1_context.norm(text), c_scale, c_shift), rotary)

    hidden = add_gated(hidden, attn.to_out[1](attn.to_out[0](answer[:, :tokens])), gate)
    text = add_gated(text, attn.to_add_out(answer[:, tokens:]), c_gate)
    fed = block.ff(modulate(block.norm2(hidden), mlp_scale, mlp_shift))
    c_fed = block.ff_context(modulate(block.norm2_context(text), c_mlp_scale, c_mlp_shift))
    return add_gated(hidden, fed, mlp_gate), add_gated(text, c_fed, c_mlp_gate)


def _single(block: Any, hidden: Tensor, text: Tensor, temb: Tensor, rotary: Pair) -> Pair:
    """Source: as `_double`, HunyuanVideoSingleTransformerBlock.forward."""
    tokens = hidden.shape[1]
    joint = torch.cat([hidden, text], dim=1)
    shift, scale, gate = _adaln(block.norm, temb, 3)
    normed = modulate(block.norm.norm(joint), scale, shift)
    mlp = block.proj_mlp(normed)
    answer = _attended(block.attn, normed, None, rotary)
    joint = add_gated(joint, block.proj_out(join_gelu(answer, mlp)), gate)
    return joint[:, :tokens], joint[:, tokens:]


def _adaln(norm: Any, temb: Tensor, parts: int) -> tuple[Tensor, ...]:
    chunks: tuple[Tensor, ...] = norm.linear(norm.silu(temb)).chunk(parts, dim=1)
    return chunks


def _attended(attn: Any, x: Tensor, text: Tensor | None, rotary: Pair) -> Tensor:
    """Attend over picture and text by the backend that is pinned on the processor; returns (1, n + m, D).

    text: has matrices of its own; None if the last tokens of `x` are the text's.
    Source: as `_double`, HunyuanVideoAttnProcessor2_0.
    """
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    def heads(layer: Any, stream: Tensor) -> Tensor:
        projected: Tensor = layer(stream).unflatten(2, (attn.heads, -1))
        return projected

    def turned(layer: Any, norm: Any, text_layer: Any, text_norm: Any) -> Tensor:
        if text is None:
            return join_heads(heads(layer, x), norm.weight, None, None, *rotary, norm.eps)
        return join_heads(heads(layer, x), norm.weight, heads(text_layer, text), text_norm.weight, *rotary, norm.eps)

    query = turned(attn.to_q, attn.norm_q, attn.add_q_proj, attn.norm_added_q)
    key = turned(attn.to_k, attn.norm_k, attn.add_k_proj, attn.norm_added_k)
    value = heads(attn.to_v, x)
    if text is not None:
        value = torch.cat([value, heads(attn.add_v_proj, text)], dim=1)
    answer: Tensor = dispatch_attention_fn(
        query,
        key,
        value,
        attn_mask=None,
        dropout_p=0.0,
        is_causal=False,
        backend=attn.processor._attention_backend,  # noqa: SLF001 - where `pin_attention` writes it
        parallel_config=attn.processor._parallel_config,  # noqa: SLF001
    )
    return answer.flatten(2, 3).to(query.dtype)
