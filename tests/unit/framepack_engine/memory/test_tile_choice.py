"""The size of a video's decode tiles: by what the memory plan leaves a decode, on every card."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine import Models, Renderer, RenderSpec
from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.ladder import GIB, Workload, size_of
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.planning.choices import PRECISIONS
from framepack_engine.planning.tiles import TILE_SIZES_PX, tile_bytes

OPEN = Workload(decode="tiled")


def book_of(gib: float, precision: str = "bf16") -> PlanBook:
    """Of FramePack on a card of so many GiB."""
    return PlanBook(size=size_of("framepack", precision), device_bytes=int(gib * GIB), host_bytes=64 * GIB)


@pytest.mark.parametrize(
    ("gib", "tile_px"),
    [(6, 192), (8, 192), (10, 256), (12, 256), (16, 256), (24, 192), (48, 192), (80, 512), (141, 512)],
)
def test_each_card_has_its_tiles(gib: int, tile_px: int) -> None:
    """Choose for the nine cards in docs/explanation/memory-plans.md; a decode needs no room for a forward's tensors."""
    assert book_of(gib).tile_px(OPEN) == tile_px


@given(st.floats(5, 150), st.sampled_from(PRECISIONS))
def test_tiles_leave_half_of_the_room(gib: float, precision: str) -> None:
    """Weights and twice the tile fit the plan's room, where any size does; the decode of that size is then planned."""
    book = book_of(gib, precision)
    tile_px = book.tile_px(OPEN)
    size, chosen, supposed = book.size, book.plan(replace(OPEN, tile_px=tile_px)), book.plan(OPEN)
    kept = {"all": size.transformer_bytes, "transformer": sum(size.block_bytes), "nothing": 0}[supposed.keeps]
    twice = 2 * tile_bytes(tile_px, channels=size.vae_channels, itemsize=size.vae_itemsize)
    assert chosen.decodes
    assert chosen.peak_bytes <= book.room()
    assert tile_px == TILE_SIZES_PX[-1] or kept + size.vae_bytes + twice <= book.room()
    assert chosen.rung <= supposed.rung  # smaller tiles may keep more on the device, and larger ones never less


def test_a_video_is_settled_by_the_plan(tiny_models: Models) -> None:
    """A renderer with a plan chooses as its book does, beside what is left to others; a size that is named stays."""
    spec = RenderSpec(kind="i2v", sections=1, height=64, width=64, seed=1, prompt="", decode="tiled")
    book = PlanBook(size=count_model(**tiny_models.modules), device_bytes=2 * GIB, host_bytes=64 * GIB)
    renderer, work = Renderer(tiny_models, book=book), workload_of(spec)
    chosen = list[int | None]()
    for preserve_gb in (None, 0.4, 1.0):
        renderer.leave_gb(preserve_gb)
        settled = renderer.settled(spec)
        assert settled.decode_tile_px == book.tile_px(work, preserve_bytes=int((preserve_gb or 0) * GIB))
        chosen.append(settled.decode_tile_px)
    assert chosen == sorted(chosen, key=lambda px: -(px or 0))
    assert chosen[0] != chosen[-1]
    assert renderer.settled(replace(spec, decode_tile_px=64)).decode_tile_px == 64
    renderer.leave_gb(1.5)
    with pytest.raises(DeviceTooSmall):
        renderer.settled(spec)
