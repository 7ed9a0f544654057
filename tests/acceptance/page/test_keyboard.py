"""The page by keyboard alone: from the photo to the file on the disk."""

from __future__ import annotations

import contextlib

from playwright.sync_api import FileChooser, Locator, Page, expect
from playwright.sync_api import TimeoutError as NothingCame

from tests.acceptance.page.videos import PHOTO, content, newest
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess
from tests.patience import patient, wait_for

MOST_TABS = 120


def tab_to(page: Page, control: Locator) -> None:
    """Press Tab until a control has the focus, and see that the focus shows."""
    for _ in range(MOST_TABS):
        if control.evaluate("control => control === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {control}")


def file_chooser(page: Page) -> FileChooser | None:
    """Press Enter on a file's field. Chromium opens the chooser within 5 s of the key, which a busy machine misses."""
    with contextlib.suppress(NothingCame):
        with page.expect_file_chooser(timeout=patient(5) * 1000) as chooser:
            page.keyboard.press("Enter")
        return chooser.value
    return None


def test_from_the_photo_to_the_download(farm: FarmProcess, visit: Visit) -> None:
    """Tab, letters, space and Enter choose a photo, write a prompt, generate, find the video and download it."""
    page = visit.page()
    tab_to(page, page.get_by_label("Start image", exact=True))
    wait_for(lambda: file_chooser(page), seconds=60, what="a file chooser").set_files(PHOTO)
    expect(page.get_by_role("img", name="cat.jpg")).to_be_visible()
    tab_to(page, page.get_by_label("Prompt", exact=True))
    page.keyboard.type("made by keyboard")
    tab_to(page, page.get_by_text("More: seed"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Steps", exact=True))
    page.keyboard.type("2")
    page.keyboard.press("Shift+Tab")
    for _ in range(MOST_TABS):
        if page.get_by_label("Seconds", exact=True).evaluate("field => field === document.activeElement"):
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("1.2")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("It is in the queue.")).to_be_visible()
    video = newest(farm)
    assert (video["prompt"], video["sections_total"]) == ("made by keyboard", 1)
    tab_to(page, page.get_by_role("link", name="Library"))
    page.keyboard.press("Enter")
    card = page.get_by_role("article", name="made by keyboard")
    expect(card).to_be_visible(timeout=patient(60) * 1000)
    tab_to(page, card.get_by_role("link", name="made by keyboard").last)
    page.keyboard.press("Enter")
    download = page.get_by_role("link", name="Download").first
    expect(download).to_be_visible()
    tab_to(page, download)
    with page.expect_download() as file:
        page.keyboard.press("Enter")
    assert file.value.path().read_bytes() == content(farm, video["id"])
