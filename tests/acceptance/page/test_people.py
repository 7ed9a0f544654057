"""Two people on one farm: each signs in, and sees what is theirs."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.page.videos import ask
from tests.acceptance.page.visit import KEYS, Visit
from tests.farm_process import FarmProcess


def test_two_people_see_their_own_videos(farm: FarmProcess, visit: Visit) -> None:
    """One signs in with a key, a wrong one is refused, and nobody sees the videos of somebody else."""
    ask(farm, "only for ann")
    ben = visit.page("library", owner=None)
    ben.get_by_label("API key").fill("wrong")
    ben.get_by_role("button", name="Sign in").click()
    expect(ben.get_by_role("alert")).to_be_visible()
    ben.get_by_label("API key").fill(KEYS["ben"])
    ben.get_by_role("button", name="Sign in").click()
    expect(ben.get_by_text("No video has ended yet.")).to_be_visible()
    ann = visit.page("library")
    assert "key=" not in ann.url
    expect(ann.get_by_role("article", name="only for ann")).to_be_visible()
    expect(ben.get_by_role("article")).to_have_count(0)
