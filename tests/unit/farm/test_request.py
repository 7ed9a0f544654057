"""The fields of a request: their defaults, and their exact limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploy.planner import EnginePlanner
from deploy.request_type import REQUEST_TYPE
from farm.contract import AUTO
from farm.errors import InvalidRequest
from farm.intake.body import checked
from farm.request import VideoRequest, sides_px
from framepack_engine.planning.spec import RenderSpec

LIMITS: dict[str, tuple[list[Any], list[Any]]] = {  #: field -> what is taken at its ends, what is refused beyond them
    "prompt": (["", "a", "a" * 4000], ["a" * 4001, None]),  # farm/intake/texts.py refuses a blank one
    "seconds": ([0.1, 600, "5", " 2.5 "], [0, 0.09, 600.1, "five", "nan", "inf", None]),
    "size": (
        [None, "64x64", "2048x2048", "640x608"],
        ["48x64", "64x2064", "64X64", "64x", "6.4x64", "640 x 608"],
    ),
    "resolution": ([None, 64, 640], [63, 2049, 640.5]),
    "seed": ([None, 0, 2**63 - 1, "7"], [-1, 2**63, 1.5]),
    "num_inference_steps": ([1, 100, "25"], [0, 101, 2.5]),
    "guidance_scale": ([1, 32], [0.9, 32.1]),
    "true_cfg_scale": ([1, 32], [0.9, 32.1]),
    "guidance_rescale": ([0, 1], [-0.1, 1.1]),
    "flow_shift": ([None, 0.1, 3], [0, -1]),
    "flow_exponent": ([0.5, 1], [0]),
    "latent_window_size": ([1, 33], [0, 34]),
    "preset": ([None, "default", "dance", "talking", "action", "subtle", "hands", "compat-hands"], ["none", ""]),
    "cache": (["none", "teacache", "first_block", "magcache", "taylorseer"], ["", "fast"]),
    "attention": (["auto", "sdpa", "cudnn", "flash", "flash-3", "sage", "xformers"], ["", "flash3", "best"]),
    "decode": (["framewise", "tiled", "whole"], ["", "fast"]),
    "crf": ([0, 51], [-1, 52]),
    "priority": ([-10, 10], [-11, 11]),
    "allow_mixed": ([True, "false"], ["perhaps"]),
    "loras": (
        [[], "[]", '[{"name": "x", "weight": 0.5}]'],
        ["[", "{}", '[{"name": "x", "wait": 1}]', '[{"weight": 1}]'],
    ),
    "prompts": (['[{"at_s": 1, "text": "b"}]'], ['[{"at_s": -1, "text": "b"}]', '[{"at_s": 1}]']),
    "keyframes": (['[{"at_s": 0, "image": "keyframe_0"}]'], ['[{"at_s": 0, "image": "../x"}]']),
    "metadata": ([{}, '{"a": [1, null]}', {"a": {"b": "c"}}], ["[]", "x", {"a": "b" * 16_384}, {"a": "\ud800"}]),
}


@pytest.mark.parametrize("field", LIMITS)
def test_limits_are_exact(field: str) -> None:
    """The farm accepts a value at a limit, and names the field when it rejects a value beyond."""
    taken, refused = LIMITS[field]
    for value in taken:
        REQUEST_TYPE.model_validate({"prompt": "a", field: value})
    for value in refused:
        with pytest.raises(ValidationError) as caught:
            REQUEST_TYPE.model_validate({"prompt": "a", field: value})
        assert {error["loc"][0] for error in caught.value.errors()} == {field}, value


def test_defaults_are_those_that_are_documented() -> None:
    """Scripts rely on the defaults: a change needs a line in the changelog."""
    assert VideoRequest(prompt="a").model_dump(mode="json", exclude={"prompt"}) == {
        "negative_prompt": "",
        "model": None,
        "seconds": 5.0,
        "size": None,
        "resolution": None,
        "seed": None,
        "num_inference_steps": 25,
        "guidance_scale": 10.0,
        "true_cfg_scale": 1.0,
        "guidance_rescale": 0.0,
        "flow_shift": None,
        "flow_exponent": 1.0,
        "latent_window_size": 9,
        "preset": None,
        "cache": "none",
        "cache_threshold": None,
        "attention": "auto",
        "decode": "framewise",
        "decode_tile_px": None,
        "allow_mixed": False,
        "crf": 16,
        "preserve_gb": None,
        "priority": 0,
        "prompts": [],
        "prompt_fade_sections": 0,
        "start": "grey",
        "loop": False,
        "keyframes": [],
        "loras": [],
        "save_frames": "none",
        "no_metadata": False,
        "name": "",
        "labels": [],
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("size", {"size": "72x64"}),
        ("cache_threshold", {"cache_threshold": 0.2}),
        ("cache_threshold", {"cache": "taylorseer", "cache_threshold": 2.5}),
        ("cache", {"cache": "magcache", "model": "pocket"}),
        ("decode_tile_px", {"decode_tile_px": 128}),
        ("decode", {"size": "2048x2048"}),
        ("prompts", {"prompts": [{"at_s": 99, "text": "b"}]}),
        ("prompts", {"prompts": [{"at_s": 0.1, "text": "b"}, {"at_s": 0.2, "text": "c"}]}),
        ("flow_exponent", {"flow_exponent": 10, "num_inference_steps": 100}),
        ("flow_shift", {"flow_shift": 100, "flow_exponent": 10}),
        ("resolution", {"resolution": 2048}),
        ("model", {"model": "none"}),
    ],
)
def test_the_engine_judges_a_request_before_it_is_accepted(field: str, fields: dict[str, Any]) -> None:
    """Rules over several fields are the engine's; the error names the request's field."""

    def settle() -> None:
        request = checked({"prompt": "a", "model": "tiny", **fields}, {}, EnginePlanner()).request
        EnginePlanner().settle(request, image_size=(64, 192))

    with pytest.raises(InvalidRequest) as caught:
        settle()
    assert list(caught.value.facts["fields"]) == [field]  # type: ignore[call-overload]


@pytest.mark.parametrize("field", ["cache_threshold", "decode_tile_px"])
def test_a_value_without_its_mode_is_rejected_before_anything_is_decoded(field: str) -> None:
    """The command line checks this, too, before it starts a farm; a preset may still choose the cache."""
    with pytest.raises(InvalidRequest, match=f"^{field}: ") as caught:
        checked({"prompt": "a", field: 1 if field == "cache_threshold" else 128}, {}, EnginePlanner())
    assert list(caught.value.facts["fields"]) == [field]  # type: ignore[call-overload]
    checked({"prompt": "a", "cache_threshold": 1, "preset": "default"}, {}, EnginePlanner())


def test_the_request_and_the_engine_have_equal_defaults() -> None:
    """A video that leaves a field out is the one that the engine makes without it; only `auto` is the farm's own."""
    assert VideoRequest(prompt="a").attention == AUTO
    defaults = {name: field.default for name, field in RenderSpec.__dataclass_fields__.items()}
    shared = defaults.keys() & VideoRequest.model_fields.keys() - {"prompt", "seed", "attention"}
    assert {name: defaults[name] for name in shared} == {
        name: getattr(VideoRequest(prompt="a"), name) for name in shared
    }


def test_every_field_says_what_it_is_for() -> None:
    """The descriptions are the command line's help."""
    assert all(field.description for field in VideoRequest.model_fields.values())


@given(st.text())
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    """Any text gives a size within the limits or a ValueError."""
    try:
        sides = sides_px(text)
    except ValueError:
        return
    assert all(64 <= side <= 2048 for side in sides)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_metadata_is_kept_or_refused(value: Any) -> None:
    """Accepted metadata survives storing as JSON."""
    try:
        request = VideoRequest(prompt="a", metadata=value)
    except ValidationError:
        return
    assert VideoRequest.model_validate_json(request.model_dump_json()) == request
