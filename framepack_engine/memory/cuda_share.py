"""The share of a GPU's memory that this process may take. torch's allocator enforces it, on the bytes that it reserves.

Compare it with `torch.cuda.max_memory_reserved`, not with what tensors take.
"""

from __future__ import annotations

import torch

#: of a GPU, that CUDA's context and libraries take beside torch's allocator. An assumption: no GPU has shown it
CONTEXT_BYTES = 512 << 20


def limit_cuda(device: torch.device, most_bytes: int) -> None:
    """Let this process take at most `most_bytes` of a GPU, its CUDA context included; all bytes lift the limit."""
    number = torch.cuda.current_device() if device.index is None else device.index  # torch refuses "cuda" alone
    total = torch.cuda.get_device_properties(number).total_memory
    ours = most_bytes - CONTEXT_BYTES if most_bytes < total else total
    torch.cuda.set_per_process_memory_fraction(max(ours, 0) / total, number)
