"""What a form gets wrong stands at its field, and nothing of the form is lost."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.page.videos import PHOTO
from tests.acceptance.page.visit import Visit


def test_a_wrong_form_says_so_and_stays(visit: Visit) -> None:
    """Without a picture or a prompt, or with a broken picture, the field says what to do, and nothing is lost."""
    page = visit.page()
    page.get_by_label("Prompt", exact=True).fill("The cat sleeps.")
    page.get_by_text("More: seed").click()
    page.get_by_label("Steps", exact=True).fill("101")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("Choose a start image. This model needs one.")).to_be_visible()
    expect(page.get_by_text("need at most 100")).to_be_visible()
    page.get_by_label("Start image", exact=True).set_input_files(
        {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": PHOTO.read_bytes()[:400]}
    )
    expect(page.get_by_text("The browser cannot read this picture.")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat sleeps.")
