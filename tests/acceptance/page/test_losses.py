"""The farm, its store and the network go and come back; the page loses nothing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.acceptance.page.form import fill
from tests.acceptance.page.videos import ask, resting
from tests.acceptance.page.visit import KEYS, Visit, until
from tests.farm_process import FarmProcess


def test_the_farm_goes_and_comes_back(farm: FarmProcess, visit: Visit) -> None:
    """Where every ingress dies, the page keeps what it shows, says so, and goes on by itself."""
    ask(farm, "survives", seconds="120", num_inference_steps="100")  # it lasts until it is cancelled
    page = visit.page("queue")
    job = page.get_by_role("region", name="survives")
    expect(job).to_be_visible()
    for ingress in farm.actors("ServeReplica"):
        ingress.kill()
    expect(page.get_by_text("The farm does not answer. Trying again …")).to_be_visible()
    expect(job).to_be_visible()
    expect(page.get_by_text("The farm does not answer. Trying again …")).to_be_hidden()
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_have_count(0)


def test_the_network_of_a_tab_goes_and_comes_back(farm: FarmProcess, visit: Visit) -> None:
    """Without a network, the page keeps what it shows and sends what was asked for; with it, it is true again."""
    page = visit.page()
    fill(page, "asked for without a network")
    page.get_by_label("Seconds", exact=True).fill("1.2")
    page.context.set_offline(True)
    page.get_by_role("button", name="Generate").click()
    away = page.get_by_text("The farm does not answer. Trying again …")
    expect(away).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("asked for without a network")
    page.context.set_offline(False)
    expect(away).to_be_hidden()
    expect(page.get_by_text("It is in the queue.")).to_be_visible()
    made = farm.http.get("/v1/videos", params={"q": "asked for without a network"}).json()["data"]
    assert len(made) == 1
    page.get_by_role("link", name="Queue").click()
    expect(page.get_by_role("link", name="Queue")).not_to_contain_text("1")  # the stream is back: it tells the end


@contextlib.contextmanager
def store_away(farm: FarmProcess) -> Iterator[None]:
    """Let each write to the farm's store fail: the folder in which it writes leads to itself."""
    folder = farm.storage / ".tmp"
    kept = folder.rename(folder.with_name(".kept"))
    folder.symlink_to(folder)
    try:
        yield
    finally:
        folder.unlink()
        kept.rename(folder)


@pytest.mark.page
def test_the_store_goes_and_comes_back(farm: FarmProcess, visit: Visit) -> None:
    """The farm answers 503. The form keeps all of it, says what happens now, and the video is made once after all."""
    page = visit.page()
    fill(page, "asked for without a store", Steps="3")
    with resting(farm):
        with store_away(farm):
            with page.expect_response(lambda answer: answer.request.method == "POST" and answer.status == 503):
                page.get_by_role("button", name="Generate").click()
            expect(page.get_by_text("sends it as soon as the farm can take it. You need do nothing")).to_be_visible()
            expect(page.get_by_text("can store nothing at the moment: the store does not answer")).to_be_visible()
            expect(page.get_by_label("Prompt", exact=True)).to_have_value("asked for without a store")
            expect(page.get_by_label("Steps", exact=True)).to_have_value("3")
            expect(page.get_by_role("img", name="cat.jpg")).to_be_visible()
        expect(page.get_by_text("It is in the queue.")).to_be_visible()
        expect(page.get_by_text("The farm can store nothing")).to_be_hidden()
        (made,) = farm.http.get("/v1/videos", params={"q": "asked for without a store"}).json()["data"]
        assert farm.http.post(f"/v1/videos/{made['id']}/cancel").status_code == 200


@pytest.mark.page
def test_the_title_of_a_hidden_tab_goes_on(farm: FarmProcess, visit: Visit, window: BrowserContext) -> None:
    """Behind another tab, it has no stream; once a minute its title tells how far the video is and how many wait."""
    page = visit.tab(window, f"{visit.origin()}/ui/queue#key={KEYS['ann']}")
    page.clock.install()
    page.reload()
    videos = [ask(farm, "runs while hidden", seconds="60", num_inference_steps="100")]
    expect(page.get_by_role("region", name="runs while hidden")).to_be_visible()
    with page.expect_event("requestfailed", lambda request: "/v1/events" in request.url):
        window.new_page().bring_to_front()
        until(page, "document.hidden")
        videos += [ask(farm, f"waits while hidden {number}", priority="-1") for number in range(3)]
        page.clock.run_for(10_000)
    expect(page).to_have_title(re.compile(r"^\d+ % · 3 wait – Queue"))
    videos.append(ask(farm, "waits, too", priority="-1"))
    page.clock.run_for(60_000)
    expect(page).to_have_title(re.compile(r"^\d+ % · 4 wait – Queue"))
    for video in reversed(videos):
        assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200


@pytest.mark.page
def test_eight_tabs_are_all_usable(farm: FarmProcess, visit: Visit, window: BrowserContext) -> None:
    """A browser has six connections to a host. Tabs in the background give theirs back, so the eighth loads, too."""
    tabs = list[Page]()
    for _ in range(8):
        tabs.append(visit.tab(window, f"{visit.origin()}/ui/queue#key={KEYS['ann']}"))
        expect(tabs[-1].get_by_role("heading", name="Queue")).to_be_visible()
        expect(tabs[-1].get_by_role("link", name="Workers")).to_contain_text("1/1")  # its stream tells of the worker
    with resting(farm):
        video = ask(farm, "seen in each tab")
        for tab in tabs:
            tab.bring_to_front()
            expect(tab.get_by_role("listitem").filter(has_text="seen in each tab")).to_be_visible()
        assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200
