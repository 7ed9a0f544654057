"""Compiled blocks: torch.compile of the transformer's two block classes, once for all blocks and all sizes.

The work between a block's products (modulation, norms, rotary embedding, gates, GELU) becomes a few kernels. Counted at
640x608, an eager forward moves 824 GB for it, a compiled one 161 GB. Compiled and eager blocks differ in bits, so
"compiled" is part of the numeric class. diffusers' `compile_repeated_blocks` refuses this model: its `_repeated_blocks`
is empty.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from framepack_engine.errors import KernelsUnavailable
from framepack_engine.models.weights import blocks_of

#: Inductor chooses kernels by rule: a race between them could have another winner, with other bits, on another day.
_OPTIONS: dict[str, Any] = {"deterministic": True}
_MARK = "_framepack_compiled"


class CompiledForward:
    """A block's forward: compiled, or eager while `plain`."""

    def __init__(self, block: nn.Module, compiled: Callable[..., Any]) -> None:
        """compiled: of the block's class."""
        self._block, self._compiled = block, compiled
        self.plain = False
        self._arrivals: OrderedDict[int, Callable[[], None]] = OrderedDict()

    def on_arrival(self, arrive: Callable[[], None]) -> RemovableHandle:
        """Call `arrive` before the block computes. Hooks on its layers would split the graph."""
        handle = RemovableHandle(self._arrivals)
        self._arrivals[handle.id] = arrive
        return handle

    def __call__(self, hidden: Tensor, text: Tensor, temb: Tensor, mask: None, rotary: tuple[Tensor, Tensor]) -> Any:
        """Run the block on (1, n, D) and (1, m, D), with tables of (n, d)."""
        for arrive in self._arrivals.values():
            arrive()
        if self.plain:
            return type(self._block).forward(self._block, hidden, text, temb, mask, rotary)
        # Both may be views of a longer tensor. With their own strides and offset, and without being views, they look
        # alike for every block, so one graph serves all. Copying the text is cheap.
        hidden, text = hidden[0][None].data, text.clone(memory_format=torch.contiguous_format)
        for tensor, tokens in ((hidden, 1), (text, 1), *((table, 0) for table in rotary)):
            torch._dynamo.mark_dynamic(tensor, tokens)  # noqa: SLF001 - its documented name
        return self._compiled(self._block, hidden, text, temb, mask, rotary)


def compile_blocks(transformer: Any, *, backend: str = "inductor") -> None:
    """Let all blocks of a HunyuanVideoFramepackTransformer3DModel compute compiled from now on.

    The first forward compiles each class of blocks for any number of tokens, so another size, prompt or block compiles
    nothing. Call it after `apply_precision` and before hooks are put on the blocks. A second call does nothing.
    """
    if is_compiled(transformer):
        return
    options = _OPTIONS if backend == "inductor" else None
    compiled = dict[type, Callable[..., Any]]()
    for block in blocks_of(transformer):
        kind = type(block)
        if kind not in compiled:
            compiled[kind] = torch.compile(kind.forward, fullgraph=True, backend=backend, options=options)
        forward = CompiledForward(block, compiled[kind])
        block.forward = forward
        block.__dict__[_MARK] = forward  # hooks take the place of `forward`


def check_compile(device: torch.device, *, counted: bool) -> None:
    """Check that compiled blocks can compute on `device`. Raises: KernelsUnavailable.

    counted: whether plans limit its memory by counting tensors.
    """
    if counted and device.type == "cpu":
        raise KernelsUnavailable(
            "compiled blocks cannot compute on a CPU with FARM_DEVICE_GB: each tensor is counted there, and "
            "torch.compile does not work under such a count. Unset FARM_KERNELS or FARM_DEVICE_GB"
        )


def compute_plainly(transformer: Any, *, plain: bool) -> None:
    """Let compiled blocks compute eagerly (`plain`), or compiled again."""
    for block in blocks_of(transformer):
        if forward := forward_of(block):
            forward.plain = plain


def is_compiled(transformer: Any) -> bool:
    """Tell whether `compile_blocks` was called on a transformer."""
    return forward_of(transformer.transformer_blocks[0]) is not None


def forward_of(block: nn.Module) -> CompiledForward | None:
    """Return a block's compiled forward, without hooks around it; None if the block is not compiled."""
    return block.__dict__.get(_MARK)
