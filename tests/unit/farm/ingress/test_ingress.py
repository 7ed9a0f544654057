"""The HTTP API from outside, with a real store, the real dispatcher and a hand-driven worker."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.settings import FarmSettings
from tests.imports import ROOT
from tests.unit.conftest import DispatcherHere, Hand

CAT = (ROOT / "examples" / "cat.jpg").read_bytes()
FILES = {"input_reference": ("cat.jpg", CAT)}


def ask(http: TestClient, /, *, headers: dict[str, str] | None = None, **fields: str) -> dict[str, Any]:
    """Ask for a video of the cat; the farm must accept it."""
    answer = http.post("/v1/videos", data={"prompt": "a cat", **fields}, files=FILES, headers=headers)
    assert answer.status_code == 200, answer.text
    video: dict[str, Any] = answer.json()
    return video


def test_a_form_becomes_a_queued_video(http: TestClient, hand: Hand) -> None:
    """The answer has OpenAI's fields and ours, with model, size and seed settled."""
    video = ask(http, seconds="3", metadata='{"a": [1]}', seed="7")
    assert video["id"].startswith("video_")
    facts = {key: video[key] for key in ("object", "status", "progress", "model", "seconds", "size", "frames", "fps")}
    assert facts == {
        "object": "video",
        "status": "queued",
        "progress": 0,
        "model": "tiny",
        "seconds": "3",
        "size": "160x96",
        "frames": 73,
        "fps": 30,
    }
    assert (video["seed"], video["sections_total"], video["queue_position"]) == (7, 2, 0)
    assert video["request"]["metadata"] == {"a": [1]}
    assert video["request"]["num_inference_steps"] == 25
    assert http.get(f"/v1/videos/{video['id']}").json() == video


def test_every_kind_of_body_asks_for_the_same(http: TestClient, jobs: Jobs) -> None:
    """Multipart, urlencoded, the openai package's brackets and JSON, with files or data: URLs, store the same."""
    url = "data:image/jpeg;base64," + base64.b64encode(CAT).decode()
    fields = {"prompt": "a cat", "seed": "1", "seconds": "2"}
    answers = [
        http.post("/v1/videos", data=fields, files=FILES),
        http.post("/v1/videos", data={**fields, "input_reference": json.dumps({"image_url": url})}),
        http.post("/v1/videos", data={**fields, "input_reference[image_url]": url}),
        http.post("/v1/videos", json={**fields, "seed": 1, "seconds": 2.0, "input_reference": {"image_url": url}}),
        http.post("/v1/videos", content=json.dumps({**fields, "input_reference": url})),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    stored = [jobs.get(answer.json()["id"], owner="local").job for answer in answers]
    assert all(job.request == stored[0].request and job.plan == stored[0].plan for job in stored)
    assert len({job.inputs["start"].sha256 for job in stored}) == 1


def test_a_seed_is_drawn_and_reported(http: TestClient) -> None:
    """Two videos without a seed get different ones."""
    assert ask(http)["seed"] != ask(http)["seed"]


def test_the_stored_picture_is_upright_and_clean(http: TestClient, jobs: Jobs) -> None:
    """The farm turns a photo by its EXIF tag and removes the metadata."""
    photo, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    Image.new("RGB", (200, 100), "navy").save(photo, "JPEG", exif=exif, comment=b"secret")
    answer = http.post("/v1/videos", data={"prompt": "a"}, files={"input_reference": photo.getvalue()})
    artifact = jobs.get(answer.json()["id"], owner="local").job.inputs["start"]
    stored = Image.open(io.BytesIO(jobs.store.get(artifact.key)))
    assert (stored.format, stored.size, stored.mode, stored.info) == ("PNG", (100, 200), "RGB", {})


def test_an_idempotency_key_gives_the_same_video_once(http: TestClient) -> None:
    """The same key and request, in any kind of body, give the same video; another request gives a conflict."""
    key = {"Idempotency-Key": "k1"}
    first = ask(http, headers=key)
    assert ask(http, headers=key)["id"] == first["id"]
    url = "data:image/jpeg;base64," + base64.b64encode(CAT).decode()
    as_json = {"prompt": "a cat", "input_reference": {"image_url": url}}
    assert http.post("/v1/videos", json=as_json, headers=key).json()["id"] == first["id"]
    other = http.post("/v1/videos", data={"prompt": "a dog"}, files=FILES, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert len(http.get("/v1/videos").json()["data"]) == 1


@pytest.mark.parametrize(
    ("size", "fields", "starts"),
    [
        ((1200, 800), {"seconds": "3.6"}, [72, 36, 0]),
        ((800, 1200), {"seconds": "1.2"}, [0]),
        ((32, 900), {"latent_window_size": "3", "seconds": "1.2"}, [24, 12, 0]),
        ((1200, 800), {"loop": "true", "size": "64x64", "seconds": "1"}, [0]),
        ((1200, 800), {"model": "tiny-f1", "seconds": "3.6"}, [0, 36, 72]),
    ],
)
def test_a_dry_run_needs_no_picture(
    http: TestClient, size: tuple[int, int], fields: dict[str, str], starts: list[int], jobs: Jobs
) -> None:
    """The picture's size gives the answer that the picture gives, and nothing is stored."""
    picture = io.BytesIO()
    Image.new("RGB", size).save(picture, "PNG")
    data, path = {"prompt": "a cat", **fields}, "/v1/videos?dry_run=1"
    answer = http.post(path, data=data | {"image_size": f"{size[0]}x{size[1]}"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == http.post(path, data=data, files={"input_reference": picture.getvalue()}).json()
    assert answer.json()["section_starts"] == starts
    assert jobs.store.list("jobs/") == []


def test_a_dry_run_needs_no_keyframes_pictures(http: TestClient) -> None:
    """Where the start image is left out, those of keyframes may be, too; a time after the end is still refused."""
    for at_s, status in ((1.3, 200), (99, 422)):
        data = {"prompt": "a", "image_size": "64x64", "keyframes": f'[{{"at_s": {at_s}, "image": "keyframe_0"}}]'}
        assert http.post("/v1/videos?dry_run=1", data=data).status_code == status


@pytest.mark.parametrize("text", ["0x0", "31x800", "100000x2", "9999x9999", "64", "64x64x64", "-64x64", "640 x 480"])
def test_a_size_that_no_picture_could_have_is_refused(http: TestClient, text: str) -> None:
    """422 names the field, also in JSON as a number or a list."""
    for body in ({"data": {"prompt": "a", "image_size": text}}, {"json": {"prompt": "a", "image_size": [text]}}):
        answer = http.post("/v1/videos?dry_run=1", **body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "image_size")


def test_a_size_stands_for_a_picture_in_dry_runs_alone(http: TestClient) -> None:
    """Without dry_run, or beside a picture, it is refused; a keyframe's picture that no keyframe names, too."""
    for path, files in (("/v1/videos", None), ("/v1/videos?dry_run=1", FILES)):
        answer = http.post(path, data={"prompt": "a cat", "image_size": "64x64"}, files=files)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "image_size")
    answer = http.post(
        "/v1/videos?dry_run=1",
        data={"prompt": "a cat", "image_size": "64x64"},
        files={"keyframe_3": FILES["input_reference"]},
    )
    assert answer.json()["error"]["param"] == "keyframes"


def test_a_dry_run_stores_nothing(http: TestClient, hand: Hand, jobs: Jobs) -> None:
    """The estimate has the exact length and each worker's time."""
    hand.dispatcher.ask(hand.card)
    answer = http.post("/v1/videos?dry_run=1", data={"prompt": "a cat", "seconds": "3"}, files=FILES).json()
    assert (answer["object"], answer["frames"], answer["sections"]) == ("video.estimate", 73, 2)
    worker = answer["workers"][0]
    assert (worker["id"], worker["plan"], worker["fits"]) == ("hand", "all resident", True)
    assert worker["seconds"] > 0
    assert not http.get("/v1/videos").json()["data"]


def test_keyframes_reach_their_sections(http: TestClient, jobs: Jobs) -> None:
    """A keyframe is stored under the section, in generation order, that shows its time; an end image as the end."""
    frames = json.dumps([{"at_s": 0, "image": "keyframe_0"}, {"at_s": 4.5, "image": "keyframe_1"}])
    files: dict[str, Any] = {**FILES, "end_image": CAT, "keyframe_0": CAT, "keyframe_1": CAT}
    video = http.post("/v1/videos", data={"prompt": "a", "seconds": "4.8", "keyframes": frames}, files=files).json()
    job = jobs.get(video["id"], owner="local").job
    assert video["sections_total"] == 4
    assert set(job.inputs) == {"start", "end", "keyframe_3", "keyframe_0"}


def test_pages_follow_each_other(http: TestClient) -> None:
    """The list is newest first; `after` starts behind an id; has_more is right."""
    ids = [ask(http, name=str(number))["id"] for number in range(3)]
    page = http.get("/v1/videos?limit=2").json()
    assert (page["object"], page["has_more"], page["last_id"]) == ("list", True, page["data"][1]["id"])
    rest = http.get(f"/v1/videos?limit=2&after={page['last_id']}").json()
    assert sorted(video["id"] for video in page["data"] + rest["data"]) == sorted(ids)
    assert not rest["has_more"]
    assert http.get("/v1/videos?status=completed").json()["data"] == []
    assert (
        http.post(f"/v1/videos/{ids[0]}/pause").status_code
        == http.post(f"/v1/videos/{ids[1]}/cancel").status_code
        == 200
    )
    still_open = http.get("/v1/videos?status=open").json()["data"]
    assert [(video["id"], video["status"]) for video in still_open] == [(ids[2], "queued"), (ids[0], "paused")]
    assert len(http.get("/v1/videos?status=&after=").json()["data"]) == 3  # as a form sends what was left empty


def test_wishes_change_the_state_or_conflict(http: TestClient, hand: Hand) -> None:
    """Pause, resume, cancel, retry and delete work, and answer 409 if the state forbids them."""
    path = f"/v1/videos/{ask(http)['id']}"

    def wish(name: str) -> tuple[int, str]:
        answer = http.post(f"{path}/{name}")
        return answer.status_code, answer.json().get("status") if answer.is_success else answer.json()["code"]

    assert [wish(name) for name in ("resume", "pause", "pause", "resume", "cancel", "pause", "retry")] == [
        (409, "conflict"),
        (200, "paused"),
        (409, "conflict"),
        (200, "queued"),
        (200, "cancelled"),
        (409, "conflict"),
        (200, "queued"),
    ]
    assert http.delete(path).status_code == 409
    hand.finish()
    assert http.get(path).json()["status"] == "completed"
    assert wish("cancel") == (409, "conflict")
    assert http.delete(path).json()["deleted"] is True
    assert http.get(path).status_code == 404


def test_progress_counts_steps(http: TestClient, hand: Hand) -> None:
    """Between ledger entries, the dispatcher's memory supplies stage and step."""
    path = f"/v1/videos/{ask(http, seconds='3')['id']}"
    hand.commit(hand.take(), conditioning=b"c")
    order = hand.take()
    hand.report(order, step=5)
    early = http.get(path)
    hand.report(order, step=20)
    late = http.get(path)
    assert early.headers["openai-poll-after-ms"]
    video = late.json()
    assert (video["stage"], video["step"], video["worker"], video["status"]) == ("section", 20, "hand", "in_progress")
    assert 0 < early.json()["progress"] < video["progress"] < 100
    worker = http.get("/v1/workers").json()["data"][0]
    assert (worker["state"], worker["video"], worker["order"]) == ("busy", video["id"], "section/0")


def test_without_its_dispatcher_the_ledger_still_answers(http: TestClient, door: DispatcherHere) -> None:
    """The farm accepts, shows and cancels videos; only the dispatcher's own knowledge is missing."""
    door.answers = False
    video = ask(http)
    assert video["status"] == "queued"
    assert http.post(f"/v1/videos/{video['id']}/cancel").json()["status"] == "cancelled"
    assert http.get("/healthz").status_code == 200
    for path in ("/readyz", "/v1/workers"):
        answer = http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_models_are_honest_and_the_farm_is_ready(http: TestClient) -> None:
    """Each model says what to expect of it."""
    models = {model["id"]: model for model in http.get("/v1/models").json()["data"]}
    assert {"framepack-i2v", "framepack-f1", "tiny", "tiny-f1"} <= set(models)
    assert "noise" in models["tiny"]["description"]
    assert http.get("/readyz").json()["status"] == "ready"


def test_the_description_lists_every_field(http: TestClient) -> None:
    """OpenAPI has the fields of the request, each with a sentence, in a document that holds together."""
    schema = http.get("/openapi.json").json()
    contents = schema["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    fields = contents["multipart/form-data"]["schema"]["properties"]
    assert {"prompt", "seconds", "size", "loras", "metadata", "input_reference"} <= set(fields)
    assert all(field.get("description") for field in fields.values())
    names = {ref.rpartition("/")[2] for ref in _refs(schema)}
    assert names <= set(schema["components"]["schemas"])
    assert http.get("/docs").status_code == 200


def test_strangers_are_turned_away(jobs: Jobs, door: DispatcherHere) -> None:
    """Without API keys, only this machine has access; /healthz is public."""
    app = create_app(settings=FarmSettings(), jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("192.0.2.7", 4000)) as stranger:
        answer = stranger.get("/v1/videos")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert stranger.get("/healthz").status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_has_many_addresses(jobs: Jobs, door: DispatcherHere, address: str) -> None:
    """IPv4, IPv6 and IPv4 inside IPv6 are all loopback."""
    app = create_app(settings=FarmSettings(), jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    with TestClient(app, base_url="http://127.0.0.1:8000", client=(address, 4000)) as client:
        assert client.get("/v1/videos").status_code == 200


def _refs(node: object) -> list[str]:
    """Every $ref below `node`."""
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in _refs(value)]
    return [ref for value in node for ref in _refs(value)] if isinstance(node, list) else []
