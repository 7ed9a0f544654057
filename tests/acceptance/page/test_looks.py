"""Every view, wide and narrow, light and dark: pictures of each for people to look at, and no serious fault for axe."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.acceptance.page.form import fill, open_more
from tests.acceptance.page.videos import PHOTO, ask, ended, newest, resting, shown
from tests.acceptance.page.visit import Visit, until
from tests.farm_process import FarmProcess
from tests.imports import ROOT
from tests.patience import wait_for

PICTURES = ROOT / "page-pictures"  #: git ignores it
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HEIGHTS = {1440: 900, 1280: 800, 390: 844}  #: of screens, by their width in px
PICTURED, JUDGED = (1440, 390), (1280, 390)
LONG = (
    "An old lighthouse keeper climbs the spiral stairs with a lantern in his hand, while waves break over the rocks "
    "far below, gulls circle the tower, and the first light of the morning reaches the glass of the lamp"
)
FINGER_PX = 44
#: Whether the timeline begins below the video that is watched beside the form.
BELOW = """document.querySelector('.watch').getBoundingClientRect().bottom
    <= document.querySelector('.timeline').getBoundingClientRect().top"""


def look_at(page: Page, name: str) -> None:
    """Keep pictures of the page in both themes and widths. Fail where axe finds a serious fault, or it scrolls."""
    faults = list[str]()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width, height in HEIGHTS.items():
            page.set_viewport_size({"width": width, "height": height})
            until(page, "document.documentElement.scrollWidth <= innerWidth")  # a list takes a moment for its columns
            if width in PICTURED:
                page.evaluate("scrollTo(0, 0)")
                page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
            if width in JUDGED:
                faults += [f"{name}, {width} px, {scheme}: {fault}" for fault in serious(page)]
    assert not faults, faults
    page.set_viewport_size({"width": 1440, "height": 900})


def serious(page: Page) -> list[str]:
    """Return the serious and critical faults that axe finds: the rule, and the element that breaks it."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.fixture(scope="module")
def clips(farm: FarmProcess) -> list[str]:
    """A finished video with a long prompt, a cancelled one, and one that failed since its picture lost its bytes."""
    good = ask(farm, LONG, size="128x96")
    with resting(farm):
        cancelled, failed = ask(farm, "a cancelled video"), ask(farm, "a failed video")
        assert farm.http.post(f"/v1/videos/{cancelled}/cancel").status_code == 200
        (start,) = (farm.storage / "jobs" / failed / "inputs").glob("start*")
        start.write_bytes(b"no picture")
    ended(farm, good)
    wait_for(lambda: shown(farm, failed)["status"] == "failed" or None, seconds=60, what="the failure of a video")
    return [good, cancelled, failed]


def test_empty_views(visit: Visit) -> None:
    """The first look of somebody who has no video yet, or has not signed in."""
    page = visit.page(owner=None)
    expect(page.get_by_label("API key")).to_be_visible()
    look_at(page, "sign-in")
    page = visit.page(owner="ben")
    expect(page.get_by_role("button", name="Clear the form")).to_be_visible()
    look_at(page, "create-empty")
    for view, word in {
        "Queue": "Nothing waits.",
        "Library": "No video has ended yet.",
        "Workers": "Lend a GPU",
    }.items():
        page.get_by_role("link", name=view).click()
        expect(page.get_by_text(word)).to_be_visible()
        look_at(page, f"{view.lower()}-empty")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    look_at(page, "keys")


def test_the_form(visit: Visit) -> None:
    """A form that is filled in, one with everything open, and one with faults."""
    page = visit.page()
    fill(page, LONG)
    page.get_by_text("More: seed").click()
    page.get_by_role("button", name="Prompt later").click()
    page.get_by_label("Prompt 2", exact=True).fill("Then the lantern goes out.")
    expect(page.get_by_text("The video is 96 x 64.")).to_be_visible()
    look_at(page, "create-filled")
    open_more(page)
    page.get_by_label("Add a LoRA").select_option("ink")
    look_at(page, "create-more")
    page.get_by_role("button", name="Clear the form").click()
    page.get_by_role("button", name="Prompt later").click()
    page.get_by_label("Fade, in sections").fill("25")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("Say what happens in the video.")).to_be_visible()
    look_at(page, "create-faults")


def test_a_running_video(farm: FarmProcess, visit: Visit, clips: list[str]) -> None:
    """Queue and Create while one video runs, one waits, one is paused and a batch waits; and the workers."""
    with resting(farm):
        videos = [
            ask(farm, LONG, seconds="60", num_inference_steps="100", priority="10"),  # runs until it is cancelled
            ask(farm, "one that waits"),
            ask(farm, "a batch of four", n="4"),
            ask(farm, "one that is paused"),
        ]
        assert farm.http.post(f"/v1/videos/{videos[-1]}/pause").status_code == 200
    page = visit.page("queue")
    expect(page.get_by_role("main").get_by_role("progressbar").first).to_be_visible()
    look_at(page, "queue-running")
    page.get_by_role("listitem").filter(has_text="one that waits").get_by_role("button", name="Edit").click()
    look_at(page, "queue-edit")
    page.get_by_role("button", name="Select").click()
    page.get_by_role("checkbox").last.check()
    look_at(page, "queue-select")
    page.get_by_role("link", name="Create").click()
    expect(page.get_by_role("region", name=LONG)).to_be_visible()
    look_at(page, "create-running")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate(BELOW), "the video lies over the timeline"
    page.goto(f"{visit.origin()}/ui/videos/{videos[0]}")
    expect(page.get_by_role("region", name=LONG)).to_be_visible()
    look_at(page, "video-running")
    page.get_by_role("link", name="Workers").click()
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()  # the video's page is gone
    expect(page.get_by_role("main").get_by_role("progressbar")).to_be_visible()
    look_at(page, "workers-busy")
    open_videos = farm.http.get("/v1/videos?status=open&limit=100").json()["data"]
    for video in open_videos:
        assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200


def test_what_has_ended(visit: Visit, clips: list[str]) -> None:
    """The library, a finished video with everything open, one that failed, and two that are compared."""
    good, cancelled, failed = clips
    page = visit.page("library")
    expect(page.get_by_role("article", name="a failed video")).to_be_visible()
    look_at(page, "library")
    page.goto(f"{visit.origin()}/ui/videos/{good}")
    expect(page.get_by_role("link", name="Download").first).to_be_visible()
    page.get_by_text("All settings").click()
    page.get_by_role("button", name="Extend").click()
    page.get_by_role("group", name="Remake from here").get_by_text("1", exact=True).click()
    look_at(page, "video")
    page.get_by_text("More", exact=True).click()
    look_at(page, "video-menu")
    for name, video in {"cancelled": cancelled, "failed": failed}.items():
        page.goto(f"{visit.origin()}/ui/videos/{video}")
        expect(page.get_by_role("button", name="Retry")).to_be_visible()
        look_at(page, f"video-{name}")
    page.goto(f"{visit.origin()}/ui/library?compare={good},{good}")
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    look_at(page, "compare")
    page.goto(f"{visit.origin()}/ui/videos/nothing")
    expect(page.get_by_text("This video is not here.")).to_be_visible()
    look_at(page, "video-missing")


def test_a_phone(farm: FarmProcess, visit: Visit, clips: list[str]) -> None:
    """At 390 px by touch: from the photo to the video that plays; all that is touched is large enough for a finger."""
    page = visit.phone()
    page.get_by_label("Take a photo").set_input_files(PHOTO)
    expect(page.get_by_role("img", name=PHOTO.name)).to_be_visible()
    fill(page, "made on a phone")
    large_enough(page)
    page.get_by_role("button", name="Generate").tap()
    expect(page.get_by_text("It is in the queue.")).to_be_visible()
    video = newest(farm)["id"]
    for view in ("Workers", "Queue"):
        page.get_by_role("link", name=view).tap()
        expect(page.get_by_role("heading", name=view)).to_be_visible()
        large_enough(page)
    ended(farm, video)
    page.get_by_role("link", name="Library").tap()
    card = page.get_by_role("article", name="made on a phone")
    expect(card).to_be_visible()
    large_enough(page)
    card.get_by_role("link", name="made on a phone").last.tap()
    page.get_by_role("button", name="Play").tap()
    until(page, "document.querySelector('video')?.currentTime > 0")
    large_enough(page)


def large_enough(page: Page) -> None:
    """Fail where a finger has less than 44 px of a control, or where the page scrolls sideways."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """least => [...document.querySelectorAll('button, select, summary, nav a, a.button, label.button, label.pick')]
            .filter((control) => control.checkVisibility({visibilityProperty: true}))
            .map((control) => [control, control.getBoundingClientRect()])
            .filter(([, {width, height}]) => Math.min(width, height) < least - 0.5)
            .map(([control, {width, height}]) => `${control.outerHTML.slice(0, 120)}: ${width} x ${height}`)""",
        FINGER_PX,
    )
    assert not small, small
