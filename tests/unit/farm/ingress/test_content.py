"""The files that /content serves, whole and in ranges."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from safetensors.numpy import load, save
from typing_extensions import override

from deploy.planner import EngineMedia
from farm.contract import JobPlan
from farm.ingress import create_app
from farm.ingress.content.serving import Span, requested_span
from farm.ingress.views import final_clips
from farm.jobs import Record
from farm.store import FolderStore
from tests.unit.conftest import Hand

Accept = Callable[..., Record]
MP4 = bytes(range(256)) * 40


@pytest.fixture
def finished(accept: Accept, hand: Hand) -> str:
    """The path of a finished video whose mp4 is MP4."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    for _ in range(2):
        hand.commit(hand.take(), section=b"s", preview=b"png preview")
    hand.commit(hand.take(), clip=b"clip")
    hand.commit(hand.take(), video=MP4, thumbnail=b"png thumbnail", spritesheet=b"png sheet")
    return f"/v1/videos/{record.job.id}/content"


def test_the_whole_video_and_its_kin(http: TestClient, finished: str) -> None:
    """Each variant has its bytes, its type and its name."""
    video = http.get(finished)
    assert (video.status_code, video.content, video.headers["content-type"]) == (200, MP4, "video/mp4")
    assert video.headers["content-length"] == str(len(MP4))
    assert video.headers["content-disposition"].startswith('inline; filename="video_')
    for variant, data in {
        "thumbnail": b"png thumbnail",
        "spritesheet": b"png sheet",
        "preview": b"png preview",
    }.items():
        answer = http.get(finished, params={"variant": variant})
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, "image/png")
    assert http.get(finished, params={"variant": "partial"}).content == MP4
    head = http.head(finished)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(MP4)))


def test_a_finished_partial_reads_what_it_sends(
    http: TestClient, finished: str, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a completed video, `partial` is the mp4: HEAD, a part or a client's own copy read no more of it."""
    path, read, stored = f"{finished}?variant=partial", Counter[str](), store.open_read

    def open_read(key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        for piece in stored(key, start=start, length=length):
            read["bytes"] += len(piece)
            yield piece

    monkeypatch.setattr(store, "open_read", open_read)
    head = http.head(path)
    assert http.get(path, headers={"If-None-Match": head.headers["etag"]}).status_code == 304
    assert http.get(path, headers={"Range": "bytes=0-9"}).content == MP4[:10]
    assert read["bytes"] == 10
    assert http.get(path).content == MP4


@pytest.mark.parametrize(
    ("wanted", "first", "stop"),
    [
        ("bytes=0-", 0, 10240),
        ("bytes=100-199", 100, 200),
        ("bytes=-7", 10233, 10240),
        ("bytes=10000-99999", 10000, 10240),
    ],
)
def test_ranges_are_honoured(http: TestClient, finished: str, wanted: str, first: int, stop: int) -> None:
    """Browsers and resumed downloads send these ranges."""
    answer = http.get(finished, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, MP4[first:stop])
    assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/10240"


def test_ranges_that_cannot_be_honoured(http: TestClient, finished: str) -> None:
    """A range behind the end gets 416. Another unit, several ranges or a changed file gets the whole file."""
    beyond = http.get(finished, headers={"Range": "bytes=10240-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10240")
    for headers in ({"Range": "frames=1-2"}, {"Range": "bytes=1-2,5-6"}, {"Range": "bytes=1-2", "If-Range": '"old"'}):
        assert http.get(finished, headers=headers).status_code == 200
    etag = http.get(finished).headers["etag"]
    assert http.get(finished, headers={"Range": "bytes=1-2", "If-Range": etag}).content == MP4[1:3]
    assert http.get(finished, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("header", ["bytes=-", "bytes=5-4", "bytes=-0", "bytes=" + "9" * 5000 + "-", "", "bytes=a-b"])
def test_no_bytes_are_found_where_none_are_asked_for(header: str) -> None:
    """A malformed Range header names no span."""
    assert requested_span(header, size=10) is None
    assert requested_span("bytes=2-3", size=10) == Span(2, 2)


@pytest.mark.parametrize("variant", ["video", "thumbnail", "spritesheet", "preview", "partial", "latents"])
def test_what_is_not_made_yet_is_not_ready(http: TestClient, accept: Accept, variant: str) -> None:
    """409 says to ask again later; an unknown variant is a bad request."""
    record = accept()
    answer = http.get(f"/v1/videos/{record.job.id}/content", params={"variant": variant})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    assert http.get(f"/v1/videos/{record.job.id}/content?variant=gif").status_code == 422


class Glue(EngineMedia):
    """Joins clips by concatenating their bytes."""

    @override
    def join(self, clips: Sequence[str], out: str) -> None:
        Path(out).write_bytes(b"|".join(Path(clip).read_bytes() for clip in clips))


def test_partial_joins_the_final_clips_in_time_order(accept: Accept, hand: Hand, http: TestClient) -> None:
    """An i2v video's finished end can be fetched while the farm still makes the beginning, in ranges too."""
    plan = JobPlan(
        kind="i2v", sections=4, latent_window_size=1, fps=30, height=64, width=64, frames=17, final_frames=(0, 4, 4, 9)
    )
    record = accept(plan=plan)
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    for clip in (None, b"late", b"early"):
        hand.commit(hand.take(), section=b"s")
        if clip:
            hand.commit(hand.take(), clip=clip)
    deps = http.app.state.dependencies  # type: ignore[attr-defined]
    app = create_app(settings=deps.settings, jobs=deps.jobs, door=deps.door, planner=deps.planner, media=Glue())
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1)) as client:
        path = f"/v1/videos/{record.job.id}/content?variant=partial"
        assert client.get(path).content == b"early|late"
        assert client.get(f"/v1/videos/{record.job.id}").json()["frames_ready"] == 4 + 4
        assert client.get(path, headers={"Range": "bytes=6-9"}).content == b"late"


def test_a_gap_ends_what_is_final(accept: Accept, hand: Hand, plan: JobPlan) -> None:
    """A clip behind a missing one cannot be joined yet; F1 videos grow from their beginning."""
    for kind, expected in (("f1", [0, 1]), ("i2v", [1, 0])):
        record = accept(plan=plan.model_copy(update={"kind": kind, "sections": 4, "final_frames": (4, 4, 4, 4)}))
        state = record.head.state.model_copy(update={"clips": {"0": 1, "1": 2, "3": 3}})
        assert final_clips(Record(record.job, record.head.model_copy(update={"state": state}))) == expected


@pytest.mark.parametrize("kind", ["i2v", "f1"])
def test_latents_come_as_one_tensor_in_time_order(http: TestClient, accept: Accept, hand: Hand, kind: str) -> None:
    """The file has the start image's latent and then all windows. Tensors of types that numpy lacks do no harm."""
    plan = JobPlan(
        kind=kind,
        sections=2,
        latent_window_size=3,
        fps=30,
        height=64,
        width=96,
        frames=25,
        final_frames=(0, 25),
    )
    random = np.random.default_rng(0)
    start, *windows = (random.standard_normal((1, 16, n, 8, 12)).astype("<f4") for n in (1, 3, 3))
    record = accept(plan=plan)
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=_as_bf16(save({"a": np.zeros(4, "<i2"), "start_latent": start})))
    for window in windows:
        hand.commit(hand.take(), section=save({"latents": window, "history": window}))
    answer = http.get(f"/v1/videos/{record.job.id}/content?variant=latents")
    found = load(answer.content)["latents"]
    expected: list[NDArray[np.float32]] = [start, *(reversed(windows) if kind == "i2v" else windows)]
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=2))


def _as_bf16(data: bytes) -> bytes:
    """Change the type of a safetensors file's int16 tensor to bfloat16."""
    head = data[8 : 8 + struct.unpack("<Q", data[:8])[0]]
    renamed = head.replace(b'"I16"', b'"BF16"').rstrip()
    out = io.BytesIO()
    renamed += b" " * (-len(renamed) % 8)
    out.write(struct.pack("<Q", len(renamed)) + renamed + data[8 + len(head) :])
    return out.getvalue()


SMALL = JobPlan(kind="f1", sections=1, latent_window_size=1, fps=30, height=64, width=64, frames=1, final_frames=(1,))


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def made_of(accept: Accept, hand: Hand, plan: JobPlan = SMALL, *, finish: bool = True, **parts: bytes) -> str:
    """The content path of a video of one section with these artifacts."""
    record = accept(plan=plan, save_frames="all")
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=parts.get("conditioning", b"c"))
    hand.commit(hand.take(), section=parts.get("section", b"s"))
    hand.commit(hand.take(), clip=parts.get("clip", b"clip"), frames=parts.get("frames", b"f"))
    if finish:
        hand.commit(hand.take(), video=MP4)
    return f"/v1/videos/{record.job.id}/content"


STILL = ("000000.png", b"png")


@pytest.mark.parametrize(
    "frames",
    [
        b"garbage",
        zipped(STILL)[:-9],
        zipped(STILL).replace(b"png", b"???", 2),
        zipped(("000000.png", bytes(100_000)), method=zipfile.ZIP_DEFLATED),
        zipped(("000000.png", bytes(100_000))),
        zipped(STILL, ("000001.png", b"png")),
        zipped(("../000000.png", b"png")),
    ],
    ids=["garbage", "cut", "crc", "packed", "large", "many", "name"],
)
def test_frames_that_no_worker_wrote_are_damaged(http: TestClient, accept: Accept, hand: Hand, frames: bytes) -> None:
    """An imported video may hold such files. The farm names the fault and never unpacks them, for any range."""
    path = made_of(accept, hand, frames=frames)
    for headers in ({}, {"Range": "bytes=0-0"}):
        answer = http.get(f"{path}?variant=frames", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "damaged")
        assert "frames.decode" in answer.json()["detail"]


def test_frames_that_a_worker_wrote_are_taken(http: TestClient, accept: Accept, hand: Hand) -> None:
    """A PNG of noise is larger than its pixels."""
    noise = np.random.default_rng(0).bytes(64 * 64 * 3 + 300)
    answer = http.get(f"{made_of(accept, hand, frames=zipped(('000000.png', noise)))}?variant=frames")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as whole:
        assert (whole.namelist(), whole.read("000000.png")) == (["000000.png"], noise)


def _header(text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "section",
    [
        b"",
        b"garbage",
        _header(b"[]"),
        _header(b"{}"),
        _header(b"[" * 100_000),
        _header(b'{"latents": {"dtype": "F32", "shape": [1, 16, 1, 8, 8]}}'),
        _header(b'{"latents": {"dtype": "F32", "shape": [1, 16, 1, 8, 8], "data_offsets": [0, 4096]}}', bytes(9)),
        _header(b'{"latents": {"dtype": "F32", "shape": [1, 16, 1, 8, 8], "data_offsets": ["0", 1]}}', bytes(4096)),
        _header(b'{"latents": {"dtype": "F32", "shape": [1, 16, 1, 8, 8], "data_offsets": [-4096, 0]}}', bytes(4096)),
        save({"latents": np.zeros((1, 16, 1, 8, 8), "<f8")}),
        save({"latents": np.zeros((1, 16, 2, 8, 8), "<f4")}),
        save({"latents": np.zeros((1,), "<f4")}),
    ],
)
def test_latents_that_no_worker_wrote_are_damaged(http: TestClient, accept: Accept, hand: Hand, section: bytes) -> None:
    """The farm reports tensors of another type or shape, or beyond the file's end, and files without tensors."""
    start = save({"start_latent": np.zeros((1, 16, 1, 8, 8), "<f4")})
    answer = http.get(f"{made_of(accept, hand, conditioning=start, section=section)}?variant=latents")
    assert (answer.status_code, answer.json()["code"]) == (409, "damaged")
    assert "section.section-0" in answer.json()["detail"]


def sound() -> bytes:
    """An mp4 without a picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), "<f4"), format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


@pytest.mark.parametrize("clip", [b"garbage", sound()], ids=["garbage", "sound"])
def test_a_clip_that_no_worker_wrote_is_damaged(http: TestClient, accept: Accept, hand: Hand, clip: bytes) -> None:
    """The engine cannot join it."""
    answer = http.get(f"{made_of(accept, hand, finish=False, clip=clip)}?variant=partial")
    assert (answer.status_code, answer.json()["code"]) == (409, "damaged")


def overwrite(store: FolderStore, start: str) -> None:
    """Change one byte of the only object under this prefix."""
    [path] = [store.root / key for key in store.list("jobs/") if key.rpartition("/")[2].startswith(start)]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_a_damaged_clip_is_not_joined(http: TestClient, accept: Accept, hand: Hand, store: FolderStore) -> None:
    """The farm checks the sha256 before it tries to join."""
    path = made_of(accept, hand, finish=False)
    overwrite(store, "clip.")
    answer = http.get(f"{path}?variant=partial")
    assert answer.status_code == 409
    assert "its sha256 is not the one in the ledger" in answer.json()["detail"]


@pytest.mark.parametrize("header", [{}, {"Range": "bytes=0-"}])
def test_a_damaged_video_is_not_sent_whole(
    farm_url: str, finished: str, store: FolderStore, header: dict[str, str]
) -> None:
    """The connection breaks off before the end, so no client mistakes it for the video."""
    assert httpx.get(f"{farm_url}{finished}", headers=header).content == MP4
    overwrite(store, "video.")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{farm_url}{finished}", headers=header)
    assert httpx.get(f"{farm_url}{finished}", headers={"Range": "bytes=0-9"}).content == MP4[:10]
