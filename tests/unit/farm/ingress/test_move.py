"""POST /v1/videos/{id}/move: the new order, its refusals, and that it survives."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from deploy import cli
from farm.client import FarmClient
from farm.contract import JobId
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import Conflict
from farm.jobs import Jobs
from farm.request import Move
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere, Hand
from tests.unit.farm.ingress.test_ingress import ask

Out = pytest.CaptureFixture[str]


@pytest.fixture
def three(http: TestClient) -> list[str]:
    """Ids of three videos that wait, in their order."""
    return [ask(http, prompt=f"cat {n}", seconds=f"{1.2 * n}")["id"] for n in (1, 2, 3)]


def move(http: TestClient, video: str, **place: object) -> dict[str, Any]:
    """Move a video; the farm must accept it."""
    answer = http.post(f"/v1/videos/{video}/move", json=place)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def order(door: DispatcherHere) -> list[str]:
    """The queue, as the event `queue` tells it."""
    return list(door.dispatcher.news(None).queue or ())


def test_a_moved_video_goes_first_and_stays_there(
    http: TestClient, door: DispatcherHere, jobs: Jobs, hand: Hand, three: list[str]
) -> None:
    """The answer tells its place, a worker obeys, and so does the dispatcher that comes next."""
    one, two, last = three
    assert move(http, last, to="first")["queue_position"] == 0
    assert move(http, one, after=two)["queue_position"] == 2
    assert [http.get(f"/v1/videos/{video}").json()["queue_position"] for video in three] == [2, 1, 0]
    door.dispatcher = Dispatcher(jobs, FarmSettings())
    assert order(door) == [last, two, one]
    assert Hand(jobs, door.dispatcher).take().job.id == last
    moved = jobs.get(last, owner="local").head.state.moved
    assert moved is not None


def test_its_priority_comes_with_the_place_and_another_one_undoes_it(
    http: TestClient, door: DispatcherHere, three: list[str]
) -> None:
    """The video shows the priority that it took; a later PATCH ranks it by its length again."""
    one, two, last = three
    http.patch(f"/v1/videos/{one}", json={"priority": 4})
    moved = move(http, last, before=one)
    assert (moved["request"]["priority"], moved["edits"]) == (4, [{"from_section": 0, "priority": 4}])
    assert order(door) == [last, one, two]
    http.patch(f"/v1/videos/{last}", json={"priority": 4})
    assert http.get(f"/v1/videos/{last}").json()["queue_position"] == 1


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ({}, "before"),
        ({"before": "a", "after": "b"}, "after"),
        ({"after": "b", "to": "first"}, "to"),
        ({"to": "middle"}, "to"),
        ({"before": 7}, "before"),
        ({"beside": "a"}, "beside"),
        ({"to": "first", "end_image": {"file_id": "file-a"}}, "end_image"),
    ],
)
def test_a_move_names_one_place(http: TestClient, three: list[str], place: dict[str, object], field: str) -> None:
    """Else the refusal names the field."""
    answer = http.post(f"/v1/videos/{three[0]}/move", json=place)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


def test_what_does_not_wait_cannot_be_moved(
    http: TestClient, hand: Hand, door: DispatcherHere, three: list[str]
) -> None:
    """Neither the video nor the one beside; a video beside itself is a mistake."""
    one, two, last = three
    assert hand.take().job.id == one
    http.post(f"/v1/videos/{two}/pause")
    for body in ({"to": "first"}, {"before": last}):
        assert http.post(f"/v1/videos/{one}/move", json=body).status_code == 409
        assert http.post(f"/v1/videos/{two}/move", json=body).status_code == 409
    for other in (one, two):
        refused = http.post(f"/v1/videos/{last}/move", json={"after": other})
        assert (refused.status_code, other in refused.json()["detail"]) == (409, True)
    with pytest.raises(Conflict, match=two):  # also where the ingress saw it wait a moment before
        door.dispatcher.move(JobId(last), Move(before=two))
    assert http.post(f"/v1/videos/{last}/move", json={"after": last}).json()["errors"][0]["field"] == "after"
    assert move(http, last, to="last")["queue_position"] == 0


def test_another_owners_video_is_nowhere(http: TestClient, jobs: Jobs, accept: Any, three: list[str]) -> None:
    """Not to move, and not as a place; nor is one that never was."""
    strange = accept(owner="bob").job.id
    for missing in (strange, "video_" + "0" * 32, "x"):
        assert http.post(f"/v1/videos/{missing}/move", json={"to": "first"}).status_code == 404
        assert http.post(f"/v1/videos/{three[0]}/move", json={"before": missing}).status_code == 404
        assert http.post(f"/v1/videos/{three[0]}/move", json={"after": missing}).status_code == 404
    assert jobs.get(strange, owner="bob").head.seq == 0


def test_without_a_dispatcher_nothing_moves(http: TestClient, door: DispatcherHere, three: list[str]) -> None:
    """It alone knows the order, so the farm asks to come back."""
    door.answers = False
    assert http.post(f"/v1/videos/{three[2]}/move", json={"to": "first"}).status_code == 503


def test_the_client_and_the_command_move(farm_url: str, door: DispatcherHere, three: list[str], capsys: Out) -> None:
    """`FarmClient.move` and `framefarm move` do the same."""
    one, two, last = three
    with FarmClient(farm_url) as client:
        assert client.move(last, before=two)["queue_position"] == 1
        with pytest.raises(Conflict):
            client.move(last, after=client.wish(two, "pause")["id"])
        client.wish(two, "resume")
    assert cli.main(["move", last, "--first", "--json"]) == 0
    assert '"queue_position": 0' in capsys.readouterr().out
    assert order(door)[0] == last
    assert cli.main(["move", one, "--after", two]) == 0
    assert cli.main(["move", one, "--last", "--first"]) == 2
    assert "--before ID" in capsys.readouterr().err
