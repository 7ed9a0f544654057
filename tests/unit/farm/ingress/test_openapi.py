"""schemathesis against /openapi.json: no request gets a 5xx, or a status or content type that is not documented.

Each call gets a few examples, always the same ones. Some ids are made up, others are those of real videos.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from farm.contract import Order
from farm.ingress.content import ASSETS
from framepack_engine.planning.limits import LIMITS
from tests.patience import patient
from tests.unit.conftest import Hand
from tests.unit.farm.ingress.test_ingress import ask

CHECKS: Any = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 6  #: a call
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")  # an archive is bytes like any others


def test_whatever_is_sent_is_answered_as_documented(farm_url: str, http: TestClient, hand: Hand) -> None:
    """Call everything under /v1 with generated bodies, queries and ids, and with ids of waiting and ended videos."""
    ended = ask(http, seconds="1")["id"]
    finish_with_latents(hand)
    waiting = ask(http, seconds="1")["id"]
    schema = schemathesis.openapi.from_url(f"{farm_url}/openapi.json")
    called = set[str]()
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]  # a broken schema fails here
        if not operation.path.startswith("/v1/") or operation.path == "/v1/events":  # a stream without an end
            continue
        streams = operation.path.endswith("/events")  # of a video that has not ended: without an end
        ids = st.none() | st.sampled_from([ended] if streams else [ended, waiting])

        @given(case=operation.as_strategy(), id_=ids)
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def call(case: Any, id_: str | None) -> None:
            if id_ is not None and "video_id" in case.path_parameters:
                case.path_parameters["video_id"] = id_
            case.call_and_validate(checks=CHECKS, timeout=patient(20))

        call()
        if operation.path == "/v1/videos/{video_id}/content":  # a few examples need not meet each variant
            for variant, id_ in product((*ASSETS, "keyframe_0"), (ended, waiting)):
                query = {"variant": variant} | ({"at_s": "last"} if variant == "frame" else {})
                case = operation.Case(path_parameters={"video_id": id_}, query=query)
                case.call_and_validate(checks=CHECKS, timeout=patient(20))
        called.add(f"{operation.method} {operation.path}")
    assert {"post /v1/videos", "patch /v1/videos/{video_id}", "get /v1/videos/{video_id}/content"} <= called


def finish_with_latents(hand: Hand) -> None:
    """Do every order there is; conditioning and sections hold latents of the right shape."""
    while isinstance(order := hand.dispatcher.ask(hand.card), Order):
        plan = hand.jobs.request(order.job.id).plan
        name = {"encode": "conditioning", "decode": "clip", "finish": "video"}.get(order.key.stage, "section")
        shape = (1, 16, 1 if name == "conditioning" else plan.latent_window_size, plan.height // 8, plan.width // 8)
        tensor = save({"start_latent" if name == "conditioning" else "latents": np.zeros(shape, "<f4")})
        hand.commit(order, **{name: tensor if name in {"conditioning", "section"} else b"x"})


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/videos/{video_id}", "/v1/videos/{video_id}/events"])
def test_every_call_documents_its_problems(http: TestClient, path: str) -> None:
    """Each error is application/problem+json with the problem's schema."""
    for call in http.get("/openapi.json").json()["paths"][path].values():
        problem = call["responses"]["401"]["content"]["application/problem+json"]
        assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_reference_leads_somewhere(http: TestClient) -> None:
    """Programs that make clients of the document stop at the first that does not."""
    text = http.get("/openapi.json").text
    named = set(re.findall(r'"\$ref": ?"([^"]+)"', text))
    assert named
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    assert named <= {f"#/components/schemas/{name}" for name in schemas}


def test_openapi_shows_the_engines_limits(http: TestClient) -> None:
    """The engine's ranges and choices reach the document through the planner."""
    body = http.get("/openapi.json").json()["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    for kind in ("application/json", "multipart/form-data"):
        for field, limit in LIMITS.items():
            shown = body[kind]["schema"]["properties"][field]
            shown = shown.get("anyOf", [shown])[0]
            words = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "multiple_of": "multipleOf"}
            assert all(shown.get(word) == getattr(limit, bound) for bound, word in words.items()), field
            assert set(limit.choices) == set(shown.get("enum", ())) - {"auto"}, field
