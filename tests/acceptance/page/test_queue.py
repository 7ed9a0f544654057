"""Queue: what waits is edited, paused and cancelled."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.acceptance.page.videos import ask, ended, resting, shown, the_worker
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess


def test_the_queue_is_edited_paused_and_cancelled(farm: FarmProcess, visit: Visit) -> None:
    """Videos that wait can be edited, paused and cancelled, each in its row; the farm makes them as they are then."""
    worker = the_worker(farm)
    assert farm.http.post(f"/v1/workers/{worker['id']}/pause").status_code == 200
    edited, cancelled = ask(farm, "to be edited"), ask(farm, "to be cancelled")
    page = visit.page("queue")
    row = page.get_by_role("listitem").filter(has_text="to be edited")
    row.get_by_role("button", name="Edit", exact=True).click()
    row.get_by_label("Prompt").fill("was edited")
    row.get_by_role("button", name="Save").click()
    row = page.get_by_role("listitem").filter(has_text="was edited")
    row.get_by_role("button", name="Pause", exact=True).click()
    expect(row.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    page.get_by_role("listitem").filter(has_text="to be cancelled").get_by_role(
        "button", name="Cancel", exact=True
    ).click()
    expect(page.get_by_role("listitem").filter(has_text="to be cancelled")).to_have_count(0)
    assert [shown(farm, video)["status"] for video in (edited, cancelled)] == ["paused", "cancelled"]
    row.get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("link", name="Workers").click()
    page.get_by_role("main").get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_role("article", name="was edited")).to_be_visible()
    assert shown(farm, edited)["prompt"] == "was edited"


@pytest.mark.page
def test_everything_is_paused_and_resumed(farm: FarmProcess, visit: Visit) -> None:
    """One button pauses all of a person's videos, another lets them go on; an undo brings a cancelled one back."""
    with resting(farm):
        videos = [ask(farm, f"rests {number}") for number in range(3)]
        page = visit.page("queue")
        page.get_by_role("button", name="Pause all mine").click()
        paused = page.get_by_role("list", name="Paused").get_by_role("listitem")
        expect(paused).to_have_count(3)
        assert [shown(farm, video)["status"] for video in videos] == ["paused"] * 3
        page.get_by_role("button", name="Resume all").click()
        waiting = page.get_by_role("list", name="Waiting").get_by_role("listitem")
        expect(waiting).to_have_count(3)
        waiting.filter(has_text="rests 1").get_by_role("button", name="Cancel", exact=True).click()
        expect(waiting).to_have_count(2)
        page.get_by_role("button", name="Undo", exact=True).click()
        expect(waiting).to_have_count(3)
        assert [shown(farm, video)["status"] for video in videos] == ["queued"] * 3
    for video in videos:
        ended(farm, video)
