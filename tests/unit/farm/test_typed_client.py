"""Farm and AsyncFarm against the real application: typed videos, the same names, one implementation."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import inspect
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from deploy.node.lock import locked, write_lock
from farm.client import (
    AsyncFarm,
    AsyncVideo,
    ConfigError,
    Conflict,
    Farm,
    FarmError,
    InvalidRequest,
    NotFound,
    NotReady,
    Progress,
    Quota,
    UnsupportedImage,
    Video,
    VideoFailed,
    VideoFields,
)
from farm.ingress import posts
from farm.jobs import Record
from farm.request import VideoRequest
from farm.settings import FarmSettings
from framefarm_client.wires import BlockingWire
from tests.imports import ROOT
from tests.unit.conftest import Hand

CAT = ROOT / "examples" / "cat.jpg"
Accept = Callable[..., Record]


@pytest.fixture
def farm(farm_url: str) -> Iterator[Farm]:
    """The farm that FARM_URL names."""
    with Farm() as farm:
        yield farm


@pytest.fixture
def busy(hand: Hand) -> Iterator[Hand]:
    """A worker by hand that does all orders, until the test ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            hand.finish()
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    yield hand
    stop.set()
    thread.join()


def public(kind: type) -> set[str]:
    """The names of what a class can do, and of what it knows."""
    return {name for name in dir(kind) if not name.startswith("_")}


def test_sync_and_async_have_the_same_names_with_docstrings() -> None:
    """A program changes between them with `await` and `async` alone."""
    for plain, waiting in ((Farm, AsyncFarm), (Video, AsyncVideo)):
        assert public(plain) == public(waiting)
        for name in public(plain):
            member = getattr(plain, name)
            if callable(member):
                assert inspect.getdoc(member), name
                assert not inspect.iscoroutinefunction(member)
                asked, same = inspect.signature(member), inspect.signature(getattr(waiting, name))
                assert asked.parameters == same.parameters
    assert inspect.signature(Farm.map).return_annotation == "Generator[V, None, None]"


def test_every_field_of_a_request_can_be_named() -> None:
    """The typed fields are the farm's, no more and no fewer; prompt and keyframes are arguments of their own."""
    assert set(VideoFields.__annotations__) == set(VideoRequest.model_fields) - {"prompt", "keyframes"}


def test_a_photo_becomes_a_file(farm: Farm, busy: Hand, tmp_path: Path) -> None:
    """Ask, wait and save, in one line; str and Path alike; a folder takes the video's name."""
    assert farm.render(str(CAT), "The cat looks up.", seconds=1).save(str(tmp_path / "cat.mp4")) == tmp_path / "cat.mp4"
    assert (tmp_path / "cat.mp4").read_bytes() == b"mp4 bytes"
    video = farm.render(CAT.read_bytes(), "It gets darker.", seconds=1, name="no/thing: more")
    assert video.save(tmp_path) == tmp_path / "no-thing- more.mp4"


def test_files_in_a_folder_get_names_of_their_own(farm: Farm, busy: Hand, tmp_path: Path) -> None:
    """Equal names replace nothing, long ones are cut between letters, and what could not be saved leaves no file."""
    out = f"{tmp_path}/new/"
    cats = list(farm.map([CAT, CAT], prompt="a cat", seconds=1))
    assert [cat.save(out).name for cat in cats] == ["cat.mp4", "cat-2.mp4"]
    assert [cats[0].save(tmp_path / "cat.mp4").name for _ in range(2)] == ["cat.mp4"] * 2  # a file that is named
    assert farm.render(CAT, "a cat", seconds=1, name="猫" * 86).save(out).name == "猫" * 40 + ".mp4"
    with pytest.raises(FarmError):
        cats[0].save(out, variant="preview")
    assert sorted(path.name for path in Path(out).iterdir()) == ["cat-2.mp4", "cat.mp4", "猫" * 40 + ".mp4"]


def test_a_video_moves_in_the_queue(farm: Farm) -> None:
    """Beside another video or its id, or to an end; two places are refused."""
    one, two, three = (farm.submit(CAT, f"cat {number}", seconds=1.2 * number) for number in (1, 2, 3))
    assert three.move(to="first").data["queue_position"] == 0
    assert three.move(after=one).data["queue_position"] == 1
    assert three.move(before=one.id).data["queue_position"] == 0
    with pytest.raises(InvalidRequest) as refused:
        two.move(before=one, to="last")
    assert "because before already names a place" in str(refused.value)
    one.pause()
    with pytest.raises(Conflict):
        two.move(before=one)


@pytest.mark.parametrize("errors", [None, 5, "no", ["seconds"], [{"seconds": "bad"}], [{"field": [], "message": ""}]])
def test_a_list_of_errors_that_is_none_hides_no_refusal(errors: object) -> None:
    """Code and detail are still what the program sees."""
    answer = {"code": "invalid_request", "detail": "seconds: need more than 0", "errors": errors}
    way = httpx.MockTransport(lambda _: httpx.Response(422, json=answer))
    with Farm("http://farm", transport=way) as farm, pytest.raises(InvalidRequest, match="seconds: need") as refused:
        farm.models()
    assert "fields" not in refused.value.facts


def test_a_refusal_keeps_its_facts(farm: Farm, http: TestClient) -> None:
    """Which fields are wrong, and when to ask again."""
    with pytest.raises(InvalidRequest) as refused:
        farm.submit(CAT, "a cat", seconds=-1, priority=99)
    fields = refused.value.facts["fields"]
    assert isinstance(fields, dict)
    assert fields.keys() == {"seconds", "priority"}
    with pytest.raises(NotFound) as missing:
        farm.video("video_" + "0" * 32)
    assert not {"fields", "retry_after_s"} & missing.value.facts.keys()
    app = http.app.state  # type: ignore[attr-defined]
    app.dependencies = dataclasses.replace(app.dependencies, settings=FarmSettings(model="tiny", max_open_videos=1))
    farm.submit(CAT, "a cat", seconds=1)
    with pytest.raises(Quota) as full:
        farm.submit(CAT, "a cat", seconds=1)
    assert isinstance(full.value.facts["retry_after_s"], float)
    assert full.value.facts["retry_after_s"] > 0


async def test_frames_can_be_cancelled(
    farm_url: str, busy: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancellation is what the program sees, though a thread decodes a frame meanwhile."""
    decoding, go_on = threading.Event(), threading.Event()

    def decoded(_: Path) -> Generator[int, None, None]:
        decoding.set()
        go_on.wait()
        yield 1

    monkeypatch.setattr("framefarm_client.video_calls._decoded", decoded)
    async with AsyncFarm(farm_url) as farm:
        video = await farm.render(CAT, "a cat", seconds=1)
        task = asyncio.ensure_future(anext(video.frames()))
        await asyncio.to_thread(decoding.wait)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # twice: the second must not leave the thread behind
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_failure_after_a_cancellation_is_not_reported(farm_url: str) -> None:
    """The program saw the cancellation; asyncio has nothing to say of an exception that nobody retrieves."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: said.append(what))
    begun, go_on = threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        go_on.wait()
        raise OSError("the disk is full")

    async with AsyncFarm(farm_url) as farm:
        task = asyncio.ensure_future(farm.connection.wire.aside(fail))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        await asyncio.sleep(0)
    assert not said


def test_a_video_is_frozen_and_typed(farm: Farm, hand: Hand) -> None:
    """Facts have Python's types; a call returns a new video and leaves the old one as it was."""
    video = farm.submit(CAT, prompt="a cat", seconds=3, seed=7, labels=["pets"], keyframes={1.5: CAT})
    assert (video.status, video.seed, video.labels, video.error) == ("queued", 7, ("pets",), None)
    assert video.seconds == video.frame_count / video.fps
    assert datetime.now(UTC).year >= video.created_at.year
    assert video.data["request"]["keyframes"] == [{"at_s": 1.5, "image": "keyframe_0"}]
    with pytest.raises(dataclasses.FrozenInstanceError):
        video.status = "completed"  # type: ignore[misc]
    paused = video.pause()
    assert (video.status, paused.status, video.refresh().status) == ("queued", "paused", "paused")
    assert paused.edit(prompt="a dog", name="dog").prompt == "a dog"
    assert [found.id for found in farm.videos(status="paused")] == [video.id]
    assert paused.resume().cancel().status == "cancelled"
    assert farm.video(video.id).retry().status == "queued"
    with pytest.raises(Conflict):
        video.delete()
    with pytest.raises(NotReady):
        video.save()
    video.cancel().delete()
    with pytest.raises(NotFound):
        video.refresh()


def test_numpys_numbers_are_sent_as_pythons(farm: Farm) -> None:
    """In fields, in lists and as the times of keyframes; what is no number is named before anything is sent."""
    sent: dict[str, Any] = {
        "seconds": np.float32(2.5),
        "seed": np.int64(7),
        "prompts": [{"at_s": np.float32(1.5), "text": "a dog"}],
    }
    keyframes: dict[Any, Path] = {np.float32(0.5): CAT}
    request = farm.submit(CAT, "a cat", keyframes=keyframes, **sent).data["request"]
    assert {name: request[name] for name in sent} == {**sent, "prompts": [{"at_s": 1.5, "text": "a dog"}]}
    assert request["keyframes"][0]["at_s"] == 0.5
    edited = farm.submit(CAT, "a cat").pause().edit(priority=np.int64(3))  # type: ignore[arg-type]
    assert edited.data["request"]["priority"] == 3
    with pytest.raises(TypeError, match="cannot be sent to a farm: array"):
        farm.submit(CAT, "a cat", labels=np.array(["pets"]))  # type: ignore[arg-type]


def test_remixes_and_links(farm: Farm, busy: Hand) -> None:
    """A finished video has a link without a key, and can be made again otherwise."""
    video = farm.render(CAT, "a cat", seconds=1)
    assert "seal=" in video.link(seconds=60) or "content" in video.link(seconds=60)
    other = video.remix("a dog", seed=5)
    assert (other.prompt, other.seed, other.data["remixed_from_video_id"]) == ("a dog", 5, video.id)
    assert other.wait().status == "completed"


def test_progress_ends_with_the_video(farm: Farm, hand: Hand, accept: Accept) -> None:
    """It tells each change once, in percent and seconds, and the end; a failure does not raise there, but in wait."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    job = farm.video(record.job.id)
    told: list[Progress] = []
    for progress in job.progress():
        told.append(progress)
        if progress.status == "queued":
            hand.commit(hand.take(), conditioning=b"c")
            hand.commit(hand.take(), section=b"s")
        elif progress.sections_done == 1 and progress.status == "in_progress":
            job.cancel()
    assert (told[-1].status, told[-1].eta_s) == ("cancelled", None)
    assert all(0 <= progress.percent <= 100 for progress in told)
    assert len(set(told)) == len(told)
    with pytest.raises(VideoFailed, match="somebody cancelled it") as caught:
        job.wait()
    assert isinstance(caught.value.facts["video"], Video)


def test_each_picture_of_a_map_is_judged_by_itself(farm: Farm, busy: Hand, tmp_path: Path) -> None:
    """Complete videos come in the order of their pictures, whichever ends first; the others are named at the end."""
    photos = [tmp_path / f"{number}.jpg" for number in range(6)]
    for photo in photos:
        photo.write_bytes(CAT.read_bytes())
    photos[2].write_text("no picture")
    photos[4].unlink()
    made: list[str | None] = []
    with pytest.raises(ExceptionGroup, match="2 of 6 pictures have no video") as caught:
        made.extend(video.name for video in farm.map(photos, prompt="a cat", ahead=2, seconds=1))
    assert made == ["0", "1", "3", "5"]
    refused, missing = caught.value.exceptions
    assert isinstance(refused, UnsupportedImage)
    assert refused.facts["image"] == photos[2]
    assert isinstance(missing, FileNotFoundError)
    assert missing.__notes__ == [f"picture: {photos[4]}"]


def test_a_map_keeps_enough_at_the_farm(farm: Farm, busy: Hand) -> None:
    """Before the first video is given, `ahead` others were asked for; a farm without room is waited for."""
    made = farm.map([CAT.read_bytes()] * 5, prompt="a cat", ahead=3, seconds=1)
    first = next(made)
    assert first.status == "completed"
    assert len(list(farm.videos())) >= 3
    assert len(list(made)) == 4


def test_a_map_waits_as_a_full_farm_says(farm: Farm, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no video that could end and leave room."""

    async def sleep(_: BlockingWire, seconds: float) -> None:
        raise TimeoutError(f"it waits {seconds} s")

    app = http.app.state  # type: ignore[attr-defined]
    app.dependencies = dataclasses.replace(app.dependencies, settings=FarmSettings(model="tiny", max_open_videos=1))
    farm.submit(CAT, "a cat", seconds=1)
    monkeypatch.setattr(posts, "_QUOTA_RETRY_S", 7)
    monkeypatch.setattr(BlockingWire, "sleep", sleep)
    with pytest.raises(TimeoutError, match=r"it waits 7\.0 s"):
        next(farm.map([CAT], prompt="another cat", seconds=1))


async def test_async_does_the_same(farm_url: str, busy: Hand, tmp_path: Path) -> None:
    """Videos side by side in one event loop, progress, saving, a map."""
    async with AsyncFarm(farm_url) as farm:
        one, two = await asyncio.gather(*(farm.render(CAT, f"cat {seed}", seconds=1, seed=seed) for seed in (1, 2)))
        assert isinstance(one, AsyncVideo)
        assert (one.seed, two.seed) == (1, 2)
        assert (await one.save(tmp_path / "one.mp4")).read_bytes() == b"mp4 bytes"
        told = [progress async for progress in one.progress()]
        assert (told[-1].status, told[-1].percent) == ("completed", 100)
        assert {video.seed async for video in farm.videos()} == {1, 2}
        assert [video.name async for video in farm.map([CAT], prompt="a cat", seconds=1)] == ["cat"]
        with pytest.raises(InvalidRequest, match="seconds"):
            await farm.submit(CAT, "a cat", seconds=-1)
        await one.delete()
        with pytest.raises(NotFound):
            await one.refresh()


def test_frames_are_arrays(farm: Farm, busy: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mp4 is decoded here; without PyAV, the error says what to install."""
    import torch

    from framepack_engine.frames.video import encode_clip

    video, mp4 = farm.render(CAT, "a cat", seconds=1), tmp_path / "clip.mp4"
    encode_clip(torch.full((5, 64, 96, 3), 128, dtype=torch.uint8), mp4, crf=16)
    monkeypatch.setattr("framefarm_client.calls.fetch", lambda *_, **__: _given(mp4))
    shown = list(video.frames())
    assert [frame.shape for frame in shown] == [(64, 96, 3)] * 5
    assert abs(int(shown[0].mean()) - 128) < 4
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ConfigError, match=r"framepack-farm-client\[frames\]"):
        next(video.frames())


async def _given(path: Path) -> Path:
    return path


@pytest.mark.parametrize(
    "settings", [{}, {"storage": "here"}, {"storage": "s3://bucket/a", "s3_endpoint": "http://127.0.0.1:9"}]
)
def test_without_an_address_it_finds_the_farm_of_this_machine(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command line does: by the lock of the storage."""
    monkeypatch.delenv("FARM_URL", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(f"FARM_{name.upper()}", value)
    folder: dict[str, Any] = {} if settings else {"storage": str(tmp_path / "data/framepack-farm/storage")}
    if "s3_endpoint" in settings:
        monkeypatch.setattr(FarmSettings, "_at_home", lambda *_: tmp_path / "data/framepack-farm/storage")
    with pytest.raises(ConfigError, match=r"no farm runs on .* set FARM_URL, or pass its address"):
        Farm()
    with locked(FarmSettings(**{**settings, **folder})) as lock:
        write_lock(lock, "http://127.0.0.1:8123")
        assert Farm().connection.url == "http://127.0.0.1:8123"


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """FARM_API_KEY, unless the program passes one; it is not shown."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, text=json.dumps({"data": []}))

    monkeypatch.setenv("FARM_API_KEY", "secret-1")
    for key in (None, "secret-2"):
        with Farm("http://farm", api_key=key, transport=httpx.MockTransport(answer)) as farm:
            farm.models()
            assert "secret" not in repr(farm)
    assert seen == ["Bearer secret-1", "Bearer secret-2"]
