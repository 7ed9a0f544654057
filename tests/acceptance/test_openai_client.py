"""The official openai package against a real farm: every call of its videos that maps to ours, unchanged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import openai
import pytest
from openai.types import VideoSeconds, VideoSize
from PIL import Image

from tests.farm_process import FarmProcess

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),  # of OpenAI's own server
]
FEW = {"num_inference_steps": 2, "latent_window_size": 2}  # fields beyond OpenAI's travel in extra_body


@pytest.fixture
def client(shared_farm: FarmProcess) -> Iterator[openai.OpenAI]:
    """The package's own client; the farm has no keys, so any will do."""
    with openai.OpenAI(base_url=f"{shared_farm.http.base_url}/v1", api_key="any", max_retries=0) as client:
        yield client


def frames(mp4: bytes) -> int:
    """How many frames a file has."""
    with av.open(io.BytesIO(mp4), mode="r") as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_video_from_create_to_delete(client: openai.OpenAI, picture: Path, tmp_path: Path) -> None:
    """create_and_poll, retrieve, list, download_content, remix, edit, extend, delete: as OpenAI's users write them."""
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
    assert Image.open(tmp_path / "sheet.png").format == "PNG"

    remix = videos.remix(video.id, prompt="a dog looks up", extra_body={"seed": 8})
    edit = videos.edit(prompt="a bird looks up", video={"id": video.id})
    assert [made.remixed_from_video_id for made in (remix, edit)] == [video.id, video.id]
    longer = videos.extend(prompt="it looks down", seconds=second, video={"id": video.id}, extra_body=FEW)
    made = [videos.poll(each.id, poll_interval_ms=100) for each in (remix, edit, longer)]
    assert [each.status for each in made] == ["completed"] * 3
    assert made[2].seconds == f"{len_s(content) + 1:g}"

    listed = [each.id for each in videos.list(limit=1)]  # the package fetches page after page
    assert listed.index(longer.id) < listed.index(edit.id) < listed.index(remix.id) < listed.index(video.id)
    for each in (video, *made):
        assert videos.delete(each.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        videos.retrieve(video.id)


def len_s(mp4: bytes) -> float:
    """A file's length at 30 frames a second."""
    return frames(mp4) / 30


def test_a_batch_is_a_video_to_it(client: openai.OpenAI, picture: Path) -> None:
    """The answer to n=2 reads as its first video; what is ours is in the extra fields."""
    video = client.videos.create(prompt="a cat", input_reference=picture, extra_body={**FEW, "n": 2})
    batch = (video.model_extra or {})["batch"]
    assert (video.id, len(batch["videos"])) == (batch["videos"][0], 2)
    for each in batch["videos"]:
        client.post(f"/videos/{each}/cancel", cast_to=object)
        client.videos.delete(each)


def test_refusals_are_its_own_exceptions(client: openai.OpenAI, picture: Path) -> None:
    """With the code and the field that a program needs."""
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
