"""Attacks on every endpoint of the API; the tests cover new endpoints by themselves."""

from __future__ import annotations

import ast
import base64
import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from deploy.planner import EngineMedia, EnginePlanner
from farm.errors import Unavailable
from farm.ingress import create_app
from farm.intake.images import Room, clean_image
from farm.jobs import Jobs
from farm.keys import new_key
from farm.settings import FarmSettings
from tests.imports import ROOT
from tests.unit.conftest import DispatcherHere

ALICE, ALICES_ENTRY = new_key("alice")
BOB, BOBS_ENTRY = new_key("bob")
KEYS = f"{ALICES_ENTRY},{BOBS_ENTRY}"
OPEN_TO_ALL = {"/healthz", "/readyz"}  #: they tell whether the farm works, and nothing of anybody's


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keyed(jobs: Jobs, door: DispatcherHere) -> Iterator[TestClient]:
    """A farm with two keys, called from another machine."""
    app = create_app(
        settings=FarmSettings(model="tiny", api_keys=KEYS),
        jobs=jobs,
        door=door,
        planner=EnginePlanner(),
        media=EngineMedia(),
    )
    with TestClient(app, base_url="http://farm.example", client=("203.0.113.9", 5)) as client:
        yield client


def routes(client: TestClient) -> list[tuple[str, str]]:
    """Every method and path of /openapi.json."""
    paths = client.app.openapi()["paths"]  # type: ignore[attr-defined]
    return [(method.upper(), path) for path, calls in paths.items() for method in calls if path not in OPEN_TO_ALL]


def ask(client: TestClient, method: str, path: str, key: str | None) -> Any:
    """A request that the endpoint accepts from the right owner."""
    body = {"to": "first"} if path.endswith("/move") else {"prompt": "a dog"}
    return client.request(
        method, path, headers=bearer(key) if key else {}, json=body if method in {"POST", "PATCH", "PUT"} else None
    )


def submitted(client: TestClient, png: bytes) -> str:
    """A video of Alice's."""
    made = client.post(
        "/v1/videos", headers=bearer(ALICE), data={"prompt": "a cat"}, files={"input_reference": ("a.png", png)}
    )
    assert made.status_code == 200, made.text
    video: str = made.json()["id"]
    return video


def test_every_endpoint_wants_a_key(keyed: TestClient) -> None:
    """Without a key, only the two health checks answer; an existing id gets the same answer as any other."""
    asked = routes(keyed)
    assert len(asked) > 15
    for method, path in asked:
        answer = ask(keyed, method, path.replace("{video_id}", "video_" + "0" * 32), None)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), (method, path)
    assert [keyed.get(path).status_code for path in sorted(OPEN_TO_ALL)] == [200, 200]


def test_anothers_video_is_not_there_for_any_endpoint(keyed: TestClient, png: bytes, jobs: Jobs) -> None:
    """For Alice's video, Bob gets exactly the answer for an unknown id; the video does not change."""
    video, never = submitted(keyed, png), "video_" + "0" * 32
    before = jobs.get(video, owner="alice")
    with_ids = [(method, path) for method, path in routes(keyed) if "{video_id}" in path]
    assert len(with_ids) > 9
    for method, path in with_ids:
        answers = [ask(keyed, method, path.replace("{video_id}", id_), BOB) for id_ in (video, never)]
        assert [answer.status_code for answer in answers] == [404, 404], (method, path, answers[0].text)
        assert answers[0].text.replace(video, "ID") == answers[1].text.replace(never, "ID")
    for body in ({"prompt": "a dog", "video": {"id": video}}, {"prompt": "a dog", "video": {"id": never}}):
        assert keyed.post("/v1/videos/extensions", headers=bearer(BOB), json=body).status_code == 404
    assert keyed.get("/v1/videos", headers=bearer(BOB), params={"after": video}).status_code == 404
    assert keyed.get("/v1/videos", headers=bearer(BOB)).json()["data"] == []
    assert jobs.get(video, owner="alice") == before


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=60).filter(lambda text: text.strip("/")))  # slashes alone lead to the list
@example("../../../etc/passwd")
@example("..%2f..%2fetc%2fpasswd")
@example("video_" + "0" * 32 + "/../../alice")
@example("video_" + "0" * 31 + "\n")
@example("video_" + "٣" * 32)
@example("\0")
def test_ids_never_meet_a_path(http: TestClient, text: str) -> None:
    """A malformed id is an unknown id. It reaches no file and no other endpoint, and causes no internal error."""
    for method, path in routes(http):
        if "{" in path:
            answer = ask(http, method, path.replace("{video_id}", quote(text, safe="")), None)
            assert answer.status_code in {404, 405, 422}, (method, path, text, answer.text)
    assert http.get("/v1/videos", params={"after": text}).status_code == 404


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "x\0y", "..", "a\\b"])
def test_names_of_models_and_loras_never_meet_a_path(http: TestClient, png: bytes, name: str) -> None:
    """The farm rejects a name that leaves its folder, and names the field."""
    for field, body in (("model", {"model": name}), ("loras", {"loras": [{"name": name, "weight": 1.0}]})):
        url = {"image_url": f"data:image/png;base64,{base64.b64encode(png).decode()}"}
        answer = http.post("/v1/videos", json={"prompt": "a", "input_reference": url, **body})
        assert (answer.status_code, answer.json()["errors"][0]["field"][:5]) == (422, field[:5]), answer.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"])
def test_a_farm_without_keys_answers_nobody_behind_a_proxy(http: TestClient, header: str) -> None:
    """A proxy on this machine connects from loopback for every client; without this check the farm would be open."""
    assert http.get("/v1/videos").status_code == 200
    for value in ("127.0.0.1", "for=127.0.0.1", ""):
        answer = http.get("/v1/videos", headers={header: value})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_keys_are_told_to_nobody(keyed: TestClient, png: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """No answer, log line or settings text contains a key or its sha256."""
    caplog.set_level(logging.DEBUG)
    video = submitted(keyed, png)
    texts = [ask(keyed, method, path.replace("{video_id}", video), ALICE).text for method, path in routes(keyed)
             if not path.endswith("/events")]  # fmt: skip
    texts += [keyed.get(path, headers=bearer(ALICE)).text for path in ("/openapi.json", "/docs", "/readyz", "/nowhere")]
    texts += [repr(FarmSettings(api_keys=KEYS, api_key=ALICE)), caplog.text]
    for secret in (ALICE, BOB, ALICES_ENTRY.split(":")[1], BOBS_ENTRY.split(":")[1]):
        assert not any(secret in text for text in texts)


def test_answers_are_never_sniffed_or_framed(http: TestClient) -> None:
    """A browser keeps to the declared content type, and shows an answer in no other page."""
    for path in ("/healthz", "/v1/videos", "/docs", "/nowhere"):
        headers = http.get(path).headers
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY"), path


def test_large_pictures_wait_for_each_other() -> None:
    """The pixels that the process decodes at once stay within the limit for one picture."""
    now, most = 0, 0
    lock = threading.Lock()

    def slow(image: Image.Image) -> Image.Image:
        nonlocal now, most
        with lock:
            now += image.width * image.height
            most = max(most, now)
        shown = image.convert("RGB")
        with lock:
            now -= image.width * image.height
        return shown

    data = io.BytesIO()
    Image.new("RGB", (64, 64)).save(data, "PNG")
    work = [
        threading.Thread(
            target=clean_image, args=(data.getvalue(),), kwargs={"max_pixels": 2 * 64 * 64, "upright_rgb": slow}
        )
        for _ in range(16)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert 0 < most <= 2 * 64 * 64


def test_who_waits_too_long_for_room_is_told() -> None:
    """The answer is 503, and afterwards all room is free again."""
    room = Room(wait_s=0.01)
    with room.taken(8, of=10), pytest.raises(Unavailable, match="ask again"), room.taken(3, of=10):
        pass
    with room.taken(20, of=10):  # alone, anything may: the limit of one picture is another matter
        pass


FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}


SOURCES = [
    path for folder in ("farm", "actors", "framepack_engine", "deploy") for path in ROOT.glob(f"{folder}/**/*.py")
]


def faults(path: Path) -> Iterator[str]:
    """Yield what a module of ours may not do."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {module.split(".")[0], *(alias.name.split(".")[0] for alias in node.names)}
            yield from names & FORBIDDEN
            fetches = names & {"requests", "urllib3", "aiohttp"}
            if module == "urllib.request":  # two of its functions only read the environment's proxies
                fetches = {alias.name for alias in node.names} - {"getproxies", "proxy_bypass"}
            yield from fetches
        if isinstance(node, ast.Call):
            called, options = ast.unparse(node.func), {keyword.arg for keyword in node.keywords}
            if called in {"torch.load", "eval", "exec", "yaml.load", "yaml.unsafe_load"}:
                yield f"{called} in line {node.lineno}"
            if (called.endswith("np.load") or called == "numpy.load") and "allow_pickle" in options:
                yield f"allow_pickle in line {node.lineno}"
            is_weights = called.startswith("getattr(") and called.endswith(".from_pretrained")
            if is_weights and "use_safetensors" not in options:
                yield f"no use_safetensors in line {node.lineno}"


def test_nothing_that_comes_from_outside_is_run() -> None:
    """The code has no pickle (nor torch.load), no eval and only safetensors weights; the ingress fetches no URL."""
    assert {path: found for path in SOURCES if (found := [*faults(path)])} == {}
