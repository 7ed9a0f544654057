"""The farm and the network go and come back; the page loses nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.page.form import fill
from tests.acceptance.page.videos import ask, resting
from tests.acceptance.page.visit import Visit
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


@pytest.mark.page
def test_eight_tabs_are_all_usable(farm: FarmProcess, visit: Visit) -> None:
    """A browser has six connections to a host. Tabs in the background give theirs back, so the eighth loads, too."""
    first = visit.page("queue")
    tabs = [first]
    for _ in range(7):
        hide(tabs[-1])
        tabs.append(visit.tab(first.context, f"{visit.origin()}/ui/queue"))
        expect(tabs[-1].get_by_role("heading", name="Queue")).to_be_visible()
        expect(tabs[-1].get_by_role("link", name="Workers")).to_contain_text("1/1")  # its stream tells of the worker
    with resting(farm):
        video = ask(farm, "seen in each tab")
        for tab in tabs:
            hide(tab, hidden=False)
            expect(tab.get_by_role("listitem").filter(has_text="seen in each tab")).to_be_visible()
            hide(tab)
        assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200


def hide(page: Page, *, hidden: bool = True) -> None:
    """Put a tab into the background or to the front. Chromium without a screen counts every tab as shown."""
    page.evaluate(
        """isHidden => {
            Object.defineProperty(document, 'hidden', {configurable: true, get: () => isHidden})
            document.dispatchEvent(new Event('visibilitychange'))
        }""",
        hidden,
    )
