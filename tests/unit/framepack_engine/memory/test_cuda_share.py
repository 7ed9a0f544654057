"""The share of a GPU that a process may take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from framepack_engine.memory.cuda_share import CONTEXT_BYTES, limit_cuda

TOTAL = CONTEXT_BYTES * 16


@pytest.mark.parametrize(
    ("device", "most", "wanted"),
    [
        ("cuda", TOTAL // 2, (7 / 16, 2)),
        ("cuda:1", TOTAL // 4, (3 / 16, 1)),
        ("cuda", TOTAL, (1.0, 2)),
        ("cuda", 2 * TOTAL, (1.0, 2)),
        ("cuda", 1, (0.0, 2)),
    ],
)
def test_the_context_is_part_of_a_share(
    device: str, most: int, wanted: tuple[float, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's allocator gets what the CUDA context leaves of it; a share of the whole device is no limit."""
    seen = list[tuple[float, int]]()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=TOTAL))
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, number: seen.append((share, number))
    )
    limit_cuda(torch.device(device), most)
    assert seen == [wanted]
