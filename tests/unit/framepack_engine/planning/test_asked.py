"""Values that a program may pass for a field, and the errors for those that it may not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.asked import asked_spec
from framepack_engine.planning.spec import RenderSpec
from tests.imports import modules_after


def asked(**given: Any) -> RenderSpec:
    """Ask for a video of a small photo."""
    rest: dict[str, Any] = {"seconds": 3, "seed": 1, "size": (96, 64)} | given
    own = {name: rest.pop(name) for name in ("seconds", "seed", "size")}
    return asked_spec("a cat", kind="i2v", photo=(96, 64), resolution=128, loras=(), fields=rest, **own)


def test_numpys_numbers_are_taken_as_pythons() -> None:
    """The spec is what plain numbers give, so that it compares and can be written to the mp4; no numpy is loaded."""
    arrays = asked(
        seconds=np.float32(3),
        seed=np.int64(1),
        size=np.array([96, 64]),
        num_inference_steps=np.int64(4),
        guidance_scale=np.float32(2.5),
        cache_threshold=np.float64(0.25),
        cache="teacache",
        cache_ratios=np.array([1, 0.5]),
        prompts=[(np.float32(1.5), np.str_("a dog"))],
    )
    plain = asked(
        num_inference_steps=4,
        guidance_scale=2.5,
        cache_threshold=0.25,
        cache="teacache",
        cache_ratios=[1, 0.5],
        prompts=((1.5, "a dog"),),
    )
    assert arrays == plain
    assert json.dumps(dataclasses.asdict(arrays)) == json.dumps(dataclasses.asdict(plain))
    assert arrays.prompts[0].at_s == 1.5
    assert "numpy" not in modules_after("import framepack_engine.planning.asked")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": True}, "seed=True: need a whole number"),
        ({"seed": np.float32(1)}, "need a whole number"),
        ({"crf": np.bool_(True)}, "need a whole number"),
        ({"guidance_scale": "10"}, "guidance_scale='10': need a number"),
        ({"guidance_scale": 10**400}, "need a number"),
        ({"negative_prompt": 5}, "negative_prompt=5: need a text"),
        ({"cache_ratios": ["a"]}, r"cache_ratios=\['a'\]: need a list of numbers"),
        ({"prompts": "a dog"}, "need pairs of a second and a text"),
        ({"prompts": ["a dog"]}, r"prompts=\['a dog'\]: need pairs of a second and a text, such as \[\(2.0, "),
        ({"prompts": [{"at_s": 1, "text": "a dog"}]}, "need pairs of a second and a text"),
        ({"prompts": [("a dog", 2.0)]}, "need pairs of a second and a text"),
    ],
)
def test_other_types_are_refused_by_name(wrong: dict[str, Any], words: str) -> None:
    """The message says what the argument needs, and shows an example where a word does not do."""
    with pytest.raises(InvalidSpec, match=words) as caught:
        asked(**wrong)
    assert caught.value.facts["field"] in wrong
