"""A worker's weights lie in memory once: mapped from their files, and copied only where a plan says so."""

from __future__ import annotations

import ctypes
import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from framepack_engine.memory.budget import Budget
from framepack_engine.memory.ladder import Workload, ladder
from framepack_engine.memory.placement import Placement
from framepack_engine.models.shelf import Models
from framepack_engine.models.weights import load_part, weights_of
from lab.bench.random_model import RandomParts

MIB = 1 << 20


def anonymous_bytes() -> int:
    """Return how much of this process's memory no file can give back, without what its allocator keeps free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Anonymous:"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of about 75 MB in bfloat16, in the official layout."""
    from diffusers import HunyuanVideoFramepackTransformer3DModel

    folder = tmp_path_factory.mktemp("repo")
    with torch.device("meta"):
        model = HunyuanVideoFramepackTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=128,
            num_layers=1,
            num_single_layers=4,
            num_refiner_layers=1,
            text_embed_dim=64,
            has_image_proj=True,
            image_proj_dim=64,
            has_clean_x_embedder=True,
        )
    model.to_empty(device="cpu").to(torch.bfloat16).save_pretrained(folder)
    return folder


def test_no_second_copy_of_the_weights(folder: Path, tiny_models: Models) -> None:
    """As a GPU's worker loads them: nothing is copied but what is streamed from memory, and not even that if mapped.

    Weights that were copied once are not copied a second time when the same modules are placed again.
    """
    before = anonymous_bytes()
    transformer = load_part("transformer", folder, device="cuda", dtype=None, home="cpu")
    weights = sum(tensor.nbytes for tensor in weights_of([transformer]))
    assert weights > 60 * MIB
    assert anonymous_bytes() - before < weights / 5
    parts = RandomParts(transformer, tiny_models.vae)
    plan = ladder(parts.size(), Workload(height=64, width=64))[-1]
    assert plan.streamed_bytes > weights / 3
    for mapped, wanted in ((True, 0), (False, plan.streamed_bytes), (False, 0)):
        before = anonymous_bytes()
        both = {"transformer": parts.transformer, "vae": parts.vae}
        placement = Placement(both, replace(plan, mapped=mapped), budget=Budget(torch.device("cpu")))
        assert anonymous_bytes() - before < wanted + weights / 5
        placement.close()
        del placement  # as a tenancy does before it places again
        gc.collect()
