"""Presets fill what a request leaves out, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine.planning.buckets import buckets
from framepack_engine.planning.presets import PRESET_FIELDS, PRESETS, filled
from framepack_engine.planning.schedule import flow_mu, token_mu
from tests.imports import ROOT, modules_after

CAT = (ROOT / "examples" / "cat.jpg").read_bytes()
FIELDS = ("num_inference_steps", "guidance_scale", "flow_exponent", "cache", "cache_threshold")
TABLE = {  #: preset -> steps, guidance, exponent, cache, threshold in a request that sets none of them
    "default": (25, 10, 1.0, "teacache", None),
    "dance": (30, 12, 1.03, "none", None),
    "talking": (22, 8, 1.05, "teacache", None),
    "action": (30, 12, 0.95, "none", None),
    "subtle": (20, 7, 1.15, "teacache", None),
    "hands": (35, 14, 1.25, "none", None),
    "compat-default": (25, 10, 1.0, "teacache", 0.25),
    "compat-talking": (22, 8, 1.05, "teacache", 0.25),
    "compat-hands": (35, 14, 1.25, "none", None),
}


def accepted(http: TestClient, **fields: Any) -> dict[str, Any]:
    """The completed request of a video that must be accepted."""
    answer = http.post("/v1/videos", data={"prompt": "a cat", **fields}, files={"input_reference": ("cat.jpg", CAT)})
    assert answer.status_code == 200, answer.text
    request: dict[str, Any] = answer.json()["request"]
    return request


@pytest.mark.parametrize("name", TABLE)
def test_a_preset_fills_a_request_that_says_nothing(http: TestClient, name: str) -> None:
    """The farm stores and shows the whole request, with the preset's name."""
    request = accepted(http, preset=name)
    assert tuple(request[field] for field in FIELDS) == TABLE[name]
    assert request["preset"] == name
    assert request["prompt"] == "a cat"


def test_what_was_set_stays_even_where_it_is_the_default(http: TestClient) -> None:
    """An explicit default differs from a field that is left out."""
    request = accepted(http, preset="talking", num_inference_steps=25, cache="none")
    assert (request["num_inference_steps"], request["cache"], request["guidance_scale"]) == (25, "none", 8)


def test_the_threshold_follows_the_cache(http: TestClient) -> None:
    """`hands` with TeaCache skips less than usual; the fork's own numbers skip more."""
    assert accepted(http, preset="hands", cache="teacache")["cache_threshold"] == 0.1
    assert accepted(http, preset="compat-hands", cache="teacache")["cache_threshold"] == 0.25
    assert accepted(http, preset="compat-default", cache="none")["cache_threshold"] is None
    assert accepted(http, preset="compat-default", cache_threshold="0.2")["cache_threshold"] == 0.2
    assert accepted(http, preset="default", cache_threshold="0.2")["cache"] == "teacache"


def test_a_threshold_without_a_cache_is_refused_when_the_preset_is_known(http: TestClient) -> None:
    """`dance` has no cache that a threshold could belong to."""
    data = {"prompt": "a", "preset": "dance", "cache_threshold": "0.2"}
    answer = http.post("/v1/videos", data=data, files={"input_reference": ("cat.jpg", CAT)})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "there is no cache to take it" in answer.text


def test_mu_moves_where_its_limit_lets_it(http: TestClient) -> None:
    """With small pictures, mu stays below its limit ln 7; the fork's minimum is 0.3."""
    tokens = 9 * 6 * 10  # 160x96 px
    assert accepted(http, preset="dance", size="160x96")["flow_shift"] == math.exp(token_mu(tokens) - 0.15)
    assert accepted(http, preset="hands", size="160x96")["flow_shift"] == pytest.approx(math.exp(0.3))
    assert accepted(http, preset="default", size="160x96")["flow_shift"] is None
    assert accepted(http, preset="hands", size="160x96", flow_shift="3")["flow_shift"] == 3


@pytest.mark.parametrize("name", PRESETS)
def test_at_the_usual_window_only_the_exponent_acts(name: str) -> None:
    """Nine latent frames of any 640 bucket have so many tokens that mu is at its limit with any preset."""
    for height, width in buckets(640):
        tokens = 9 * (height // 16) * (width // 16)
        assert "flow_shift" not in filled(name, {}, tokens=tokens)
        assert flow_mu(tokens) == math.log(7)


@given(st.sampled_from(sorted(PRESETS)), st.sets(st.sampled_from([*FIELDS, "flow_shift"])))
def test_nothing_that_was_given_is_filled(name: str, given_fields: set[str]) -> None:
    """Every preset leaves the given fields alone."""
    values = dict.fromkeys(given_fields, "mine")
    assert not filled(name, values, tokens=500).keys() & given_fields


def test_the_same_key_with_and_without_a_default_said_aloud_are_two_requests(http: TestClient) -> None:
    """With a preset, they are two different requests."""
    key = {"Idempotency-Key": "k"}
    for fields, status in (({}, 200), ({}, 200), ({"num_inference_steps": "25"}, 409)):
        data = {"prompt": "a", "preset": "dance", "seed": "1", **fields}
        answer = http.post("/v1/videos", data=data, files={"input_reference": ("cat.jpg", CAT)}, headers=key)
        assert answer.status_code == status


def test_a_remix_keeps_what_was_filled_and_takes_another_preset(http: TestClient) -> None:
    """A remix without a preset keeps every value, explicit defaults included; a new preset fills them."""
    data = {"prompt": "a cat", "preset": "dance", "num_inference_steps": "25", "seed": "1"}
    first = http.post("/v1/videos", data=data, files={"input_reference": ("cat.jpg", CAT)}).json()
    same = http.post(f"/v1/videos/{first['id']}/remix", json={"prompt": "a dog"}).json()["request"]
    assert same == first["request"] | {"prompt": "a dog"}
    body = {"preset": "talking", "guidance_scale": 9}
    other = http.post(f"/v1/videos/{first['id']}/remix", json=body).json()["request"]
    assert tuple(other[field] for field in FIELDS) == (22, 9, 1.05, "teacache", None)


def test_a_remix_with_a_new_preset_forgets_every_field_that_a_preset_may_fill() -> None:
    """The engine lists those fields beside its presets."""
    filling = set().union(*(filled(name, {"cache": "teacache"}, tokens=500) for name in PRESETS)) | {"cache"}
    assert filling == set(PRESET_FIELDS)


def test_presets_load_no_torch() -> None:
    """The ingress imports the presets."""
    assert "torch" not in modules_after("import framepack_engine.planning.presets")
