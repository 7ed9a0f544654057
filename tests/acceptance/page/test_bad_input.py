"""A form's mistake stands at its field, in a sentence that says what to do, and nothing of the form is lost."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.acceptance.page.form import fill, generate, open_more
from tests.acceptance.page.videos import MOST_OPEN, PHOTO, ask, newest, resting
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess

MOST_AT_ONCE = 8  #: videos of one request


def drawn(width: int, height: int, *, mode: str = "RGB") -> bytes:
    """Return a PNG of one colour."""
    data = io.BytesIO()
    Image.new(mode, (width, height)).save(data, "PNG")
    return data.getvalue()


BROKEN = "The browser cannot read this picture. Save it as JPEG or PNG and try again."
REFUSED: tuple[tuple[str, FilePayload, str], ...] = (
    (
        "a HEIC file",
        {"name": "a.heic", "mimeType": "image/heic", "buffer": b"\0\0\0\x18ftypheic"},
        "The farm does not take HEIC. Send JPEG, PNG,",
    ),
    (
        "a HEIC file of a machine that does not know the format",
        {"name": "b.heic", "mimeType": "application/octet-stream", "buffer": b"\0\0\0\x18ftypheic"},
        BROKEN,
    ),
    ("a JPEG that breaks off", {"name": "c.jpg", "mimeType": "image/jpeg", "buffer": PHOTO.read_bytes()[:400]}, BROKEN),
    (
        "one pixel",
        {"name": "e.png", "mimeType": "image/png", "buffer": drawn(1, 1)},
        "The picture has 1 x 1 px. Each side needs at least 32 px. Choose a larger picture.",
    ),
    (
        "too many pixels",
        {"name": "f.png", "mimeType": "image/png", "buffer": drawn(8192, 8192, mode="1")},
        "The picture has 8192 x 8192 px. The farm takes at most 64 million pixels. Make it smaller.",
    ),
)


def posts(page: Page) -> list[str]:
    """Collect the requests for videos and the files that a page sends; a dry run is none."""
    sent, ends = list[str](), ("/v1/videos", "/v1/files")
    page.on(
        "request",
        lambda request: sent.append(request.url) if request.method == "POST" and request.url.endswith(ends) else None,
    )
    return sent


def test_pictures_that_the_farm_does_not_take(visit: Visit, tmp_path: Path) -> None:
    """The page refuses each, says what to do, and sends nothing; a good one takes the fault away."""
    page = visit.page()
    expect(page.get_by_text("How to write a prompt")).to_be_visible()  # the page knows the farm's limits
    sent = posts(page)
    page.get_by_label("Prompt", exact=True).fill("The cat sleeps.")
    field, fault = page.get_by_label("Start image", exact=True), page.locator("#start-image-fault")
    large = tmp_path / "large.jpg"
    large.write_bytes(PHOTO.read_bytes() + bytes(40 << 20))
    too_large = "The file is 40 MB. The farm takes at most 32 MB. Save a smaller copy."
    files: list[tuple[str, FilePayload | Path, str]] = [*REFUSED, ("a file of too many bytes", large, too_large)]
    for what, file, said in files:
        field.set_input_files(file)
        expect(fault, what).to_contain_text(said)
        expect(field).to_have_attribute("aria-invalid", "true")
        page.get_by_role("button", name="Generate").click()
        expect(fault, what).to_have_text("Choose a start image. This model needs one.")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat sleeps.")
    field.set_input_files(PHOTO)
    expect(fault).to_be_empty()
    assert not sent


def test_an_empty_form_and_wrong_numbers(visit: Visit) -> None:
    """Each field says what it needs, the first one has the focus, and nothing is sent."""
    page = visit.page()
    sent = posts(page)
    open_more(page)
    steps, seconds = page.get_by_label("Steps", exact=True), page.get_by_label("Seconds", exact=True)
    steps.fill("101")
    page.get_by_role("button", name="Prompt later").click()
    fade, fault = page.get_by_label("Fade, in sections"), page.locator("#prompt_fade_sections-fault")
    fade.fill("25")
    page.get_by_role("button", name="Generate").click()
    expect(fault).to_have_text("need at most 20")
    expect(fade).to_have_attribute("aria-invalid", "true")
    expect(fade).to_have_accessible_description("need at most 20")
    expect(page.get_by_text("Choose a start image. This model needs one.")).to_be_visible()
    expect(page.get_by_text("Say what happens in the video.")).to_be_visible()
    expect(page.locator("#num_inference_steps-fault")).to_have_text("need at most 100")
    expect(page.get_by_label("Start image", exact=True)).to_be_focused()
    page.get_by_label("Start image", exact=True).set_input_files(PHOTO)
    page.get_by_label("Prompt", exact=True).fill("y" * 5000)
    expect(page.get_by_text("5000/4000")).to_be_visible()
    seconds.fill("")
    seconds.press_sequentially("e")  # of "abc", Chromium lets a number's box have no more
    fade.fill("")
    fade.press_sequentially("e")
    page.get_by_role("button", name="Generate").click()
    expect(fault).to_have_text("need a number")
    expect(page.locator("#prompt-fault")).to_have_text("need at most 4000 characters")
    expect(page.locator("#seconds-fault")).to_have_text("need a number")
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    seconds.fill("100000")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#seconds-fault")).to_contain_text("need at most")
    expect(steps).to_have_value("101")
    assert not sent


def test_the_fade_stays_while_one_types(visit: Visit) -> None:
    """Where the prompt that it was for is gone, too: 0 and an empty box are on the way to another number."""
    page = visit.page()
    page.get_by_role("button", name="Prompt later").click()
    fade = page.get_by_label("Fade, in sections")
    fade.fill("5")
    page.get_by_role("button", name="Remove: Prompt 2").click()
    expect(page.get_by_label("Prompt 2", exact=True)).to_have_count(0)
    for typed in ("0", "", "3"):
        fade.fill(typed)
        expect(fade).to_have_value(typed)
        expect(fade).to_be_focused()
    fade.fill("")
    fade.press("Tab")
    expect(fade).to_have_count(0)


def test_an_emoji_is_one_character(farm: FarmProcess, visit: Visit) -> None:
    """A prompt of 2,500 emoji is within 4,000 characters, although JavaScript counts 5,000."""
    prompt = "🐱" * 2500
    page = visit.page()
    fill(page, prompt)
    expect(page.get_by_text("2500/4000")).to_be_visible()
    with resting(farm):
        generate(page)
        video = newest(farm)
        assert video["prompt"] == prompt
        assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200


def test_what_only_the_farm_knows(visit: Visit) -> None:
    """The farm's words stand at the field that they are about, which gets the focus; the whole stands on top."""
    page = visit.page()
    fill(page, "The cat sleeps.", Size="100x100")
    page.get_by_text("More: seed").click()  # closed: the fault opens it
    page.get_by_role("button", name="Generate").click()
    size = page.get_by_label("Size", exact=True)
    expect(page.locator("#size-fault")).to_contain_text("16")
    expect(size).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("size")
    expect(size).to_have_value("100x100")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat sleeps.")


def test_an_end_image_for_a_model_that_takes_none(visit: Visit) -> None:
    """The page says so before it sends anything, and keeps the picture."""
    page = visit.page()
    fill(page, "The cat sleeps.")
    sent = posts(page)
    page.get_by_label("End image", exact=True).set_input_files(PHOTO)
    page.get_by_label("Model", exact=True).select_option("tiny-f1")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("This model takes no end image. Remove it, or choose another model.")).to_be_visible()
    expect(page.get_by_role("img", name="End image")).to_be_visible()
    assert not sent


@pytest.fixture
def full(farm: FarmProcess) -> Iterator[None]:
    """The owner has as many open videos as one may have; none of them runs."""
    with resting(farm):
        room = MOST_OPEN - len(farm.http.get("/v1/videos?status=open&limit=100").json()["data"])
        for taken in range(0, room, MOST_AT_ONCE):
            ask(farm, "takes a place", n=str(min(MOST_AT_ONCE, room - taken)))
        yield
        for video in farm.http.get("/v1/videos?status=open&limit=100").json()["data"]:
            assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200


def seconds_in(words: str) -> int:
    """Return the seconds that are left."""
    return int(re.findall(r"\d+", words)[0])


@pytest.mark.usefixtures("full")
def test_a_full_queue_counts_down(farm: FarmProcess, visit: Visit) -> None:
    """The farm says how many videos one may have and what to do; the page counts down until it may be asked again."""
    page = visit.page()
    fill(page, "One too many.")
    page.get_by_role("button", name="Generate").click()
    said = page.get_by_role("alert")
    expect(said).to_contain_text(f"your limit of {MOST_OPEN}")
    expect(said).to_contain_text("wait for one to end, or cancel it")
    expect(said).to_be_in_viewport()
    wait = page.get_by_text(re.compile(r"^Try again in \d+ s\.$"))  # beside the alert, which is not read each second
    expect(wait).to_be_in_viewport()
    first = wait.inner_text()
    expect(wait).not_to_have_text(first)
    assert seconds_in(wait.inner_text()) < seconds_in(first)
    expect(said).not_to_contain_text("Try again in")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("One too many.")
    video = farm.http.get("/v1/videos?status=open&limit=1").json()["data"][0]
    assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200
    generate(page)
    expect(said).to_have_count(0)
    assert newest(farm)["prompt"] == "One too many."
