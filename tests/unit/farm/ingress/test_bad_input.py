"""Bad requests: each gets its problem, the farm stores nothing, and it logs no crash."""

from __future__ import annotations

import base64
import json
import logging
import struct
import zlib
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farm.store import FolderStore
from tests.imports import ROOT

CAT = (ROOT / "examples" / "cat.jpg").read_bytes()


def png(width: int, height: int, *, rows: int | None = None) -> bytes:
    """A black PNG with one bit a pixel. With fewer `rows` than its height it is truncated."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    press, row = zlib.compressobj(1), bytes(1 + -(-width // 8))
    packed = b"".join(press.compress(row) for _ in range(height if rows is None else rows)) + press.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def form(image: bytes | None = CAT, /, *, name: str = "photo.jpg", **fields: str) -> dict[str, Any]:
    """A multipart request."""
    files = {} if image is None else {"input_reference": (name, image)}
    return {"data": {"prompt": "a cat", **fields}, "files": files}


def body(**fields: object) -> dict[str, Any]:
    """A JSON request with a good image."""
    url = "data:image/jpeg;base64," + base64.b64encode(CAT).decode()
    return {"content": json.dumps({"prompt": "a cat", "input_reference": {"image_url": url}, **fields}).encode()}


def raw(content: bytes, kind: str = "application/json") -> dict[str, Any]:
    """A raw body."""
    return {"content": content, "headers": {"content-type": kind}}


CASES: dict[str, tuple[dict[str, Any], int, str, str | None]] = {
    "no image": (form(None), 422, "invalid_request", "input_reference"),
    "a text file named .jpg": (form(b"I am not a picture"), 415, "unsupported_image", "input_reference"),
    "an empty file": (form(b""), 415, "unsupported_image", "input_reference"),
    "a truncated JPEG": (form(CAT[: len(CAT) // 2]), 415, "unsupported_image", "input_reference"),
    "a JPEG cut in its header": (form(CAT[:200]), 415, "unsupported_image", "input_reference"),
    "1x1": (form(png(1, 1)), 415, "unsupported_image", "input_reference"),
    "one side under 32": (form(png(640, 31)), 415, "unsupported_image", "input_reference"),
    "30000x30000": (form(png(30_000, 30_000)), 413, "too_large", "input_reference"),
    "30000x30000 in a header": (form(png(30_000, 30_000, rows=1)), 413, "too_large", "input_reference"),
    "just over FARM_MAX_PIXELS": (form(png(8001, 8000, rows=1)), 413, "too_large", "input_reference"),
    "a truncated PNG": (form(png(512, 512)[:-30]), 415, "unsupported_image", "input_reference"),
    "more bytes than FARM_MAX_UPLOAD_MB": (form(CAT + bytes(5 << 20)), 413, "too_large", None),
    "an unknown field": (form(fps="24"), 422, "invalid_request", "fps"),
    "an unknown file": ({**form(), "files": {"mask": ("m.png", CAT)}}, 422, "invalid_request", "mask"),
    "a field sent as a file": ({**form(), "files": {"seed": ("s", b"1")}}, 422, "invalid_request", "seed"),
    "seconds=-1": (form(seconds="-1"), 422, "invalid_request", "seconds"),
    "seconds as a word": (form(seconds="five"), 422, "invalid_request", "seconds"),
    "seconds=NaN": (form(seconds="NaN"), 422, "invalid_request", "seconds"),
    "seconds too long": (form(seconds="601"), 422, "invalid_request", "seconds"),
    "a size that is none": (form(size="wide"), 422, "invalid_request", "size"),
    "a size off the grid": (form(size="641x480"), 422, "invalid_request", "size"),
    "a size too big": (form(size="4096x64"), 422, "invalid_request", "size"),
    "an empty prompt": (form(prompt=""), 422, "invalid_request", "prompt"),
    "a long prompt": (form(prompt="a" * 4001), 422, "invalid_request", "prompt"),
    "a field twice": ({**form(), "data": {"prompt": ["a", "b"]}}, 422, "invalid_request", "prompt"),
    "no such model": (form(model="sora-2"), 422, "invalid_request", "model"),
    "loras that are no JSON": (form(loras="[{"), 422, "invalid_request", "loras"),
    "a LoRA that is not here": (form(loras='[{"name": "x"}]'), 422, "invalid_request", "loras"),
    "no such preset": (form(preset="waltz"), 422, "invalid_request", "preset"),
    "a timed prompt behind the end": (body(prompts=[{"at_s": 9, "text": "b"}]), 422, "invalid_request", "prompts"),
    "a loop for F1": (body(model="tiny-f1", loop=True), 422, "invalid_request", "loop"),
    "no such attention": (body(attention="eager"), 422, "invalid_request", "attention"),
    "no such cache": (body(cache="magic"), 422, "invalid_request", "cache"),
    "a threshold without a cache": (body(cache_threshold=0.1), 422, "invalid_request", "cache_threshold"),
    "keyframes without their parts": (
        body(keyframes=[{"at_s": 1, "image": "keyframe_0"}]),
        422,
        "invalid_request",
        "keyframes",
    ),
    "an end image for F1": (body(model="tiny-f1", end_image="data:image/png,x"), 422, "invalid_request", "end_image"),
    "an empty body": ({}, 422, "invalid_request", "prompt"),
    "an empty JSON body": (raw(b""), 422, "invalid_request", "prompt"),
    "half a JSON body": (raw(b'{"prompt": "a'), 422, "invalid_request", None),
    "JSON that is no object": (raw(b"[1]"), 422, "invalid_request", None),
    "JSON too deep": (raw(b'{"prompt":' + b"[" * 100_000), 422, "invalid_request", None),
    "JSON that is not UTF-8": (raw(b'{"prompt": "\xff"}'), 422, "invalid_request", None),
    "a prompt in half a surrogate pair": (raw(rb'{"prompt": "\ud800"}'), 422, "invalid_request", "prompt"),
    "a field name in half a surrogate pair": (raw(rb'{"prompt": "a", "\ud800": 1}'), 422, "invalid_request", "body"),
    "a number with 5000 digits": (
        raw(b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}"),
        422,
        "invalid_request",
        "seed",
    ),
    "5000 digits in a form": (form(seed="9" * 5000), 422, "invalid_request", "seed"),
    "5000 digits in a text of a form": (
        form(loras='[{"name": "a", "weight": ' + "9" * 5000 + "}]"),
        422,
        "invalid_request",
        "loras.0.weight",
    ),
    "5000 digits in metadata": (form(metadata='{"a": ' + "9" * 5000 + "}"), 422, "invalid_request", "metadata.a"),
    "seed=-1": (form(seed="-1"), 422, "invalid_request", "seed"),
    "seed=-1 in JSON": (body(seed=-1), 422, "invalid_request", "seed"),
    "no seeds": (form(seeds="[]"), 422, "invalid_request", "seeds"),
    "one LoRA without its list": (form(loras='{"name": "a"}'), 422, "invalid_request", "loras"),
    "a blank prompt": (form(prompt=" \n "), 422, "invalid_request", "prompt"),
    "a blank timed prompt": (body(prompts=[{"at_s": 1, "text": " "}]), 422, "invalid_request", "prompts.0.text"),
    "a deadline that is a word": (
        form(metadata='{"deadline_s": "soon"}'),
        422,
        "invalid_request",
        "metadata.deadline_s",
    ),
    "a deadline in the past": (body(metadata={"deadline_s": -1}), 422, "invalid_request", "metadata.deadline_s"),
    "a deadline of 400 digits": (
        body(metadata={"deadline_s": 10**400}),
        422,
        "invalid_request",
        "metadata.deadline_s",
    ),
    "a NUL in a prompt": (form(prompt="a\0b"), 422, "invalid_request", "prompt"),
    "an escape in a name": (body(name="\x1b[31m"), 422, "invalid_request", "name"),
    "a NUL in a timed prompt": (
        form(prompts=json.dumps([{"at_s": 1, "text": "a\0"}])),
        422,
        "invalid_request",
        "prompts.0.text",
    ),
    "a bell in metadata": (body(metadata={"a": [{"b": "\x07"}]}), 422, "invalid_request", "metadata.a.0.b"),
    "a bell in a key of metadata": (body(metadata={"\x07": 1}), 422, "invalid_request", "metadata"),
    "a form without a boundary": (raw(b"x", "multipart/form-data"), 422, "invalid_request", None),
    "a form that stops short": (
        raw(b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na', "multipart/form-data; boundary=x"),
        422,
        "invalid_request",
        None,
    ),
    "a form without its closing boundary": (
        raw(
            b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na\r\n'
            b'--x\r\nContent-Disposition: form-data; name="seconds"\r\n\r\n3\r\n',
            "multipart/form-data; boundary=x",
        ),
        422,
        "invalid_request",
        None,
    ),
    "another kind of body": (raw(b"a cat", "text/plain"), 422, "invalid_request", None),
    "an address to fetch": (
        body(input_reference={"image_url": "http://127.0.0.1/x.png"}),
        422,
        "invalid_request",
        "input_reference",
    ),
    "a file to read": (body(input_reference="file:///etc/passwd"), 422, "invalid_request", "input_reference"),
    "a file_id": (body(input_reference={"file_id": "file-1"}), 422, "invalid_request", "input_reference"),
    "a data URL that is not base64": (
        body(input_reference="data:image/png;base64,###"),
        422,
        "invalid_request",
        "input_reference",
    ),
}


@pytest.fixture(autouse=True)
def nothing_stored(store: FolderStore, door: object, caplog: pytest.LogCaptureFixture) -> Any:
    """No test of this file changes the store or logs a crash."""
    before = set(store.root.rglob("*"))
    yield
    assert set(store.root.rglob("*")) == before
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("case", CASES)
def test_bad_requests_get_their_problem(http: TestClient, case: str) -> None:
    """The answer has the status, the stable code and the field, in both forms that clients read."""
    send, status, code, field = CASES[case]
    answer = http.post("/v1/videos", **send)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["error"]["code"], problem["error"]["param"]) == (status, code, field)
    assert problem["detail"] == problem["error"]["message"] != ""
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("a number with 5000 digits", "seed: need less than 9223372036854775808"),
        ("5000 digits in a form", "seed: the number has too many digits"),
        ("seed=-1", "seed: -1 is not a seed; leave it out for a random seed"),
        ("no seeds", "seeds: need a list of at least 1; leave the field out for the default"),
        ("one LoRA without its list", "loras: need a JSON list, such as [1, 2]"),
        ("a NUL in a prompt", "prompt: it holds the control character U+0000; send text without it"),
        ("a form without its closing boundary", "the form breaks off: its closing boundary is missing; send it again"),
    ],
)
def test_problems_speak_of_the_field(http: TestClient, case: str, words: str) -> None:
    """No word of Python or of a library reaches the client."""
    assert http.post("/v1/videos", **CASES[case][0]).json()["detail"] == words


@pytest.mark.parametrize(
    "video_id", ["video_" + "0" * 32, "../../etc/passwd", "..%2f..%2fetc", "%00", "a" * 3000, "x\u2028"]
)
@pytest.mark.parametrize("path", ["", "/content", "/events"])
def test_ids_that_name_nothing_are_not_found(http: TestClient, video_id: str, path: str) -> None:
    """An id is a name, never a path."""
    answer = http.get(f"/v1/videos/{video_id}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/videos?limit=0", 422, "invalid_request"),
        ("GET", "/v1/videos?limit=many", 422, "invalid_request"),
        ("GET", "/v1/videos?order=up", 422, "invalid_request"),
        ("GET", "/v1/videos?after=../x", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PUT", "/v1/videos", 405, "method_not_allowed"),
        ("POST", "/v1/videos/characters", 404, "not_found"),
        ("POST", "/v1/videos?dry_run=perhaps", 422, "invalid_request"),
    ],
)
def test_other_calls_that_make_no_sense(http: TestClient, method: str, path: str, status: int, code: str) -> None:
    """The web framework's own errors are problems, too."""
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
