"""The farm and the network go and come back; the page loses nothing."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.page.videos import ask
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess


def test_the_farm_goes_and_comes_back(farm: FarmProcess, visit: Visit) -> None:
    """Where every ingress dies, the page keeps what it shows, says so, and goes on by itself."""
    ask(farm, "survives", seconds="24", num_inference_steps="20")
    page = visit.page("queue")
    job = page.get_by_role("region", name="survives")
    expect(job).to_be_visible()
    for ingress in farm.actors("ServeReplica"):
        ingress.kill()
    expect(page.get_by_text("The farm does not answer, trying again.")).to_be_visible()
    expect(job).to_be_visible()
    expect(page.get_by_text("The farm does not answer, trying again.")).to_be_hidden()
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_have_count(0)
