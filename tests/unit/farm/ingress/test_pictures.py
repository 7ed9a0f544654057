"""Single pictures of a video: its poster, the pictures that were sent, previews by section and frames by time."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from farm.intake.posters import MOST_BYTES, draw, poster_in
from farm.jobs import Jobs, Record
from framepack_engine.frames.video import encode_clip
from tests.unit.conftest import Hand
from tests.unit.farm.ingress.test_ingress import CAT, ask

Accept = Callable[..., Record]
BRIGHT = 240


def fetch(http: TestClient, video_id: str, variant: str, **query: object) -> Any:
    """The answer for one variant."""
    params = {"variant": variant, **{name: str(value) for name, value in query.items()}}
    return http.get(f"/v1/videos/{video_id}/content", params=params)


def picture(answer: Any) -> Image.Image:
    """The picture in a good answer."""
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def level(image: Image.Image) -> float:
    """The mean brightness."""
    return float(np.asarray(image.convert("L")).mean())


def png_of(image: Image.Image) -> bytes:
    """The picture's file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def finish(hand: Hand, *, frames: int, height: int, width: int, thumbnail: bytes | None = None) -> None:
    """Do all of a video; frame n of its mp4 has the brightness 3 n."""
    shades = np.arange(frames, dtype=np.uint8) * 3
    video = encode_clip(np.broadcast_to(shades[:, None, None, None], (frames, height, width, 3)), crf=4)
    hand.commit(hand.take(), conditioning=b"c")
    hand.commit(hand.take(), section=b"s", preview=b"preview 0")
    hand.commit(hand.take(), section=b"s", preview=b"preview 1")
    hand.commit(hand.take(), clip=b"clip")
    hand.commit(hand.take(), video=video, **({"thumbnail": thumbnail} if thumbnail else {}))


def test_a_poster_is_there_from_acceptance_on(http: TestClient, jobs: Jobs) -> None:
    """It is the start image, cut as the video is; the POST stored no further object for it."""
    video = ask(http, seconds="1")
    facts, answer = video["poster"], fetch(http, video["id"], "poster")
    shown = picture(answer)
    assert (shown.format, shown.size, answer.headers["content-type"]) == ("WEBP", (160, 96), "image/webp")
    assert (facts["width"], facts["height"], f'"{facts["etag"]}"') == (160, 96, answer.headers["etag"])
    cat = Image.open(io.BytesIO(CAT))
    assert abs(level(shown) - level(cat)) < 8
    assert len(jobs.store.list(f"jobs/{video['id']}/inputs/")) == 1
    assert poster_in(jobs.store.get(f"jobs/{video['id']}/inputs/start.png")) == answer.content
    assert http.get("/v1/videos").json()["data"][0]["poster"] == facts


def test_a_named_poster_is_kept_for_a_year(http: TestClient) -> None:
    """With its ETag in the address it is immutable; without, or with another one, the client asks again."""
    video = ask(http, seconds="1")
    etag = video["poster"]["etag"]
    assert "immutable" in fetch(http, video["id"], "poster", v=etag).headers["cache-control"]
    for query in ({}, {"v": "0123"}):
        assert fetch(http, video["id"], "poster", **query).headers["cache-control"] == "private, no-cache"
    path = f"/v1/videos/{video['id']}/content?variant=poster"
    again = http.get(path, headers={"If-None-Match": f'"{etag}"'})
    assert (again.status_code, again.content) == (304, b"")
    whole = http.get(path).content
    assert http.get(path, headers={"Range": "bytes=4-9"}).content == whole[4:10]
    assert http.head(path).headers["content-length"] == str(len(whole))


def test_a_stored_file_is_kept_under_its_etag_as_well(http: TestClient) -> None:
    """`v` is for every variant."""
    video = ask(http, seconds="1")
    etag = fetch(http, video["id"], "start").headers["etag"].strip('"')
    assert "immutable" in fetch(http, video["id"], "start", v=etag).headers["cache-control"]


def test_videos_of_earlier_versions_have_posters(http: TestClient, accept: Accept, png: bytes) -> None:
    """Their stored start image holds none, so the farm draws it on demand."""
    record = accept()
    assert poster_in(png) is None
    shown = picture(fetch(http, record.job.id, "poster"))
    assert (shown.format, shown.size) == ("WEBP", (128, 96))
    assert shown.convert("RGB").getpixel((60, 50)) == pytest.approx((0, 128, 128), abs=6)


def test_a_poster_is_small_even_of_noise(http: TestClient) -> None:
    """24 KB at most, longest side 320 px, for a large video of a picture that does not compress."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8))
    fields = {"prompt": "noise", "seconds": "1", "size": "640x640"}
    answer = http.post("/v1/videos", data=fields, files={"input_reference": ("n.png", png_of(noise))})
    assert answer.json()["poster"]["width"] == answer.json()["poster"]["height"] == 320
    assert len(fetch(http, answer.json()["id"], "poster").content) <= MOST_BYTES


def test_text_alone_has_a_card(http: TestClient) -> None:
    """An F1 video without a picture has a plain card of its shape."""
    answer = http.post("/v1/videos", data={"prompt": "a cat", "model": "tiny-f1", "seconds": "1", "size": "128x64"})
    video = answer.json()
    shown = picture(fetch(http, video["id"], "poster")).convert("RGB")
    assert shown.size == (128, 64) == (video["poster"]["width"], video["poster"]["height"])
    assert len(set(shown.get_flattened_data())) == 1


def test_the_end_changes_the_poster(http: TestClient, accept: Accept, hand: Hand) -> None:
    """A finished video's poster comes from the video, under another ETag; the old address is no longer kept."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    before = http.get(f"/v1/videos/{record.job.id}").json()["poster"]
    bright = png_of(Image.new("RGB", (480, 360), (BRIGHT, BRIGHT, BRIGHT)))
    finish(hand, frames=2, height=96, width=128, thumbnail=bright)
    after = http.get(f"/v1/videos/{record.job.id}").json()["poster"]
    assert after["etag"] != before["etag"]
    answer = fetch(http, record.job.id, "poster", v=before["etag"])
    assert (answer.headers["etag"], answer.headers["cache-control"]) == (f'"{after["etag"]}"', "private, no-cache")
    assert level(picture(answer)) == pytest.approx(BRIGHT, abs=3)


def test_what_was_sent_comes_back_clean(http: TestClient, jobs: Jobs) -> None:
    """Start, end and keyframes by the names of the form's parts; a name without a picture is a bad request."""
    pictures = {name: png_of(Image.new("RGB", (160, 96), shade)) for name, shade in SENT.items()}
    keyframes = json.dumps([{"at_s": 1.5, "image": "keyframe_7"}])
    answer = http.post(
        "/v1/videos",
        data={"prompt": "a cat", "seconds": "3", "keyframes": keyframes},
        files={name: (f"{name}.png", data) for name, data in pictures.items()},
    )
    video_id = answer.json()["id"]
    for variant, part in {"start": "input_reference", "end": "end_image", "keyframe_7": "keyframe_7"}.items():
        sent = fetch(http, video_id, variant)
        assert level(picture(sent)) == level(Image.new("RGB", (1, 1), SENT[part]))
        assert sent.headers["content-type"] == "image/png"
    for variant in ("keyframe_0", "keyframe_1"):  # of a section, not of a part
        assert fetch(http, video_id, variant).json()["errors"][0]["field"] == "variant"
    assert fetch(http, ask(http, seconds="1")["id"], "end").status_code == 422


SENT = {"input_reference": "teal", "end_image": "navy", "keyframe_7": "white"}


def test_each_finished_section_has_its_preview(http: TestClient, accept: Accept, hand: Hand) -> None:
    """`section` chooses one; without it the newest comes, as before."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    hand.commit(hand.take(), section=b"s", preview=b"preview 0")
    assert fetch(http, record.job.id, "preview", section=1).json()["code"] == "not_ready"
    hand.commit(hand.take(), section=b"s", preview=b"preview 1")
    assert fetch(http, record.job.id, "preview").content == b"preview 1"
    assert fetch(http, record.job.id, "preview", section=0).content == b"preview 0"
    for query in ({"variant": "preview", "section": 2}, {"variant": "video", "section": 0}):
        assert fetch(http, record.job.id, **query).json()["errors"][0]["field"] == "section"  # type: ignore[arg-type]


@pytest.fixture
def graded(accept: Accept, hand: Hand) -> str:
    """A finished video; frame n of its 73 has the brightness 3 n."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    finish(hand, frames=73, height=96, width=128)
    return record.job.id


@pytest.mark.parametrize(("at_s", "number"), [("0", 0), ("0.0333334", 1), ("1.2", 36), ("2.42", 72), ("last", 72)])
def test_a_frame_by_its_time(http: TestClient, graded: str, at_s: str, number: int) -> None:
    """The frame that a player shows at that time, in full size."""
    answer = fetch(http, graded, "frame", at_s=at_s)
    shown = picture(answer)
    assert (shown.format, shown.size) == ("PNG", (128, 96))
    assert level(shown) == pytest.approx(3 * number, abs=1.5)
    assert f"frame-{number}" in answer.headers["content-disposition"]
    etag = answer.headers["etag"]
    path = f"/v1/videos/{graded}/content?variant=frame&at_s={at_s}"
    assert http.get(path, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("at_s", ["2.44", "-1", "nan", "inf", "first", "", None])
def test_times_that_are_no_frame(http: TestClient, graded: str, at_s: str | None) -> None:
    """Each is a bad request that names the field."""
    query: dict[str, Any] = {} if at_s is None else {"at_s": at_s}
    answer = fetch(http, graded, "frame", **query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "at_s")
    assert fetch(http, graded, "video", at_s="1").status_code == 422


def test_an_unfinished_video_has_no_frame(http: TestClient) -> None:
    """409, as for its mp4."""
    assert fetch(http, ask(http, seconds="1")["id"], "frame", at_s=0).json()["code"] == "not_ready"


def test_an_extension_begins_with_the_other_videos_first_frame(http: TestClient, accept: Accept, hand: Hand) -> None:
    """It has no start image, but its finished video will begin so."""
    record = accept(model="tiny-f1")
    hand.dispatcher.nudge(record.job.id)
    finish(hand, frames=73, height=96, width=128)
    video = http.post("/v1/videos/extensions", json={"prompt": "on", "video": {"id": record.job.id}}).json()
    assert level(picture(fetch(http, video["id"], "poster"))) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("variant", ["poster", "frame", "start"])
def test_another_owners_and_deleted_pictures_are_not_found(
    http: TestClient, accept: Accept, graded: str, variant: str
) -> None:
    """404 for both, with a known ETag and without one."""
    query = {"at_s": "last"} if variant == "frame" else {}
    assert fetch(http, accept(owner="bob").job.id, variant, **query).status_code == 404
    assert http.delete(f"/v1/videos/{graded}").status_code == 200
    assert fetch(http, graded, variant, v="0123", **query).status_code == 404


def test_damaged_pictures_are_named(http: TestClient, accept: Accept, jobs: Jobs, graded: str) -> None:
    """A start image without its pixels and an mp4 that is none give 409 `damaged`, not a broken picture."""
    record = accept(sent="b")
    for video_id, variant, key in (
        (record.job.id, "poster", record.job.inputs["start"].key),
        (graded, "frame", next(key for key in jobs.store.list(f"jobs/{graded}/") if "/video." in key)),
    ):
        jobs.store.delete(key)
        jobs.store.put_if_absent(key, b"rotten")
        answer = fetch(http, video_id, variant, **({"at_s": 0} if variant == "frame" else {}))
        assert (answer.status_code, answer.json()["code"]) == (409, "damaged")
        assert key in answer.json()["detail"]


def test_a_flipped_bit_in_a_poster_is_noticed(http: TestClient, jobs: Jobs) -> None:
    """Only the head of the start image is read, so the poster has a checksum of its own."""
    video_id = ask(http, seconds="1")["id"]
    key = f"jobs/{video_id}/inputs/start.png"
    data = bytearray(jobs.store.get(key))
    data[100] ^= 1
    jobs.store.delete(key)
    jobs.store.put_if_absent(key, bytes(data))
    assert fetch(http, video_id, "poster").json()["code"] == "damaged"


def test_a_poster_is_cut_as_the_video_is(accept: Accept) -> None:
    """The centre of a wide picture, for a narrower video."""
    wide = Image.new("RGB", (600, 100), "black")
    wide.paste("white", (250, 0, 350, 100))
    shown = Image.open(io.BytesIO(draw(wide, accept().job.plan)))
    assert shown.size == (128, 96)
    assert level(shown) > 190
