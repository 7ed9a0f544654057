"""The packed context: constant in size, and always the 19 latent frames next to the section in time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from framepack_engine.planning.sections import HISTORY, Kind, section_layout, sections_for
from framepack_engine.sampling import context
from framepack_engine.sampling.artifacts import Conditioning

KINDS = st.sampled_from(["i2v", "f1"])
START = torch.full((1, 16, 1, 2, 2), -1.0)
COND = Conditioning(
    prompt_embeds=torch.ones(1, 1, 1),
    pooled_prompt_embeds=torch.ones(1, 1),
    image_embeds=torch.ones(1, 1, 1),
    start_latent=START,
)


def frames(first: int, count: int) -> Tensor:
    """Latent frames whose every value is their number."""
    return torch.arange(first, first + count, dtype=torch.float32).view(1, 1, -1, 1, 1).expand(1, 16, -1, 2, 2)


def numbers(latents: Tensor) -> list[float]:
    """Undo `frames`."""
    assert torch.equal(latents, latents[:, :1, :, :1, :1].expand_as(latents))
    values: list[float] = latents[0, 0, :, 0, 0].tolist()
    return values


@given(KINDS, st.integers(1, 33), st.floats(0.1, 600))
def test_the_context_is_the_nearest_19_frames(kind: Kind, window: int, seconds: float) -> None:
    """For any window and length: zeros where nothing is, then what was made next to the section, in time order."""
    sections = min(sections_for(seconds, window=window), 1 + 2 * HISTORY // window)  # later ones look alike
    history = context.first_history(kind, COND)
    made: list[float] = [-1.0] if kind == "f1" else []
    for section in range(sections):
        kept, latents = history.clone(), frames(1 + section * window, window)
        after = context.next_history(kind, history, latents)
        assert torch.equal(history, kept)
        assert after.shape == (1, 16, HISTORY, 2, 2)
        assert after.is_contiguous()
        made = [*made, *numbers(latents)] if kind == "f1" else [*numbers(latents), *made]
        zeros = [0.0] * max(HISTORY - len(made), 0)
        assert numbers(after) == ([*zeros, *made][-HISTORY:] if kind == "f1" else [*made, *zeros][:HISTORY])
        history = after


@given(KINDS)
def test_packing_puts_the_nearest_frames_in_the_finest_patches(kind: Kind) -> None:
    """The frame next to the section lies beside the start latent, the next two at 2x, the far ones at 4x."""
    packed = context.pack(kind, frames(1, HISTORY), START)
    far_to_near = list(range(1, HISTORY + 1)) if kind == "f1" else list(range(HISTORY, 0, -1))
    assert numbers(packed.clean) == [-1, far_to_near[-1]]
    assert sorted(numbers(packed.history_2x)) == sorted(far_to_near[-3:-1])
    assert sorted(numbers(packed.history_4x)) == sorted(far_to_near[:-3])
    assert all(numbers(part) == sorted(numbers(part)) for part in (packed.history_2x, packed.history_4x))


@given(KINDS, st.integers(1, 33), st.integers(1, 30), st.data())
def test_positions_and_frames_agree(kind: Kind, window: int, sections: int, data: st.DataObject) -> None:
    """Each packed frame has one position in time, and among the packed ones nearer frames have nearer positions."""
    index = data.draw(st.integers(0, sections - 1))
    layout = section_layout(kind, sections=sections, index=index, window=window)
    packed = context.pack(kind, frames(1, HISTORY), START)
    parts = (
        (packed.clean[:, :, 1:], layout.clean[1:]),
        (packed.history_2x, layout.history_2x),
        (packed.history_4x, layout.history_4x),
    )
    placed = {number: place for part, places in parts for number, place in zip(numbers(part), places, strict=True)}
    assert [placed[number] for number in sorted(placed)] == sorted(placed.values())
    edge = min(placed.values()) - max(layout.noisy) if kind == "i2v" else min(layout.noisy) - max(placed.values())
    assert edge == 1
    assert len({*placed.values(), *layout.noisy, layout.clean[0]}) == HISTORY + window + 1


@given(st.sets(st.integers(0, 40)), st.integers(0, 40))
def test_a_section_aims_at_the_next_keyframe(keys: set[int], index: int) -> None:
    """The keyframe with the smallest number that is not below the section's, else the start; F1 has its start only."""
    cond = replace(COND, keyframes={key: torch.full_like(START, key) for key in keys})
    later = [key for key in keys if key >= index]
    assert numbers(context.start_for("i2v", index, cond)) == [min(later) if later else -1]
    assert numbers(context.start_for("f1", index, cond)) == [-1]


@pytest.mark.parametrize("kind", ["i2v", "f1"])
def test_a_video_begins_with_what_it_has(kind: Kind) -> None:
    """I2v: the end frame, where there is one, as the frame that follows; F1: the start, or the end of another video."""
    end = replace(COND, end_latent=torch.full_like(START, 7.0))
    assert numbers(context.first_history(kind, end)) == ([0.0] * 18 + [-1] if kind == "f1" else [7] + [0.0] * 18)
    assert any(numbers(context.first_history(kind, COND))) is (kind == "f1")
    if kind == "f1":
        for count in (1, 5, HISTORY):
            going_on = context.first_history(kind, replace(COND, history=frames(1, count)))
            assert numbers(going_on) == [0.0] * (HISTORY - count) + [float(n) for n in range(1, count + 1)]
