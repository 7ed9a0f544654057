"""LoRAs and times that are typed into a prompt, over HTTP: the fields that they fill, and the rejected ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.settings import FarmSettings
from tests.unit.actors.test_lora_farm import write
from tests.unit.conftest import DispatcherHere


@pytest.fixture
def http(jobs: Jobs, door: DispatcherHere, tmp_path: Path) -> Iterator[TestClient]:
    """The door of a farm that has the LoRAs `style` and `people/ann`."""
    folder = tmp_path / "loras"
    (folder / "people").mkdir(parents=True)
    for seed, name in enumerate(("style", "people/ann")):
        write(folder / f"{name}.safetensors", seed=seed)
    settings, planner = FarmSettings(model="tiny-f1"), EnginePlanner(lora_dir=str(folder))
    app = create_app(settings=settings, jobs=jobs, door=door, planner=planner, media=EngineMedia())
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


def ask(http: TestClient, prompt: str, path: str = "/v1/videos", **fields: object) -> dict[str, Any]:
    """Ask for four sections of 1.2 s without an image; return the settled request."""
    answer = http.post(path, json={"prompt": prompt, "seconds": 4.8, **fields})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return {**made["request"], "id": made["id"]}


def loras(request: dict[str, Any]) -> list[tuple[str, float]]:
    """Return names and weights."""
    return [(use["name"], use["weight"]) for use in request["loras"]]


def prompts(request: dict[str, Any]) -> list[tuple[float, str]]:
    """Return times and texts, the prompt first."""
    return [(-1, request["prompt"]), *((timed["at_s"], timed["text"]) for timed in request["prompts"])]


@pytest.mark.parametrize(
    ("prompt", "rest", "used"),
    [
        ("<lora:style:0.8> a cat", "a cat", [("style", 0.8)]),
        ("a cat <LoRA:style>", "a cat", [("style", 1.0)]),
        ("a <lora:people/ann.safetensors:-.5> cat<lora: style :2>,\n blue", "a cat,\n blue", None),
        ("a cat < lora, 3:4 >", "a cat < lora, 3:4 >", []),
    ],
)
def test_a_lora_in_a_prompt(http: TestClient, prompt: str, rest: str, used: list[tuple[str, float]] | None) -> None:
    """It becomes an entry of `loras`, with its digest, and leaves the prompt."""
    request = ask(http, prompt)
    assert request["prompt"] == rest
    assert loras(request) == ([("people/ann.safetensors", -0.5), ("style", 2.0)] if used is None else used)
    assert all(len(use["sha256"]) == 64 for use in request["loras"])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # a text without an end acts until the next begins, as in FramePack-Studio
        ("[0s: a sits] [2.4s: a jumps]", [(-1, "a sits"), (2.4, "a jumps")]),
        ("[1s: a waves]", [(-1, "a waves")]),
        ("A cat. [1.2s: it waves]", [(-1, "A cat."), (1.2, "it waves")]),
        # after its end the text outside the brackets acts again
        ("A cat. [1.2s-2.4s: it waves]", [(-1, "A cat."), (1.2, "it waves"), (2.4, "A cat.")]),
        ("A cat. [3.6 s - 4.8 S: a]\n[1.2s-2.4s : b]", [(-1, "A cat."), (1.2, "b"), (2.4, "A cat."), (3.6, "a")]),
        # no section lies between the end and what follows it
        ("A cat. [1.2s-2.3s: b] [2.4s: c]", [(-1, "A cat."), (1.2, "b"), (2.4, "c")]),
        ("A cat. [2s-4.7s: it waves]", [(-1, "A cat."), (2.0, "it waves")]),
        ("A cat. [2s-9s: it waves]", [(-1, "A cat."), (2.0, "it waves")]),
        # nothing is said of the gap, so the earlier text goes on
        ("[0s-1.2s: a] [2.4s-3.6s: b]", [(-1, "a"), (2.4, "b")]),
        ("a clock [of brass] shows 12:30 [x: y], [1: 2]", [(-1, "a clock [of brass] shows 12:30 [x: y], [1: 2]")]),
    ],
)
def test_times_in_a_prompt(http: TestClient, prompt: str, expected: list[tuple[float, str]]) -> None:
    """They become entries of `prompts`."""
    assert prompts(ask(http, prompt)) == expected


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"prompt": "<lora:nobody:1> a cat"}, "loras", "there is no LoRA 'nobody'"),
        ({"prompt": "<lora:style:x> a cat"}, "loras.0.weight", "need a number"),
        ({"prompt": "<lora:style:9> a cat"}, "loras.0.weight", "at most 4"),
        ({"prompt": "<lora:style:1:1> a cat"}, "prompt", "'<lora:style:1:1> a c' is not understood"),
        ({"prompt": "<lora:style:1>"}, "prompt", "it is blank"),
        ({"prompt": "a [1s: b <lora:style:1>]"}, "prompt", "outside the brackets"),
        ({"prompt": "<lora:style:1> a", "loras": [{"name": "style"}]}, "prompt", "use one of them"),
        ({"prompt": "[5s] a deer"}, "prompt", "write <lora:NAME:WEIGHT>, [2s: TEXT] or [2s-4s: TEXT]"),
        ({"prompt": "a [1s: [b] c]"}, "prompt", "is not understood"),
        ({"prompt": "a [2s-1s: b]"}, "prompt", "must end after its start"),
        ({"prompt": "a [0s-3s: b] [2s: c]"}, "prompt", "before the next text begins"),
        ({"prompt": "a [1s: b] [1.1s: c]"}, "prompts", "two prompts begin with the same section"),
        ({"prompt": "a [9s: b]"}, "prompts", "outside the video"),
        ({"prompt": "a [1s: ]"}, "prompts.0.text", "at least 1"),
        ({"prompt": "a [1s: b]", "prompts": [{"at_s": 2, "text": "c"}]}, "prompt", "use one of them"),
        ({"prompt": "a", "negative_prompt": "b <lora:style:1>"}, "negative_prompt", "in `prompt` only"),
        ({"prompt": "a", "prompts": [{"at_s": 2, "text": "[1s: c]"}]}, "prompts.0.text", "in `prompt` only"),
    ],
)
def test_settings_that_the_farm_would_have_to_guess(
    http: TestClient, fields: dict[str, object], param: str, words: str
) -> None:
    """The answer names the field, and nothing is stored."""
    answer = http.post("/v1/videos", json={"seconds": 4.8, **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param), answer.text
    assert words in answer.json()["detail"]
    assert http.get("/v1/videos").json()["data"] == []


def test_a_remix_replaces_what_its_prompt_sets(http: TestClient) -> None:
    """Settings in a new prompt count as sent fields; without any, the other video's stay."""
    first = ask(http, "<lora:style:0.5> a cat [2.4s: it waves]")
    path = f"/v1/videos/{first['id']}/remix"
    assert loras(ask(http, "<lora:people/ann> a dog", path)) == [("people/ann", 1.0)]
    assert prompts(ask(http, "a dog [1.2s: it barks]", path)) == [(-1, "a dog"), (1.2, "it barks")]
    plain = ask(http, "a dog", path)
    assert (loras(plain), prompts(plain)) == ([("style", 0.5)], [(-1, "a dog"), (2.4, "it waves")])


def test_an_edit_changes_the_text_only(http: TestClient) -> None:
    """PATCH has no LoRAs and no times, so it rejects a prompt that holds them."""
    video = ask(http, "a cat")
    answer = http.patch(f"/v1/videos/{video['id']}", json={"prompt": "a dog <lora:style:1>"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "prompt")


def test_the_idempotency_key_sees_the_request(http: TestClient) -> None:
    """The request that is sent again is the one that was settled."""
    headers, body = {"Idempotency-Key": "k"}, {"prompt": "<lora:style> a [1s: b]", "seconds": 4.8}
    first, again = (http.post("/v1/videos", json=body, headers=headers).json() for _ in range(2))
    assert first["id"] == again["id"]
