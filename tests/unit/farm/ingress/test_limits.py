"""How many videos may wait, and how long the farm keeps ended ones."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from typing_extensions import override

from deploy.planner import EngineMedia, EnginePlanner
from farm.client import FarmClient
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import ConfigError, FarmError, NotFound, Overloaded, Quota
from farm.ingress import create_app
from farm.ingress.posts import counted
from farm.jobs import Jobs, Record
from farm.jobs.expiry import DAY_S
from farm.settings import FarmSettings
from tests.patience import patient
from tests.unit.conftest import DispatcherHere, Hand
from tests.unit.farm.ingress.test_ingress import CAT, FILES, ask

Accept = Callable[..., Record]
DATA = {"prompt": "a cat"}


URL, HERE = "http://127.0.0.1:8000", ("127.0.0.1", 50000)


class GatedMedia(EngineMedia):
    """Decodes nothing until the gate opens."""

    def __init__(self) -> None:
        self.gate, self.decoded = threading.Event(), 0

    @override
    def upright_rgb(self, image: Image.Image) -> Image.Image:
        assert self.gate.wait(patient(60))
        self.decoded += 1
        return super().upright_rgb(image)


def door_app(jobs: Jobs, door: DispatcherHere, media: EngineMedia, **settings: object) -> FastAPI:
    """An application with these settings."""
    chosen = FarmSettings(model="tiny", **settings)
    return create_app(settings=chosen, jobs=jobs, door=door, planner=EnginePlanner(), media=media)


@contextmanager
def farm(jobs: Jobs, door: DispatcherHere, **settings: object) -> Iterator[TestClient]:
    """A client of such an application."""
    app = door_app(jobs, door, EngineMedia(), **settings)
    with TestClient(app, base_url=URL, client=HERE) as http:
        yield http


@pytest.mark.parametrize(("setting", "code"), [("max_open_videos", "quota"), ("max_queued", "overloaded")])
def test_over_the_limit_is_429_with_the_time_to_wait(jobs: Jobs, door: DispatcherHere, setting: str, code: str) -> None:
    """The farm stores nothing beyond the limit. An ended video makes room; a batch must fit as a whole."""
    with farm(jobs, door, **{setting: 2}) as http:
        first, _ = ask(http), ask(http)
        answer = http.post("/v1/videos", data=DATA, files=FILES)
        assert (answer.status_code, answer.json()["code"]) == (429, code)
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert int(answer.headers["retry-after"]) > 0
        remix = http.post(f"/v1/videos/{first['id']}/remix", json={"prompt": "a dog"})
        assert remix.status_code == 429
        assert http.post("/v1/videos?dry_run=1", data=DATA, files=FILES).status_code == 200
        assert len(jobs.open_ids()) == 2
        http.post(f"/v1/videos/{first['id']}/cancel")
        assert http.post("/v1/videos", data={**DATA, "n": "2"}, files=FILES).status_code == 429
        ask(http)


def test_anothers_videos_count_for_the_farm_alone(jobs: Jobs, door: DispatcherHere, accept: Accept) -> None:
    """Each owner has a quota of their own."""
    for _ in range(3):
        door.dispatcher.nudge(accept(owner="other").job.id)
    with farm(jobs, door, max_open_videos=1) as http:
        ask(http)
    with farm(jobs, door, max_queued=3) as http:
        assert http.post("/v1/videos", data=DATA, files=FILES).json()["code"] == "overloaded"


def test_asking_again_is_no_new_video(jobs: Jobs, door: DispatcherHere) -> None:
    """A client that repeats its request gets its video even if there is no room for another."""
    with farm(jobs, door, max_open_videos=1) as http:
        first = ask(http, headers={"Idempotency-Key": "k"})
        assert ask(http, headers={"Idempotency-Key": "k"})["id"] == first["id"]
        other = http.post("/v1/videos", data=DATA, files=FILES, headers={"Idempotency-Key": "new"})
        assert other.status_code == 429


def test_a_retry_needs_room_too(jobs: Jobs, door: DispatcherHere) -> None:
    """Otherwise cancel and retry would bypass the limits."""
    with farm(jobs, door, max_open_videos=1) as http:
        first = ask(http)["id"]
        http.post(f"/v1/videos/{first}/cancel")
        second = ask(http)["id"]
        answer = http.post(f"/v1/videos/{first}/retry")
        assert (answer.status_code, answer.json()["code"]) == (429, "quota")
        http.post(f"/v1/videos/{second}/cancel")
        assert http.post(f"/v1/videos/{first}/retry").json()["status"] == "queued"


def test_a_retry_in_a_full_farm_is_refused_for_what_is_wrong(jobs: Jobs, door: DispatcherHere, accept: Accept) -> None:
    """Another owner's video and an unknown one give 404; an unfinished one gives a conflict."""
    others = accept(owner="other").job.id
    jobs.wish(others, "cancel", owner="other")
    with farm(jobs, door, max_open_videos=1) as http:
        mine = ask(http)["id"]
        answers = [http.post(f"/v1/videos/{name}/retry").status_code for name in (others, "video_never", mine)]
        assert answers == [404, 404, 409]


def test_a_full_farm_decodes_nothing(jobs: Jobs, door: DispatcherHere) -> None:
    """A full farm answers before it decodes images; an unknown video still gives 404."""
    with farm(jobs, door, max_open_videos=1) as http:
        made = ask(http, seconds="1")["id"]
    media = GatedMedia()
    with TestClient(door_app(jobs, door, media, max_open_videos=1), base_url=URL, client=HERE) as http:
        for path in ("", f"/{made}/remix"):
            assert http.post(f"/v1/videos{path}", data=DATA, files=FILES).status_code == 429
        sent = {"video": ("clip.mp4", b"no video")}
        assert http.post("/v1/videos/extensions", data=DATA, files=sent).status_code == 429
        nobody = {"prompt": "a", "video": {"id": "video_never"}}
        assert http.post("/v1/videos/extensions", json=nobody).status_code == 404
        assert http.post("/v1/videos/video_never/remix", json={"prompt": "a"}).status_code == 404
    assert media.decoded == 0


def test_several_ingresses_share_what_one_would_take(jobs: Jobs, door: DispatcherHere) -> None:
    """Two processes decode, store and handle as much as one alone; each handles something."""

    def most(ingresses: int) -> list[float]:
        found = door_app(jobs, door, GatedMedia(), ingresses=ingresses).state.dependencies
        return [limit.total_tokens for limit in (found.decoding, found.writing, found.posts)]

    alone = most(1)
    assert all(share <= max(1, whole / 2) for share, whole in zip(most(2), alone, strict=True))
    assert most(1000) == [1, 1, 1]


def test_a_flood_is_told_to_come_back(jobs: Jobs, door: DispatcherHere) -> None:
    """The ingress handles a fixed number of POSTs, rejects the next at once, and accepts all that it handles."""
    media = GatedMedia()
    app = door_app(jobs, door, media)
    most = round(app.state.dependencies.posts.total_tokens)
    transport = httpx.ASGITransport(app, client=HERE)

    async def flood() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:

            async def post(**headers: str) -> httpx.Response:
                files = {"input_reference": ("cat.jpg", CAT)}
                return await http.post("/v1/videos", data=DATA, files=files, headers=headers)

            inside = [asyncio.create_task(post()) for _ in range(most)]
            while app.state.dependencies.posts.borrowed_tokens < most:  # noqa: ASYNC110  # a limiter tells nobody
                await asyncio.sleep(0.01)
            refused = await post()
            assert (refused.status_code, refused.json()["code"]) == (429, "busy")
            assert int(refused.headers["retry-after"]) > 0
            assert (await http.get("/v1/videos")).status_code == 200
            media.gate.set()
            answers = await asyncio.gather(*inside)
            return [*answers, await post(), await post(**{"Idempotency-Key": ""}), await post()]

    statuses = [answer.status_code for answer in asyncio.run(flood())]
    assert statuses == [200] * most + [200, 422, 200]
    assert app.state.dependencies.posts.borrowed_tokens == 0


def test_a_crowd_is_told_to_come_back(jobs: Jobs, door: DispatcherHere) -> None:
    """An ingress handles so many requests at once; it answers the next with 429, but still says that it lives."""
    media, settings = GatedMedia(), FarmSettings(model="tiny")
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=media, most_requests=2)
    posts = app.state.dependencies.posts

    async def crowd() -> tuple[httpx.Response, list[int]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app, client=HERE), base_url=URL) as http:
            inside = [asyncio.create_task(http.post("/v1/videos", data=DATA, files=FILES)) for _ in range(2)]
            while posts.borrowed_tokens < 2:  # noqa: ASYNC110  # a limiter tells nobody
                await asyncio.sleep(0.01)
            refused, alive = await http.get("/v1/models"), await http.get("/healthz")
            media.gate.set()
            answers = [alive, *(await asyncio.gather(*inside)), await http.get("/v1/models")]
            return refused, [answer.status_code for answer in answers]

    refused, statuses = asyncio.run(crowd())
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "busy", "5")
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert refused.headers["connection"] == "close"  # another ingress may have room
    assert statuses == [200, 200, 200, 200]


def test_a_file_to_inspect_counts_as_a_post(jobs: Jobs, door: DispatcherHere) -> None:
    """Decoding its pictures is the same work."""
    app = door_app(jobs, door, GatedMedia())
    found = app.state.dependencies

    async def ask() -> list[int]:
        transport, files = httpx.ASGITransport(app, client=HERE), {"file": ("a", b'{"model_type": "F1"}')}
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
            with contextlib.ExitStack() as others:
                for _ in range(round(found.posts.total_tokens)):
                    others.enter_context(counted(found))
                refused = await http.post("/v1/inspect", files=files)
            return [refused.status_code, (await http.post("/v1/inspect", files=files)).status_code]

    assert asyncio.run(ask()) == [429, 200]
    assert found.posts.borrowed_tokens == 0


def test_the_client_comes_back_to_a_busy_farm() -> None:
    """The client repeats a busy answer under the same key, so the command does not fail."""
    busy = httpx.Response(429, json={"code": "busy", "detail": "ask again"})
    answers, keys = [busy, httpx.Response(200, json={"id": "video_1"})], set[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        keys.add(request.headers["Idempotency-Key"])
        return answers.pop(0)

    with FarmClient("http://farm", transport=httpx.MockTransport(answer)) as client:
        assert client.submit({"prompt": "a"}, {})["id"] == "video_1"
    assert len(keys) == 1


def test_without_the_dispatcher_nobody_is_turned_away(jobs: Jobs, door: DispatcherHere) -> None:
    """The store is back within seconds, and accepted videos are safe."""
    with farm(jobs, door, max_open_videos=1) as http:
        known = ask(http)["id"]
        assert http.post("/v1/videos", data=DATA, files=FILES).status_code == 429
        door.answers = False
        assert {known, ask(http)["id"]} == set(jobs.open_ids())


@pytest.mark.parametrize("error", [Quota, Overloaded])
def test_the_client_knows_both(error: type[FarmError]) -> None:
    """Each has its own exception, so that a script can wait."""
    answer = httpx.Response(429, json={"code": error.code, "detail": "full"})
    with (
        FarmClient("http://farm", transport=httpx.MockTransport(lambda _: answer)) as client,
        pytest.raises(error, match="full"),
    ):
        client.submit({"prompt": "a"}, {})


@pytest.mark.parametrize("name", ["max_open_videos", "max_queued", "keep_days"])
def test_impossible_limits_are_refused(name: str) -> None:
    """By their names."""
    with pytest.raises(ConfigError, match=f"FARM_{name.upper()}"):
        FarmSettings(**{name: 0})


def test_what_ended_long_ago_is_erased(jobs: Jobs, accept: Accept) -> None:
    """The dispatcher's sweep erases them; unfinished videos stay at any age, and recent ones until their time."""
    now, wall = [0.0], [0.0]
    records = [accept() for _ in range(3)]
    old, ended, waits = (record.job.id for record in records)
    jobs.wish(old, "cancel", owner="local")
    ended_at = jobs.get(old, owner=None).head.state.ended_at
    assert ended_at
    wall[0] = ended_at
    dispatcher = Dispatcher(jobs, FarmSettings(keep_days=2), clock=lambda: now[0], wall=lambda: wall[0])
    late = Jobs(jobs.store, clock=lambda: ended_at + 1.5 * DAY_S)
    late.wish(ended, "cancel", owner="local")
    now[0], wall[0] = 100.0, ended_at + 1.9 * DAY_S
    dispatcher.sweep()
    assert jobs.get(old, owner=None)
    now[0], wall[0] = 2000.0, ended_at + 2.1 * DAY_S
    dispatcher.sweep()
    with pytest.raises(NotFound):
        jobs.get(old, owner=None)
    assert not [key for key in jobs.store.list(f"jobs/{old}/") if "/log/" not in key]
    assert jobs.get(ended, owner=None)
    assert jobs.get(waits, owner=None)


def test_a_heap_of_old_videos_does_not_hold_up_the_dispatcher(jobs: Jobs, accept: Accept) -> None:
    """One sweep erases a few, and the next continues at once, so that leases are checked in between."""
    for _ in range(12):
        jobs.wish(accept().job.id, "cancel", owner="local")
    now, long_after = [0.0], time.time() + 3 * DAY_S
    dispatcher = Dispatcher(jobs, FarmSettings(keep_days=2), clock=lambda: now[0], wall=lambda: long_after)
    now[0] = 100.0
    left = []
    for _ in range(2):
        dispatcher.sweep()
        left.append(len(jobs.store.list("owners/")))
    assert left == [2, 0]


def test_a_video_says_when_it_will_be_erased(jobs: Jobs, door: DispatcherHere, hand: Hand) -> None:
    """An ended video has a date; it is null if the farm keeps everything."""
    with farm(jobs, door, keep_days=0.5) as http:
        path = f"/v1/videos/{ask(http, seconds='1')['id']}"
        assert http.get(path).json()["expires_at"] is None
        hand.finish()
        video = http.get(path).json()
        assert video["expires_at"] == pytest.approx(video["completed_at"] + DAY_S / 2, abs=1)
        assert http.get("/v1/videos").json()["data"][0]["expires_at"] == video["expires_at"]
        assert f'"expires_at": {video["expires_at"]}' in http.get(f"{path}/events").text
    with farm(jobs, door) as http:
        assert http.get(path).json()["expires_at"] is None
