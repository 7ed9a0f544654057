"""A numeric class says what decides a video's bits; a worker continues a video only if every part agrees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.jobs.demand import fits, need_for
from farm.numeric_class import NumericClass, attention_for, attention_of, parse_class, same_class
from farm.request import VideoRequest
from tests.hands import card

H100 = "cuda-nvidia_h100_80gb_hbm3-bfloat16"
NONE = frozenset[str]()
REQUEST = VideoRequest(prompt="a cat", model="tiny")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (f"{H100}-cudnn", (H100, "cudnn", None, NONE)),
        (f"{H100}+fp8-dynamic+compiled-flash-3", (f"{H100}+fp8-dynamic+compiled", "flash-3", None, NONE)),
        (f"{H100}+fp8-dynamic", (f"{H100}+fp8-dynamic", None, None, NONE)),
        ("cuda-nvidia_a100-sxm4-80gb-bfloat16-sdpa", ("cuda-nvidia_a100-sxm4-80gb-bfloat16", "sdpa", None, NONE)),
        ("cpu-avx2-float32-sdpa-t4", ("cpu-avx2-float32", "sdpa", 4, NONE)),
        ("cpu-avx512-float32-t16@amd,torch2.13.0", ("cpu-avx512-float32", None, 16, frozenset({"amd", "torch2.13.0"}))),
        (f"{H100}-sdpa@torch2.11.0,sdpa=cudnn", (H100, "sdpa", None, frozenset({"torch2.11.0", "sdpa=cudnn"}))),
        ("by-hand", ("by-hand", None, None, NONE)),
    ],
)
def test_every_form_is_understood(text: str, parts: tuple[str, str | None, int | None, frozenset[str]]) -> None:
    """Classes of this version and of earlier ones; any other text is a device of its own."""
    assert parse_class(text) == NumericClass(*parts)


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    """A class comes from a ledger: a damaged one fits nobody, and raises nothing."""
    assert parse_class(text).admits(parse_class(text))


@pytest.mark.parametrize(
    ("pinned", "own", "continues"),
    [
        ("cpu-avx512-float32-sdpa-t4@amd,torch2.13.0", "cpu-avx512-float32-t8@amd,torch2.13.0", True),
        ("cpu-avx512-float32-sdpa-t4@amd,torch2.13.0", "cpu-avx512-float32-t4@intel,torch2.13.0", False),
        ("cpu-avx512-float32-sdpa-t4@amd,torch2.13.0", "cpu-avx512-float32-t4@amd,torch2.12.1", False),
        ("cpu-avx512-float32-sdpa-t4@amd,torch2.13.0", "cpu-avx2-float32-t4@amd,torch2.13.0", False),
        (f"{H100}-sdpa@torch2.11.0,cudnn9.19.0,sdpa=cudnn", f"{H100}@torch2.11.0,cudnn9.19.0,sdpa=cudnn", True),
        (f"{H100}-sdpa@torch2.11.0,cudnn9.19.0,sdpa=cudnn", f"{H100}@torch2.11.0,cudnn9.19.0,sdpa=flash", False),
        (f"{H100}-sdpa@torch2.11.0,cudnn9.19.0,sdpa=cudnn", f"{H100}@torch2.11.0,cudnn9.20.0,sdpa=cudnn", False),
        # pinned by an earlier version, which named neither maker nor software
        ("cpu-avx512-float32-sdpa-t4", "cpu-avx512-float32-t8@intel,torch2.13.0", True),
        (f"{H100}-sdpa", f"{H100}@torch2.11.0,cudnn9.19.0,sdpa=cudnn", True),
        (f"{H100}-sdpa", f"{H100}+compiled@torch2.11.0,cudnn9.19.0,sdpa=cudnn", False),
        # pinned by this version, and a worker that was not restarted yet
        (f"{H100}-sdpa@torch2.11.0,cudnn9.19.0,sdpa=cudnn", H100, False),
    ],
)
def test_a_worker_continues_what_agrees_with_it(pinned: str, own: str, continues: bool) -> None:
    """All parts that the video's class names must be equal; attention and threads are set for each order."""
    worker = card("w", numeric_class=own)
    assert fits(worker, need_for(REQUEST, "section", pinned)) is continues
    assert fits(worker, need_for(REQUEST.model_copy(update={"allow_mixed": True}), "section", pinned))
    assert fits(worker, need_for(REQUEST, "finish", pinned))


def test_an_earlier_class_stays_the_video_s_class() -> None:
    """A worker records the video's class if that admits its own, so the video does not become mixed."""
    full = "cpu-avx512-float32-sdpa-t4@amd,torch2.13.0"
    assert same_class("cpu-avx512-float32-sdpa-t4", full) == "cpu-avx512-float32-sdpa-t4"
    assert same_class(full, full) == full
    for other in (None, "cpu-avx512-float32-sdpa-t2", "cpu-avx512-float32-cudnn-t4", "cpu-avx2-float32-sdpa-t4"):
        assert same_class(other, full) == full


def test_a_video_keeps_its_attention() -> None:
    """`auto` is the attention of the pinned class; a request that names one gets that one."""
    assert attention_of(f"{H100}-flash-3@torch2.11.0") == attention_for("auto", f"{H100}-flash-3") == "flash-3"
    assert attention_of(None) is attention_for("auto", None) is attention_of(H100) is None
    assert attention_for("sage", f"{H100}-flash-3") == "sage"
