"""Every view on every screen: wide and narrow."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.page.visit import Visit


def test_a_phone_has_room_for_all_of_it(visit: Visit) -> None:
    """At 390 px nothing scrolls sideways, and every view is one tap away."""
    page = visit.phone()
    for view in ("Queue", "Library", "Workers", "Create"):
        page.get_by_role("link", name=view).click()
        expect(page.get_by_role("main")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
