"""Webhooks are signed, repeated until they are accepted, never lost and kept secret. The receiver is a real one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI
from standardwebhooks import WebhookVerificationError

from farm.jobs import Jobs
from farm.ledger.notes import mark_hooks
from farm.ledger.states import ErrorInfo, Event
from farm.logs import facts_of
from farm.settings import FarmSettings
from farm.store import FolderStore
from farm.webhooks.sender import GIVE_UP_S, delay_s
from tests.hook_receiver import OTHER_SECRET, SECRET, hook_receiver
from tests.unit.farm.webhooks.conftest import ALLOWED, Scene, owed

pytestmark = pytest.mark.filterwarnings("error")


async def test_a_completed_video_is_told_once_and_signed(scene: Scene) -> None:
    """The receiver gets nothing before the end, then one POST that only the request's secret verifies."""
    video = scene.ask(webhook_secret=OTHER_SECRET, metadata='{"order": 7}', name="cat")
    post_office = scene.sender()
    await post_office.round()
    assert scene.receiver.posts == []
    assert scene.told(video["id"])["state"] == "waiting"
    scene.hand.finish()
    await post_office.round()
    await post_office.round()
    [post] = scene.receiver.posts
    event = post.verified(OTHER_SECRET)
    assert (event["object"], event["type"], event["id"]) == ("event", "video.completed", post.headers["webhook-id"])
    assert event["data"] == {
        "id": video["id"],
        "object": "video",
        "status": "completed",
        "name": "cat",
        "metadata": {"order": 7},
        "error": None,
    }
    with pytest.raises(WebhookVerificationError):
        post.verified(SECRET)
    unwrapped = OpenAI(api_key="none").webhooks.unwrap(post.body.decode(), post.headers, secret=OTHER_SECRET)
    assert str(unwrapped.type) == "video.completed"  # one that it has no class for
    assert owed(scene.jobs) == []
    told = scene.told(video["id"])
    assert (told["host"], told["state"], told["tries"], told["reason"]) == ("127.0.0.1", "delivered", 1, "HTTP 204")


async def test_each_kind_of_end_has_its_name(scene: Scene) -> None:
    """Cancelled and failed videos are announced, too. After a retry, the next end is a new event."""
    cancelled, failed = (scene.ask()["id"] for _ in range(2))
    scene.farm.post(f"/v1/videos/{cancelled}/cancel")
    error = ErrorInfo(code="black_frames", message="section 0 is black")
    scene.jobs.ledger.append(failed, Event(name="failed", error=error))
    for video in (cancelled, failed):
        scene.hand.dispatcher.nudge(video)
    post_office = scene.sender()
    await post_office.round()
    events = {event["type"]: event for event in (post.verified() for post in scene.receiver.posts)}
    assert {name: event["data"]["id"] for name, event in events.items()} == {
        "video.cancelled": cancelled,
        "video.failed": failed,
    }
    assert events["video.failed"]["data"]["error"] == {"code": "black_frames", "message": "section 0 is black"}
    scene.farm.post(f"/v1/videos/{failed}/retry")
    scene.hand.finish()
    await post_office.round()
    assert scene.receiver.posts[2].verified()["type"] == "video.completed"
    assert len({post.headers["webhook-id"] for post in scene.receiver.posts}) == 3


async def test_an_edit_after_the_end_tells_nobody_again(scene: Scene) -> None:
    """A new name before and after the delivery: one event, whose id is that of the end; its outcome stays."""
    video = scene.ask()["id"]
    scene.hand.finish()
    path, end = f"/v1/videos/{video}", scene.jobs.get(video, owner=None).head.seq
    scene.farm.patch(path, json={"name": "before"})
    post_office = scene.sender()
    await post_office.round()
    scene.farm.patch(path, json={"labels": ["starred"]})
    await post_office.round()
    [post] = scene.receiver.posts
    event = post.verified()
    assert (event["data"]["name"], event["id"].rpartition("_")[2]) == ("before", str(end))
    assert (scene.told(video)["state"], owed(scene.jobs)) == ("delivered", [])


async def test_a_repair_leaves_the_outcome_as_it_was(scene: Scene, store: FolderStore) -> None:
    """The mp4 is lost and made again: nobody is told again, and the outcome of the first end is still the answer."""
    video = scene.ask()["id"]
    scene.hand.finish()
    record = scene.jobs.get(video, owner=None)
    assert scene.told(video)["state"] == "pending"
    post_office = scene.sender()
    await post_office.round()
    before = scene.told(video)
    assert before["state"] == "delivered"
    assert record.head.state.video is not None
    scene.jobs.note_losses(record.job.id, Event(name="lost", lost={"finish": record.head.state.video}))
    scene.hand.dispatcher.sweep()
    assert scene.told(video)["state"] == "waiting"
    scene.hand.finish()
    await post_office.round()
    assert scene.jobs.get(video, owner=None).head.end > record.head.end
    assert (scene.told(video), len(scene.receiver.posts)) == (before, 1)


@pytest.mark.parametrize("trouble", ["HTTP 500", "silence", "ConnectError"])
async def test_a_receiver_in_trouble_is_asked_again(scene: Scene, trouble: str) -> None:
    """After an error, silence or a refused connection, the farm tries again after 5, 15 and 45 s with the same id."""
    url = scene.receiver.url
    if trouble == "ConnectError":
        scene.receiver.close()
    video = scene.ask(webhook_url=url)["id"]
    scene.hand.finish()
    scene.receiver.script = [500] * 3 if trouble == "HTTP 500" else [0] * 3
    post_office = scene.sender(try_s=0.3)
    for delay in (5, 15, 45):
        await post_office.round()
        came = len(scene.receiver.posts)
        scene.clock.now += delay - 1
        await post_office.round()
        assert len(scene.receiver.posts) == came, "too early"
        scene.clock.now += 1
    assert scene.told(video)["state"] == "pending"
    if trouble == "ConnectError":
        scene.clock.now += GIVE_UP_S
        await post_office.round()
        told = scene.told(video)
        assert (told["state"], told["tries"], told["reason"]) == ("gave_up", 4, "ConnectError")
        assert owed(scene.jobs) == []
        return
    await post_office.round()
    assert len(scene.receiver.posts) == 4
    assert {post.verified()["id"] for post in scene.receiver.posts} == {scene.receiver.posts[0].headers["webhook-id"]}
    assert len({post.headers["webhook-timestamp"] for post in scene.receiver.posts}) == 4
    assert scene.told(video)["state"] == "delivered"


async def test_a_slow_receiver_holds_up_itself_alone(scene: Scene) -> None:
    """While one receiver does not answer, another gets its events and its retries on time."""
    with hook_receiver() as slow:
        slow.script, scene.receiver.script = [0], [500]
        post_office = scene.sender(try_s=60)
        held = scene.ask(webhook_url=slow.url)["id"]
        scene.hand.finish()
        serving = asyncio.create_task(post_office.serve())
        await asyncio.to_thread(slow.wait, 1, seconds=60)
        behind = scene.ask(webhook_url=slow.url)["id"]
        scene.ask()
        scene.hand.finish()
        await asyncio.to_thread(post_office.nudge)
        await asyncio.to_thread(scene.receiver.wait, 1, seconds=60)
        scene.clock.now += 5
        post_office.nudge()
        await asyncio.to_thread(scene.receiver.wait, 2, seconds=60)
        assert len(slow.posts) == 1, "a receiver gets one end at a time"
        assert [scene.told(video)["state"] for video in (held, behind)] == ["pending", "pending"]
        serving.cancel()
        post_office.nudge()


async def test_a_receiver_is_told_in_the_order_of_the_ends(scene: Scene) -> None:
    """A receiver gets the ends in their order, not in that of the videos' ids."""
    videos = [scene.ask()["id"] for _ in range(6)]
    for video in videos:
        scene.farm.post(f"/v1/videos/{video}/cancel")
        scene.hand.dispatcher.nudge(video)
    await scene.sender().round()
    assert [post.verified()["data"]["id"] for post in scene.receiver.posts] == videos


def test_delays_grow_to_an_hour() -> None:
    """Each delay is longer than the one before; a day has about thirty."""
    delays = [delay_s(tries) for tries in range(1, 40)]
    assert delays[:3] == [5, 15, 45]
    assert delays == sorted(delays)
    assert delays[-1] == 3600
    assert sum(delays[:29]) < GIVE_UP_S < sum(delays[:30])


async def test_gone_is_taken_at_its_word(scene: Scene) -> None:
    """After 410 the farm gives up at once."""
    scene.ask()
    scene.hand.finish()
    scene.receiver.script = [410]
    await scene.sender().round()
    assert owed(scene.jobs) == []


async def test_a_redirect_is_not_followed(scene: Scene) -> None:
    """A redirect counts as a failed try."""
    with hook_receiver() as inner:
        scene.ask()
        scene.hand.finish()
        scene.receiver.script, scene.receiver.location = [307, 307], inner.url
        await scene.sender().round()
        assert (len(scene.receiver.posts), inner.posts) == (1, [])
        assert len(owed(scene.jobs)) == 1


class Killed(BaseException):
    """The process dies here."""


async def test_a_crash_at_any_write_loses_no_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill before the POST, after it, or before the marker goes, the receiver gets the end with the same id."""
    scene.ask()
    scene.hand.finish()  # and here everything dies: the next sender knows only the store
    store = scene.jobs.store

    def die(*_: object) -> bool:
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(store, "put_if_absent", die)
        with pytest.raises(Killed):
            await scene.sender().round()
    with monkeypatch.context() as broken:
        broken.setattr(store, "delete", die)
        with pytest.raises(Killed):
            await scene.sender().round()
    assert len(owed(scene.jobs)) == 1
    await scene.sender().round()
    assert owed(scene.jobs) == []
    assert len(scene.receiver.posts) == 2
    assert scene.receiver.posts[0].headers["webhook-id"] == scene.receiver.posts[1].headers["webhook-id"]


async def test_markers_that_nobody_needs_go(scene: Scene) -> None:
    """Markers of deleted videos go at once, those of interrupted retries after an hour; neither is delivered."""
    deleted, kept = (scene.ask()["id"] for _ in range(2))
    for video in (deleted, kept):
        scene.farm.post(f"/v1/videos/{video}/cancel")
        scene.hand.dispatcher.nudge(video)
    scene.farm.delete(f"/v1/videos/{deleted}")
    mark_hooks(scene.jobs.store, kept, 2, ["request"], at=scene.clock())
    post_office = scene.sender()
    await post_office.round()
    assert [post.verified()["data"]["id"] for post in scene.receiver.posts] == [kept]
    scene.clock.now += 3700
    Jobs(scene.jobs.store, clock=scene.clock).sweep(deleted)
    await post_office.round()
    assert (len(scene.receiver.posts), owed(scene.jobs)) == (1, [])


async def test_a_damaged_receiver_does_not_stop_the_others(
    scene: Scene, store: FolderStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The farm logs an unreadable webhook.json without quoting it, tries it later, and serves other receivers."""
    broken, whole = scene.ask()["id"], scene.ask()["id"]
    path = store.root / f"jobs/{broken}/webhook.json"
    path.write_text('{"url": "http://localhost/path-token", "sekret": "s"}')
    scene.hand.finish()
    post_office = scene.sender()
    await post_office.round()
    assert [post.verified()["data"]["id"] for post in scene.receiver.posts] == [whole]
    await post_office.round()
    (skipped,) = [facts_of(record) for record in caplog.records if "webhook_skipped" in record.getMessage()]
    message = "webhook.json cannot be read: 1 faults"
    assert skipped == {"action": "webhook_skipped", "job_id": broken, "message": message}
    assert "path-token" not in caplog.text


async def test_an_unexpected_error_does_not_stop_the_others(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The farm logs it with its trace, delivers to the other receivers, and tries again after 5 s."""
    errors = [RuntimeError("a bug")]

    async def look_up(host: str, port: int) -> Sequence[str]:
        if host == "broken.example" and errors:
            raise errors.pop()
        return ["127.0.0.1"]

    broken, whole = (
        scene.ask(webhook_url=f"http://{name}.example:{scene.receiver.port}/x")["id"] for name in ("broken", "whole")
    )
    scene.hand.finish()
    post_office = scene.sender(resolve=look_up)
    await post_office.round()
    assert [post.verified()["data"]["id"] for post in scene.receiver.posts] == [whole]
    [crash] = [record for record in caplog.records if record.message == "webhook_crash"]
    assert crash.exc_info
    scene.clock.now += 5
    await post_office.round()
    assert [post.verified()["data"]["id"] for post in scene.receiver.posts] == [whole, broken]


@pytest.mark.parametrize("data", ["{", "[]", '{"at": null}'])
async def test_a_garbled_marker_does_not_stop_the_others(scene: Scene, store: FolderStore, data: str) -> None:
    """The sender leaves an unreadable marker alone and delivers the others."""
    broken = scene.ask()["id"]
    scene.hand.finish()
    post_office = scene.sender()
    await post_office.round()
    mark_hooks(scene.jobs.store, broken, 99, ["request"], at=scene.clock())
    [marker] = owed(scene.jobs)
    (store.root / marker).write_text(data)
    whole = scene.ask()["id"]
    scene.hand.finish()
    await post_office.round()
    assert [post.verified()["data"]["id"] for post in scene.receiver.posts] == [broken, whole]
    assert owed(scene.jobs) == [marker]


async def test_the_same_idempotency_key_tells_nothing_again(scene: Scene) -> None:
    """A repeated request delivers nothing again; with another webhook_url it is a conflict."""
    first = scene.ask(key="k")
    scene.hand.finish()
    post_office = scene.sender()
    await post_office.round()
    again = scene.ask(key="k")
    scene.jobs.sweep(again["id"])
    await post_office.round()
    assert (again["id"], len(scene.receiver.posts), owed(scene.jobs)) == (first["id"], 1, [])
    assert scene.post(key="k", webhook_url=f"{scene.receiver.url}/2").status_code == 409


async def test_the_farms_own_hook_is_told_of_every_video(scene: Scene) -> None:
    """FARM_WEBHOOK_URL gets every video's end, besides a request's own URL; users do not see its host."""
    settings = FarmSettings(
        model="tiny",
        webhook_allow_private=True,
        webhook_url=f"http://localhost:{scene.receiver.port}/farm",
        webhook_secret=SECRET,
    )
    scene.use(settings)
    plain = scene.post().json()
    scene.ask(webhook_secret=OTHER_SECRET)
    scene.hand.finish()
    await scene.sender().round()
    assert sorted(post.path for post in scene.receiver.posts) == ["/farm", "/farm", "/told/path-token"]
    for post in scene.receiver.posts:
        post.verified(SECRET if post.path == "/farm" else OTHER_SECRET)
    assert scene.farm.get(f"/v1/videos/{plain['id']}").json()["webhook"] is None
    assert scene.farm.get(f"/v1/videos/{plain['id']}/webhook").status_code == 404


async def test_secrets_stay_where_they_are_needed(
    scene: Scene,
    store: FolderStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """URL and secret are in no answer and no log line, and in one object only."""
    caplog.set_level(logging.DEBUG)
    made = scene.ask(webhook_secret=OTHER_SECRET)
    scene.receiver.script = [500]
    scene.hand.finish()
    post_office = scene.sender()
    await post_office.round()
    scene.clock.now += 5
    await post_office.round()
    remix = scene.farm.post(f"/v1/videos/{made['id']}/remix", json={"prompt": "a dog"}).json()
    assert (made["webhook"], remix["webhook"]) == ("127.0.0.1", None)
    shown = [scene.farm.get(f"/v1/videos{path}").text for path in ("", f"/{made['id']}", f"/{made['id']}/webhook")]
    secret = OTHER_SECRET.removeprefix("whsec_")
    for text in (*shown, caplog.text, repr(ALLOWED)):
        assert not [word for word in ("path-token", secret, SECRET) if word in text]
    holders = [path.name for path in store.root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert holders == ["webhook.json"]
    scene.farm.delete(f"/v1/videos/{made['id']}")
    assert not list(store.root.rglob("webhook.json"))


def test_what_cannot_be_told_is_refused_when_it_is_asked(http: TestClient, jobs: Jobs, png: bytes) -> None:
    """The error names the field without quoting it, and the farm stores nothing."""
    refused: list[tuple[str, dict[str, str]]] = [
        ("webhook_url", {"webhook_url": url, "webhook_secret": SECRET})
        for url in (
            *("http://127.0.0.1:8000/x", "http://localhost/x", "http://2130706433/x", "https://[::ffff:10.0.0.1]/x"),
            *("https://printer/x", "https://metadata.google.internal./x", "https://me:pw@example.org/x"),
            *("https://example.org:25/x", "ftp://example.org/x", "example.org"),
        )
    ]
    refused += [
        ("webhook_secret", {"webhook_url": "https://example.org/x", "webhook_secret": "whsec_c2hvcnQ="}),
        ("webhook_secret", {"webhook_url": "https://example.org/x"}),
        ("webhook_secret", {"webhook_secret": SECRET}),
    ]
    for field, fields in refused:
        answer = http.post("/v1/videos", data={"prompt": "a cat", **fields}, files={"input_reference": ("a.png", png)})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), fields
        assert [error["field"] for error in answer.json()["errors"]] == [field], fields
        assert not [value for value in fields.values() if value.partition("/x")[0] in answer.text]
    assert jobs.open_ids() == owed(jobs) == []


def test_a_sender_that_cannot_start_tries_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread lives in the dispatcher's process, which must not end with it."""
    sender, troubles = scene.sender(), [OSError("no certificates"), KeyboardInterrupt()]

    async def serve() -> None:
        raise troubles.pop(0)

    monkeypatch.setattr(sender, "serve", serve)
    monkeypatch.setattr("farm.webhooks.sender.FIRST_DELAY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        sender.run()
    assert troubles == []
