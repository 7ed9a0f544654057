"""Clients of OpenAI's Videos dialect against the real engine: the openai packages for Python and Node, and LiteLLM.

openai for Python makes every call that the farm supports; programs in tests/clients run the other two.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import openai
import pytest
from openai.types import Video, VideoSeconds, VideoSize
from PIL import Image

from tests.engine_worker import working
from tests.imports import ROOT
from tests.unit.conftest import Hand

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")  # of OpenAI's own server
CLIENTS = ROOT / "tests" / "clients"
HAS_NODE = shutil.which("node") is not None and (CLIENTS / "node_modules").is_dir()
FEW = {"num_inference_steps": 2, "latent_window_size": 2}  # fields beyond OpenAI's travel in extra_body


@pytest.fixture
def client(farm_url: str) -> Iterator[openai.OpenAI]:
    """The package's client; a farm without keys accepts any key."""
    with openai.OpenAI(base_url=f"{farm_url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def picture(tmp_path: Path, png: bytes) -> Path:
    """A small picture, as a file."""
    path = tmp_path / "cat.png"
    path.write_bytes(png)
    return path


@pytest.fixture
def engine(hand: Hand, tiny_cache: Path) -> Iterator[None]:
    """A worker with both tiny models that does all orders."""
    with working(hand, tiny_cache):
        yield


def frames(mp4: bytes) -> int:
    """How many frames a file has."""
    with av.open(io.BytesIO(mp4), mode="r") as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.usefixtures("engine")
def test_a_video_from_create_to_delete(client: openai.OpenAI, picture: Path, tmp_path: Path) -> None:
    """create_and_poll, retrieve, list, download_content, remix, extend and delete, as OpenAI's users write them."""
    videos = client.videos
    size, second = cast("VideoSize", "64x64"), cast("VideoSeconds", "1")  # more than the package's types name
    more = {**FEW, "seed": 7}
    video = videos.create_and_poll(
        prompt="a cat looks up", input_reference=picture, seconds=second, size=size, extra_body=more
    )
    assert (video.status, video.progress, video.error, video.size) == ("completed", 100, None, "64x64")
    assert videos.retrieve(video.id) == video
    content = videos.download_content(video.id).read()
    assert frames(content) == getattr(video, "frames")  # noqa: B009 - a field beyond OpenAI's
    sheet = videos.download_content(video.id, variant="spritesheet")
    sheet.write_to_file(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture_of_all:
        assert picture_of_all.format == "PNG"

    remix = videos.remix(video.id, prompt="a dog looks up", extra_body={"seed": 8})
    named = {"prompt": "a bird looks up", "video": {"id": video.id}}  # `edit` itself sends files alone, in 3.54
    edit = client.post("/videos/edits", body=named, cast_to=Video)
    assert [made.remixed_from_video_id for made in (remix, edit)] == [video.id, video.id]
    longer = videos.extend(prompt="it looks down", seconds=second, video=content, extra_body=FEW)
    made = [videos.poll(each.id, poll_interval_ms=100) for each in (remix, edit, longer)]
    assert [each.status for each in made] == ["completed"] * 3
    assert made[2].seconds == f"{len_s(content) + 1:g}"

    listed = [each.id for each in videos.list(limit=1)]  # the package fetches page after page
    assert listed.index(longer.id) < listed.index(edit.id) < listed.index(remix.id) < listed.index(video.id)
    for each in (video, *made):
        assert videos.delete(each.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        videos.retrieve(video.id)
    with pytest.raises(openai.UnprocessableEntityError):
        videos.edit(prompt="a bird looks up", video=content)  # only what the farm made has sections to share


def len_s(mp4: bytes) -> float:
    """A file's length at 30 frames a second."""
    return frames(mp4) / 30


def test_a_batch_is_a_video_to_it(client: openai.OpenAI, picture: Path) -> None:
    """The answer to n=2 reads as its first video; the farm's own values are extra fields."""
    video = client.videos.create(prompt="a cat", input_reference=picture, extra_body={**FEW, "n": 2})
    batch = (video.model_extra or {})["batch"]
    assert (video.id, len(batch["videos"])) == (batch["videos"][0], 2)
    for each in batch["videos"]:
        client.post(f"/videos/{each}/cancel", cast_to=object)
        client.videos.delete(each)


def test_refusals_are_its_own_exceptions(client: openai.OpenAI, picture: Path) -> None:
    """The exception has the code and the field."""
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.videos.create(prompt="a cat", input_reference=picture, seconds=cast("VideoSeconds", "1000"))
    assert (caught.value.code, caught.value.param) == ("invalid_request", "seconds")
    with pytest.raises(openai.NotFoundError):
        client.videos.get_character("char_1")  # Sora's characters are not ours
    video = client.videos.create(prompt="a cat", input_reference=picture, extra_body=FEW)
    with pytest.raises(openai.ConflictError):
        client.videos.download_content(video.id, extra_query={"variant": "latents"})
    client.post(f"/videos/{video.id}/cancel", cast_to=object)
    client.videos.delete(video.id)


def run(*program: str | Path) -> dict[str, Any]:
    """Run a client in a process of its own; return what it printed. It uses no network but the farm's address."""
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(program, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    video, remix = found["video"], found["remix"]
    assert [each["status"] for each in (video, remix)] == ["completed"] * 2
    assert frames(base64.b64decode(found["content"])) == 33
    assert found["listed"] == [remix["id"], video["id"]]
    return found


@pytest.mark.skipif(not HAS_NODE and "TEST_CLIENTS" not in os.environ, reason="needs Node and `make clients`")
@pytest.mark.usefixtures("engine")
def test_openai_for_node(farm_url: str, picture: Path) -> None:
    """Create with a file, poll, download, remix, list page after page, delete; refusals are its own exceptions."""
    found = run("node", CLIENTS / "openai_videos.mjs", farm_url, picture)
    assert found["remix"]["remixed_from_video_id"] == found["video"]["id"]
    assert found["errors"] == [
        ["UnprocessableEntityError", "invalid_request", "seconds"],
        ["NotFoundError", "not_found", None],
    ]
    assert found["deleted"] == [True, True]


@pytest.mark.usefixtures("engine")
def test_litellm(farm_url: str, picture: Path) -> None:
    """Create with a file, poll, download, remix and list; a refusal names the field."""
    found = run(sys.executable, CLIENTS / "litellm_videos.py", farm_url, picture)
    assert "seconds: need at most 600" in found["refused"]
