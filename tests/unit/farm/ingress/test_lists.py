"""Lists: what they filter by, that they show what each video shows, and what they ask of the dispatcher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from deploy import cli
from farm.contract import JobId
from farm.errors import NotFound
from farm.jobs import Jobs
from farm.jobs import pages as pages_module
from farm.request import VideoEdit
from tests.unit.conftest import DispatcherHere, Hand
from tests.unit.farm.ingress.test_ingress import ask

Out = pytest.CaptureFixture[str]


def listed(http: TestClient, **query: Any) -> list[dict[str, Any]]:
    """Every video of the list, over all its pages."""
    found: list[dict[str, Any]] = []
    after = None
    while True:
        answer = http.get("/v1/videos", params={**query, **({"after": after} if after else {})})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        after = page["last_id"]
        if not page["has_more"]:
            return found


def names(http: TestClient, **query: Any) -> list[str]:
    """The names of those videos."""
    return [video["name"] for video in listed(http, **query)]


@pytest.fixture
def four(http: TestClient, hand: Hand) -> dict[str, dict[str, Any]]:
    """By name: a completed, a cancelled, a paused and a queued video, oldest first."""
    videos = {"Katze": ask(http, name="Katze", prompt="A cat sleeps.", seconds="1", labels='["starred", "pets"]')}
    hand.finish()
    for name, prompt in (("dog", "STRASSE"), ("bird", "a bird, 100 % blue"), ("", "Another CAT")):
        videos[name] = ask(http, name=name, prompt=prompt)
    http.post(f"/v1/videos/{videos['dog']['id']}/cancel")
    http.post(f"/v1/videos/{videos['bird']['id']}/pause")
    return videos


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["", "bird", "dog", "Katze"]),
        ({"order": "asc"}, ["Katze", "dog", "bird", ""]),
        ({"q": "cat"}, ["", "Katze"]),
        ({"q": "CAT"}, ["", "Katze"]),
        ({"q": "kat"}, ["Katze"]),
        ({"q": "straße"}, ["dog"]),
        ({"q": "100 %"}, ["bird"]),
        ({"q": ".*"}, []),
        ({"q": ""}, ["", "bird", "dog", "Katze"]),
        ({"starred": True}, ["Katze"]),
        ({"starred": False}, ["", "bird", "dog"]),
        ({"q": "cat", "starred": False, "limit": 1}, [""]),
        ({"status": "cancelled", "q": "dog"}, ["dog"]),
        ({"status": "paused", "q": "cat"}, []),
        ({"status": "completed", "starred": True, "order": "asc"}, ["Katze"]),
    ],
)
def test_filters(http: TestClient, query: dict[str, object], expected: list[str]) -> None:
    """`q` finds letters of prompt or name in any case; `starred` asks for the label; all filters must agree."""
    assert names(http, **query) == expected


@pytest.mark.usefixtures("four")
def test_a_short_page_says_where_to_go_on(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search looks at so many videos a page; a client that goes on after `last_id` finds all."""
    monkeypatch.setattr(pages_module, "MOST_LOOKS", 1)
    page = http.get("/v1/videos", params={"q": "sleeps", "limit": 1}).json()
    assert (page["data"], page["has_more"], bool(page["last_id"])) == ([], True, True)
    assert names(http, q="sleeps", limit=1) == ["Katze"]


@pytest.mark.parametrize("query", ["starred=maybe", f"q={'x' * 201}", "limit=0", "status=gone"])
def test_a_bad_filter_is_named(http: TestClient, query: str) -> None:
    """A filter that cannot be read is refused by its name."""
    answer = http.get(f"/v1/videos?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, query.partition("=")[0])


def test_a_list_shows_what_each_video_shows(http: TestClient, four: dict[str, dict[str, Any]]) -> None:
    """Each video of a list is the object that its own path gives, at first and from memory."""
    for _ in range(2):
        shown = listed(http)
        assert shown == [http.get(f"/v1/videos/{video['id']}").json() for video in reversed(list(four.values()))]
    assert shown[1]["status"] == "paused"


def test_lists_follow_what_others_do(http: TestClient, four: dict[str, dict[str, Any]], jobs: Jobs) -> None:
    """The next list has the edits, retries and deletions of another ingress."""
    listed(http)
    other = Jobs(jobs.store)
    other.edit(four["Katze"]["id"], VideoEdit(name="Kater", labels=()), owner="local")
    other.wish(four["dog"]["id"], "retry", owner="local")
    assert names(http, starred=True) == []
    assert names(http, status="queued") == ["", "dog"]
    other.delete(four["Katze"]["id"], owner="local")
    assert names(http) == ["", "bird", "dog"]


def test_a_list_asks_the_dispatcher_once(
    http: TestClient, four: dict[str, dict[str, Any]], door: DispatcherHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question names the page's open videos; a page of ended ones needs none; without an answer the list stays."""
    asked, lives = list[Sequence[JobId]](), door.lives

    async def counting(jobs: Sequence[JobId]) -> Any:
        asked.append(jobs)
        return await lives(jobs)

    monkeypatch.setattr(door, "lives", counting)
    shown = listed(http)
    assert [video["queue_position"] for video in shown] == [0, None, None, None]
    assert asked == [sorted([four[""]["id"], four["bird"]["id"]])]
    assert names(http, status="completed") == ["Katze"]
    assert len(asked) == 1
    door.answers = False
    assert [video["queue_position"] for video in listed(http)] == [None] * 4


def test_labels_and_name_change_in_every_state(http: TestClient, hand: Hand) -> None:
    """While it is queued, rendered, paused, cancelled, completed: 200 and the new values; deleted: 404."""
    video = ask(http, seconds="1", labels='["a", "a", "b"]')
    path = f"/v1/videos/{video['id']}"
    assert video["labels"] == ["a", "b"]
    assert http.patch(path, data={"labels": "a, c"}).json()["labels"] == ["a", "c"]

    def change(*labels: str) -> None:
        name = "-".join(labels)
        status = http.get(path).json()["status"]
        answer = http.patch(path, json={"labels": labels, "name": name}).json()
        assert (answer["labels"], answer["name"], answer["status"]) == (list(labels), name, status)
        assert http.get(path).json() == answer

    change("queued")
    hand.commit(hand.take(), conditioning=b"c")
    change("in_progress", "starred")
    http.post(f"{path}/pause")
    change()
    http.post(f"{path}/cancel")
    change("cancelled")
    http.post(f"{path}/retry")
    change("again")
    hand.finish()
    change("completed", "starred")
    assert http.patch(path, json={"labels": ["x"], "priority": 3}).json()["code"] == "conflict"
    assert http.get(path).json()["labels"] == ["completed", "starred"]
    assert http.get(path).json()["completed_at"] is not None
    http.delete(path)
    assert http.patch(path, json={"labels": []}).status_code == 404


def test_labels_leave_what_is_made_alone(http: TestClient, hand: Hand) -> None:
    """A label voids no lease, is no edit of the video, and a remix begins without it. A name while it ends is in it."""
    video = ask(http, seconds="1", labels='["mine"]')
    path = f"/v1/videos/{video['id']}"
    hand.commit(hand.take(), conditioning=b"c")
    section = hand.take()
    assert http.patch(path, json={"labels": ["starred"]}).json()["edits"] == []
    hand.commit(section, section=b"s")
    hand.commit(hand.take(), clip=b"x")
    finish = hand.take()
    http.patch(path, json={"name": "late"})
    again = hand.take()
    assert (again.key, again.job.request.name, again.attempt > finish.attempt) == (finish.key, "late", True)
    hand.commit(again, video=b"mp4 bytes")
    assert http.get(path).json()["edits"] == [{"from_section": 1, "name": "late"}]
    assert http.post(f"{path}/remix", json={"seed": 3}).json()["labels"] == []


@pytest.mark.parametrize("labels", [[str(n) for n in range(17)], [""], ["x" * 101], "a,,b", "[1", ["\x00"], 3])
def test_bad_labels_are_named(http: TestClient, labels: object) -> None:
    """Seventeen labels, an empty, a long one, no list, control characters: 422 names the field."""
    video = ask(http)
    answer = http.patch(f"/v1/videos/{video['id']}", json={"labels": labels})
    assert (answer.status_code, answer.json()["error"]["param"].partition(".")[0]) == (422, "labels")


def test_an_edit_after_the_end_is_no_second_end(http: TestClient, hand: Hand, jobs: Jobs) -> None:
    """The stream still ends, for new and for returning clients; a later retry begins another end."""
    video = ask(http, seconds="1")
    path = f"/v1/videos/{video['id']}"
    http.post(f"{path}/cancel")
    before = http.get(f"{path}/events").text
    for name in ("b", "c"):
        http.patch(path, json={"name": name})
    assert http.get(f"{path}/events").text.count("event: end") == 1
    last = before.strip().split("id: ")[-1].splitlines()[0]
    assert http.get(f"{path}/events", headers={"Last-Event-ID": last}).status_code == 204
    head = jobs.get(video["id"], owner="local").head
    assert (head.seq, head.end) == (3, 1)
    http.post(f"{path}/retry")
    hand.finish()
    head = jobs.get(video["id"], owner="local").head
    assert head.end == head.seq
    assert http.get(f"{path}/events").text.count("event: end") == 1


def test_filters_from_the_command_line(farm_url: str, four: dict[str, dict[str, Any]], capsys: Out) -> None:
    """`list --q --starred` and `edit --labels` are the API's fields."""
    assert farm_url
    assert cli.main(["edit", four["dog"]["id"], "--labels", "starred, walks"]) == 0
    capsys.readouterr()
    assert cli.main(["list", "--starred", "--q", "DOG"]) == 0
    assert four["dog"]["id"] in (out := capsys.readouterr().out)
    assert four["Katze"]["id"] not in out
    assert cli.main(["list", "--no-starred"]) == 0
    assert four["dog"]["id"] not in capsys.readouterr().out


def test_other_owners_labels_are_not_there(http: TestClient, jobs: Jobs) -> None:
    """Another owner's video cannot be labelled, found or told from one that never was."""
    video = ask(http)
    with pytest.raises(NotFound):
        jobs.edit(video["id"], VideoEdit(labels=("starred",)), owner="bob")
