"""The form of Create, as a person fills it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.acceptance.page.videos import PHOTO


def fill(page: Page, prompt: str, *, photo: Path = PHOTO, **more: str) -> None:
    """Choose a photo, say what happens, and make it small. more: fields below "More", by their labels."""
    page.get_by_label("Start image", exact=True).set_input_files(photo)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    open_more(page)
    for label, value in ({"Steps": "2", "Size": "96x64", "Seed": "7"} | more).items():
        page.get_by_label(label, exact=True).fill(value)


def open_more(page: Page) -> None:
    """Show the fields that few people need."""
    if not page.get_by_label("Steps", exact=True).is_visible():
        page.get_by_text("More: seed").click()


def generate(page: Page) -> None:
    """Press the button, and wait for the word that the video is in the queue."""
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("in the queue.").first).to_be_visible()
