"""Edits of a waiting video: what the user sees, what workers get, and which finished work stays."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from deploy import cli
from farm.errors import Conflict, LeaseLost
from farm.jobs import Jobs
from farm.ledger import Entry
from farm.request import VideoEdit
from tests.unit.conftest import Hand
from tests.unit.farm.ingress.test_ingress import ask

Out = pytest.CaptureFixture[str]


def edit(http: TestClient, video: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Edit a video; the farm must accept the changes."""
    answer = http.patch(f"/v1/videos/{video['id']}", json=changes)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_waits_can_be_changed(http: TestClient, hand: Hand) -> None:
    """The answer, a later read and the next order have the new values; a form works as well as JSON."""
    video = ask(http, name="one")
    changed = edit(http, video, prompt="a dog", priority=3)
    assert (changed["prompt"], changed["request"]["priority"], changed["name"]) == ("a dog", 3, "one")
    assert http.patch(f"/v1/videos/{video['id']}", data={"name": "two"}).json()["name"] == "two"
    assert http.get(f"/v1/videos/{video['id']}").json()["edits"] == [
        {"from_section": 0, "prompt": "a dog", "priority": 3, "name": "two"}
    ]
    request = hand.take().job.request
    assert (request.prompt, request.priority, request.name) == ("a dog", 3, "two")


def test_a_higher_priority_goes_first(http: TestClient, hand: Hand) -> None:
    """The scheduler uses the new priority."""
    first, second = ask(http), ask(http, prompt="a dog")
    edit(http, second, priority=10)
    assert [hand.take().job.id, hand.dispatcher.live(first["id"]).queue_position] == [second["id"], 0]  # type: ignore[union-attr]


def test_another_prompt_keeps_sections_and_makes_the_conditioning_again(http: TestClient, hand: Hand) -> None:
    """Section 0 stays; section 1 gets the new prompt from a new conditioning; the decode of section 0 continues."""
    video = ask(http, seconds="3.6")
    hand.commit(hand.take(), conditioning=b"old")
    old = hand.take()
    hand.commit(old, section=b"s0")
    http.post(f"/v1/videos/{video['id']}/pause")
    changed = edit(http, video, prompt="a dog")
    assert (changed["status"], changed["sections_done"]) == ("paused", 1)
    assert changed["edits"] == [{"from_section": 1, "prompt": "a dog"}]
    assert edit(http, video, prompt="a bird", name="b")["edits"] == [
        {"from_section": 1, "prompt": "a bird", "name": "b"}
    ]
    http.post(f"/v1/videos/{video['id']}/resume")
    again = hand.take()
    assert (str(again.key), again.job.request.prompt) == ("encode", "a bird")
    hand.commit(again, conditioning=b"new")
    section = hand.take()
    assert (str(section.key), section.job.request.prompt) == ("section/1", "a bird")
    assert hand.jobs.store.get(section.needs["conditioning"].key) == b"new"
    assert [edit.from_section for edit in section.job.edits] == [1]


def test_who_works_on_the_old_prompt_loses_the_lease(http: TestClient, hand: Hand, jobs: Jobs) -> None:
    """An encode or a section under way when the prompt changed commits nothing; its saved step is void."""
    video = ask(http, seconds="3")
    encode = hand.take()
    http.post(f"/v1/videos/{video['id']}/pause")
    edit(http, video, prompt="a dog")
    with pytest.raises(LeaseLost):
        hand.commit(encode, conditioning=b"old")
    http.post(f"/v1/videos/{video['id']}/resume")
    hand.commit(hand.take(), conditioning=b"new")
    section = hand.take()
    http.post(f"/v1/videos/{video['id']}/pause")
    edit(http, video, name="only a name")  # touches nothing that is made
    hand.commit(section, section=b"s0")
    assert jobs.get(video["id"], owner="local").head.state.conditioning is not None


def test_a_decode_whose_answer_was_lost_waits_for_the_new_conditioning(http: TestClient, hand: Hand) -> None:
    """When the worker asks again, it gets the encode first, and then the decode with everything it needs."""
    video = ask(http, seconds="6")
    while (lost := hand.take()).key.stage != "decode":
        hand.commit(lost, **{"conditioning" if lost.key.stage == "encode" else "section": b"old"})
    http.post(f"/v1/videos/{video['id']}/pause")
    edit(http, video, prompt="a dog")
    http.post(f"/v1/videos/{video['id']}/resume")
    encode = hand.take()
    assert str(encode.key) == "encode"
    hand.commit(encode, conditioning=b"new")
    again = hand.take()
    assert (again.key, again.attempt) == (lost.key, lost.attempt)
    assert hand.jobs.store.get(again.needs["conditioning"].key) == b"new"


def test_what_no_longer_waits_cannot_be_changed(http: TestClient, hand: Hand) -> None:
    """An edit gets 409 while a worker renders, after the end, and for a prompt once every section is made."""
    video = ask(http, seconds="1")
    path = f"/v1/videos/{video['id']}"
    hand.commit(hand.take(), conditioning=b"c")
    assert http.patch(path, json={"prompt": "x"}).json()["code"] == "conflict"
    hand.commit(hand.take(), section=b"s")
    http.post(f"{path}/pause")
    answer = http.patch(path, json={"prompt": "too late"})
    assert (answer.status_code, "remix" in answer.json()["detail"]) == (409, True)
    edit(http, video, name="still")
    http.post(f"{path}/resume")
    hand.finish()
    assert http.patch(path, json={"priority": 1}).status_code == 409
    assert http.get(path).json()["name"] == "still"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"priority": 11}, "priority"),
        ({"seed": 3}, "seed"),
        ({}, None),
        ({"name": 3}, "name"),
    ],
)
def test_bad_changes_are_named(http: TestClient, changes: dict[str, object], field: str | None) -> None:
    """Nothing is changed."""
    video = ask(http)
    answer = http.patch(f"/v1/videos/{video['id']}", json=changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
    assert http.get(f"/v1/videos/{video['id']}").json()["edits"] == []


def test_a_remix_begins_with_the_changed_request(http: TestClient) -> None:
    """A remix starts from the edited values."""
    video = ask(http, seed="5")
    edit(http, video, prompt="a dog")
    remix = http.post(f"/v1/videos/{video['id']}/remix", json={"seed": 6}).json()
    assert (remix["prompt"], remix["seed"], remix["edits"]) == ("a dog", 6, [])


def test_an_edit_survives_a_restart(http: TestClient, hand: Hand, jobs: Jobs) -> None:
    """The edit is in the ledger, so another process that opens the store sees it."""
    video = ask(http)
    edit(http, video, prompt="a dog")
    assert Jobs(jobs.store).get(video["id"], owner=None).job.request.prompt == "a dog"


def test_edit_from_the_command_line(farm_url: str, http: TestClient, capsys: Out) -> None:
    """The flags are the fields. Without one, or if the state forbids it, the command exits 2 with a message."""
    video = ask(http)["id"]
    assert cli.main(["edit", video, "--prompt", "a dog", "--priority", "-2", "--name", "n"]) == 0
    assert capsys.readouterr().out == f"{video}\tqueued\n"
    assert http.get(f"/v1/videos/{video}").json()["edits"][0]["priority"] == -2
    assert cli.main(["edit", video]) == 2
    assert "--prompt" in capsys.readouterr().err


def test_a_commit_between_the_look_and_the_edit_wins(
    http: TestClient, hand: Hand, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last section is committed during an edit of the prompt, the user gets 409 and no work is wasted."""
    video = ask(http, seconds="1.2")
    hand.commit(hand.take(), conditioning=b"c")
    orders, look = [hand.take()], jobs.ledger.head

    def committed_meanwhile(*args: Any, **options: Any) -> Entry:
        found = look(*args, **options)
        while orders:
            hand.commit(orders.pop(), section=b"s0")
        return found

    http.post(f"/v1/videos/{video['id']}/pause")
    monkeypatch.setattr(jobs.ledger, "head", committed_meanwhile)
    with pytest.raises(Conflict, match="all sections are made"):
        jobs.edit(video["id"], VideoEdit(prompt="a dog"), owner="local")
    state = jobs.get(video["id"], owner="local").head.state
    assert state.conditioning is not None
    assert state.edits == ()
