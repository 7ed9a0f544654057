"""What the page asks for, and of whom; counts, never times."""

from __future__ import annotations

import httpx
from playwright.sync_api import expect

from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess


def test_the_reference_needs_no_network(farm: FarmProcess, visit: Visit) -> None:
    """/docs shows the calls with scripts of the farm alone."""
    page = visit.page()
    page.goto(f"{page.url.partition('/ui/')[0]}/docs")
    expect(page.get_by_text("/v1/videos", exact=True).first).to_be_visible()
    assert httpx.get(f"{farm.http.base_url}/docs").text.count("//cdn") == 0
