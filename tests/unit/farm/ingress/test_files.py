"""Pictures that are sent once and named by id, as OpenAI's users write it, and what the farm refuses of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.keys import new_key
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere

MISSING = f"file-{'0' * 64}"


def picture(shade: str = "teal", kind: str = "PNG") -> bytes:
    """A picture of one colour, 64x48 px."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), shade).save(out, kind)
    return out.getvalue()


def sent(http: TestClient, data: bytes, name: str = "cat.png", **fields: Any) -> Any:
    """The file object of a picture that the farm must take."""
    answer = http.post("/v1/files", files={"file": (name, data)}, data={"purpose": "vision", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(http: TestClient, body: dict[str, Any]) -> Any:
    """The answer to a request in JSON."""
    return http.post("/v1/videos", json={"prompt": "a cat", "seconds": "1", "model": "tiny", **body})


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")  # of OpenAI's own server
def test_openais_package_keeps_names_lists_and_erases_files(farm_url: str, jobs: Jobs) -> None:
    """create, retrieve, content, list page after page, delete; and a file in place of an image."""
    with openai.OpenAI(base_url=f"{farm_url}/v1", api_key="any", max_retries=0) as client:
        files = [client.files.create(file=(f"{c}.png", picture(c)), purpose="vision") for c in ("red", "blue", "teal")]
        first = files[0]
        assert (first.object, first.filename, first.purpose) == ("file", "red.png", "vision")
        assert first.bytes == len(picture("red"))
        assert first.expires_at == first.created_at + 24 * 3600
        assert client.files.retrieve(first.id) == first
        assert client.files.content(first.id).read() == picture("red")
        assert [file.id for file in client.files.list(limit=1)] == [file.id for file in files[::-1]]
        assert [file.id for file in client.files.list(limit=2, order="asc")] == [file.id for file in files]
        assert [file.id for file in client.files.list(purpose="batch")] == []
        named = {"input_reference": {"file_id": first.id}, "end_image": {"file_id": files[1].id}}
        video = client.videos.create(
            prompt="a cat", extra_body={"model": "tiny", **named}
        )  # 3.54 itself takes no dicts
        assert client.files.delete(first.id).deleted is True
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(first.id)
    inputs = jobs.get(video.id, owner="local").job.inputs
    assert set(inputs) == {"start", "end"}  # the video's own copies
    with Image.open(io.BytesIO(jobs.store.get(inputs["start"].key))) as start:
        assert start.getpixel((0, 0)) == (255, 0, 0)


def test_the_same_bytes_are_the_same_file(http: TestClient, jobs: Jobs) -> None:
    """It is kept longer and takes the newer name; the farm keeps one object."""
    first = sent(http, picture(), "a.png", **{"expires_after[seconds]": "60", "expires_after[anchor]": "created_at"})
    again = sent(http, picture(), "b/c\\d.png", purpose="user_data")
    assert (again["id"], again["created_at"], again["filename"]) == (first["id"], first["created_at"], "d.png")
    assert first["expires_at"] == first["created_at"] + 60
    assert again["expires_at"] >= again["created_at"] + 24 * 3600
    assert http.get(f"/v1/files/{first['id']}").json() == again
    assert len(jobs.store.list("files/")) == len(http.get("/v1/files").json()["data"]) == 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_content_is_what_was_sent(http: TestClient, kind: str) -> None:
    """With its type, in ranges, and not again for a browser that has it."""
    data = picture(kind=kind)
    file = sent(http, data)
    answer = http.get(f"/v1/files/{file['id']}/content")
    assert (answer.content, answer.headers["content-type"]) == (data, f"image/{kind.lower()}")
    assert (file["width"], file["height"]) == (64, 48)
    assert http.get(answer.url, headers={"Range": "bytes=0-3"}).content == data[:4]
    assert http.get(answer.url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert http.head(answer.url).headers["content-length"] == str(len(data))


def test_a_file_is_named_wherever_an_image_is_sent(http: TestClient, jobs: Jobs) -> None:
    """In JSON, in a form as JSON text or in brackets, as a keyframe, in a remix; the fingerprint is the upload's."""
    start, end = (sent(http, picture(shade))["id"] for shade in ("red", "blue"))
    key = {"Idempotency-Key": "k"}
    fields = {"prompt": "a", "model": "tiny", "seed": "1"}
    upload = http.post("/v1/videos", data=fields, files={"input_reference": ("x", picture("red"))}, headers=key)
    for named in ({"input_reference[file_id]": start}, {"input_reference": f'{{"file_id": "{start}"}}'}):
        answer = http.post("/v1/videos", data=fields | named, headers=key)
        assert answer.json()["id"] == upload.json()["id"], answer.text
    keyframe = {"keyframes": [{"at_s": 0.5, "image": "keyframe_0"}], "keyframe_0": {"file_id": end}}
    video = asked(http, {"input_reference": {"file_id": start}, **keyframe}).json()["id"]
    assert any(name.startswith("keyframe_") for name in jobs.get(video, owner="local").job.inputs)
    remix = http.post(f"/v1/videos/{video}/remix", json={"input_reference": {"file_id": end}})
    inputs = jobs.get(remix.json()["id"], owner="local").job.inputs
    assert inputs["start"].sha256 != jobs.get(video, owner="local").job.inputs["start"].sha256


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"file_id": MISSING}, "no such file"),
        ({"file_id": "file-1"}, "no such file"),
        ({"file_id": "../../etc/passwd"}, "no such file"),
        ({"file_id": 7}, "file_id"),
        ({"file_id": MISSING, "image_url": "data:,"}, "nothing else"),
        ("file-1", "file_id"),
    ],
)
def test_a_file_that_is_not_there_is_named_by_its_field(http: TestClient, value: object, said: str) -> None:
    """Nothing is stored."""
    answer = asked(http, {"input_reference": value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "input_reference")
    assert said in answer.text
    assert http.get("/v1/videos").json()["data"] == []


def test_what_is_no_picture_is_refused_like_any_image(http: TestClient, jobs: Jobs) -> None:
    """With the codes of a request for a video; nothing is stored."""
    for data, code in (
        (b"{}", "unsupported_image"),
        (picture()[:80], "unsupported_image"),
        (b"\0" * (5 << 20), "too_large"),
    ):
        answer = http.post("/v1/files", files={"file": ("a", data)}, data={"purpose": "vision"})
        assert answer.json()["code"] == code
    for fields, name in (({"purpose": "a b"}, "purpose"), ({"expires_after": "1"}, "expires_after"), ({"x": "1"}, "x")):
        answer = http.post("/v1/files", files={"file": ("a", picture())}, data=fields)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, name)
    assert http.post("/v1/files", data={"purpose": "vision"}).json()["error"]["param"] == "file"
    assert http.patch("/v1/videos/any", json={"input_reference": {"file_id": MISSING}}).status_code == 422
    assert http.get("/v1/files", params={"after": MISSING}).status_code == 404
    assert http.delete(f"/v1/files/{MISSING}").status_code == 404
    assert jobs.store.list("files/") == []


def test_one_request_names_files_of_a_limited_size_together(http: TestClient) -> None:
    """As much as an upload: also with a picture in the body, and one file may stand in several fields."""
    one, other = (sent(http, noise(seed))["id"] for seed in range(2))
    small = {"image_url": "data:image/bmp;base64," + base64.b64encode(noise(2)[: 1 << 20]).decode()}
    for end in ({"file_id": other}, small):
        answer = asked(http, {"input_reference": {"file_id": one}, "end_image": end})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert "FARM_MAX_UPLOAD_MB" in answer.json()["detail"]
    assert asked(http, {"input_reference": {"file_id": one}, "end_image": {"file_id": one}}).status_code == 200


def noise(seed: int) -> bytes:
    """A bitmap of nearly 4 MiB."""
    out = io.BytesIO()
    Image.new("RGB", (1180, 1180), (seed, 0, 0)).save(out, "BMP")
    return out.getvalue()


@pytest.fixture
def owners(jobs: Jobs, door: DispatcherHere) -> Iterator[tuple[TestClient, TestClient]]:
    """Two owners of one farm, each with a key."""
    (ann, of_ann), (bob, of_bob) = new_key("ann"), new_key("bob")
    settings = FarmSettings(model="tiny", api_keys=f"{of_ann},{of_bob}")
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    first, second = (TestClient(app, headers={"Authorization": f"Bearer {key}"}) for key in (ann, bob))
    with first, second:
        yield first, second


def test_another_owners_file_is_not_there(owners: tuple[TestClient, TestClient]) -> None:
    """404, and 422 in a request; the same bytes are a file of each owner's own."""
    ann, bob = owners
    file = sent(ann, picture())["id"]
    for path in (f"/v1/files/{file}", f"/v1/files/{file}/content"):
        assert (ann.get(path).status_code, bob.get(path).status_code) == (200, 404)
    assert bob.delete(f"/v1/files/{file}").status_code == 404
    assert asked(bob, {"input_reference": {"file_id": file}}).status_code == 422
    assert asked(ann, {"input_reference": {"file_id": file}}).status_code == 200
    assert bob.get("/v1/files").json()["data"] == []
    assert sent(bob, picture())["id"] == file
    assert ann.delete(f"/v1/files/{file}").json() == {"id": file, "object": "file", "deleted": True}
    assert bob.get(f"/v1/files/{file}").status_code == 200
