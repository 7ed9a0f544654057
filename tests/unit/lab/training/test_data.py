"""Training data is made: deterministic, moving as its prompt says, and without the photos that are held out."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lab.training.data.clips import ClipMaker
from lab.training.data.motions import SPEEDS, Motion, light, moved, throw_motion
from lab.training.data.photos import HELD_OUT, photo_paths
from lab.training.data.pictures import KINDS, Dice, draw_picture
from lab.training.data.prompts import every_word, prompt_for, wordings
from tests.imports import ROOT

EXAMPLES = ROOT / "examples"
CPU = torch.device("cpu")
_ALIKE = 10  #: of 64 bits; two pictures of one photo differ in few, two photos in about half


def fingerprint(path: Path) -> int:
    """64 bits that survive scaling and compression: which of two neighbours in a 9x8 grey miniature is brighter."""
    with Image.open(path) as image:
        small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS)).astype(int)
    return int("".join("1" if bright else "0" for bright in (small[:, 1:] > small[:, :-1]).flatten()), 2)


def nearest(path: Path, others: list[Path]) -> int:
    """In how many bits the most similar of `others` differs."""
    return min((fingerprint(path) ^ fingerprint(other)).bit_count() for other in others)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_the_examples_photos_are_never_trained_on(example: Path) -> None:
    """No training photo looks like one of examples/, which scikit-image has too, and which would be found here."""
    held_out = [Path(skimage.__file__).parent / "data" / name for name in HELD_OUT]
    assert nearest(example, held_out) <= _ALIKE
    assert nearest(example, photo_paths()) > _ALIKE


def test_no_held_out_file_is_in_the_list() -> None:
    """By name as well: the list of training photos and the four do not meet."""
    assert not {path.name for path in photo_paths()} & set(HELD_OUT)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_is_a_picture(kind: str) -> None:
    """Each kind gives finite pixels in [0, 1] that are not one plain colour, the same again from the same seed."""
    one = draw_picture(Dice(3), side_px=48, device=CPU, kind=kind)
    assert one.shape == (3, 48, 48)
    assert bool(one.isfinite().all())
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    assert float(one.std()) > 0.005
    assert torch.equal(one, draw_picture(Dice(3), side_px=48, device=CPU, kind=kind))
    assert not torch.equal(one, draw_picture(Dice(4), side_px=48, device=CPU, kind=kind))


@pytest.mark.parametrize("kind", SPEEDS)
def test_a_clip_is_a_function_of_its_number(kind: str) -> None:
    """The same number gives the same frames and prompt, in any order of making; frame 0 is where the view begins."""
    maker = ClipMaker(seed=5)
    clip = maker.clip(7, height=32, width=48, frames=9, motion=kind, every=4)
    again = ClipMaker(seed=5).clip(7, height=32, width=48, frames=9, motion=kind, every=4)
    assert torch.equal(clip.frames, again.frames)
    assert (clip.prompt, clip.motion) == (again.prompt, again.motion)
    assert clip.frames.shape == (3, 9, 32, 48)
    assert -1 <= float(clip.frames.min()) < float(clip.frames.max()) <= 1
    assert maker.clip(8, height=32, width=48, frames=1, motion=kind).prompt != "" != clip.prompt
    moves = float((clip.frames[:, -1] - clip.frames[:, 0]).abs().mean())
    assert (moves == 0) == (kind == "still")


def points(side: int = 5) -> Tensor:
    """A grid of (x, y) around the view's centre."""
    line = torch.linspace(-0.5, 0.5, side)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)


@given(st.sampled_from(sorted(SPEEDS)), st.integers(0, 1000))
@settings(max_examples=60)
def test_every_motion_begins_at_rest(kind: str, seed: int) -> None:
    """At time 0 each point is its own and the light is as it was."""
    motion = throw_motion(Dice(seed), kind)
    torch.testing.assert_close(moved(motion, points(), torch.zeros(1))[0], points())
    assert float(light(motion, torch.zeros(1))) == 1


@given(st.sampled_from(sorted(set(SPEEDS) - {"still"})), st.integers(0, 1000))
@settings(max_examples=60)
def test_the_words_for_a_pace_tell_the_speed(kind: str, seed: int) -> None:
    """All motions that are called slow are slower than those without a word, and these than the quick ones."""
    motion = throw_motion(Dice(seed), kind)
    slowest, fastest = SPEEDS[kind]
    share = (motion.speed - slowest) / (fastest - slowest)
    bounds = {"slow": (0, 0.2), "plain": (0.4, 0.6), "quick": (0.8, 1)}
    low, high = bounds[motion.pace]
    assert low < share < high


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("pan_left", (0.2, 0.0)),
        ("pan_right", (-0.2, 0.0)),
        ("pan_up", (0.0, 0.2)),
        ("pan_down", (0.0, -0.2)),
        ("parallax_left", (0.2, 0.0)),
    ],
)
def test_the_picture_moves_against_the_camera(kind: str, to: tuple[float, float]) -> None:
    """The point at the centre at first is at `to` after two seconds at 0.1 widths a second."""
    taken_from = moved(Motion(kind, 0.1, 0.5), torch.tensor([[to]]), torch.tensor([2.0]))
    torch.testing.assert_close(taken_from[0, 0, 0], torch.zeros(2))


def test_zooms_and_turns_go_the_way_that_they_say() -> None:
    """Zooming in takes from nearer the centre; rotating left takes a point on the right from below, on screen."""
    right, second = torch.tensor([[[0.4, 0.0]]]), torch.ones(1)
    assert float(moved(Motion("zoom_in", 0.2, 0.5), right, second)[0, 0, 0, 0]) == pytest.approx(0.4 * math.exp(-0.2))
    assert float(moved(Motion("zoom_out", 0.2, 0.5), right, second)[0, 0, 0, 0]) > 0.4
    assert float(moved(Motion("rotate_left", 0.2, 0.5), right, second)[0, 0, 0, 1]) > 0
    assert float(moved(Motion("rotate_right", 0.2, 0.5), right, second)[0, 0, 0, 1]) < 0
    assert float(light(Motion("darken", 0.5, 0.5), second)) == pytest.approx(math.exp(-0.5))


@pytest.mark.parametrize("kind", SPEEDS)
def test_wordings_of_the_test_are_its_own(kind: str) -> None:
    """No wording is both trained with and tested with, and both lists have some; but no word is the test's alone."""
    assert wordings(kind)
    assert wordings(kind, test=True)
    assert not set(wordings(kind)) & set(wordings(kind, test=True))
    trained = {word for other in SPEEDS for word in words(list(wordings(other)))}
    assert words(list(wordings(kind, test=True))) <= trained


def words(texts: list[str]) -> set[str]:
    """In lower case, without what fills the gaps of a template."""
    return set(re.findall(r"[a-z]+", re.sub(r"{\w+}", "", " ".join(texts)).lower()))


@given(st.sampled_from(sorted(SPEEDS)), st.integers(0, 10_000), st.booleans())
@settings(max_examples=100)
def test_a_prompt_is_whole(kind: str, seed: int, test: bool) -> None:
    """No gap of a template is left open, no space doubled, and every word is in the vocabulary."""
    dice = Dice(seed)
    prompt = prompt_for(throw_motion(dice, kind), dice, test=test)
    assert prompt
    assert not set("{}") & set(prompt)
    assert prompt == " ".join(prompt.split())
    words = "".join(letter if letter.isalpha() else " " for letter in prompt.lower()).split()
    assert set(words) <= set(every_word())
