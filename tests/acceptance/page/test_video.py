"""A video's page: what one can do with a finished video, and what became of it when somebody deleted it."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect
from safetensors.numpy import load

from tests.acceptance.page.form import generate
from tests.acceptance.page.videos import PHOTO, ask, content, ended, newest, resting, shown
from tests.acceptance.page.visit import KEYS, Visit, until
from tests.farm_process import FarmProcess
from tests.imports import ROOT
from tests.patience import wait_for

SECTIONS, SECTION_FRAMES, WINDOW = 3, 36, 9


@pytest.fixture(scope="module")
def finished(farm: FarmProcess) -> str:
    """A finished video of three sections."""
    video = ask(farm, "The cat looks up.", seconds="3.6")
    assert ended(farm, video)["sections_total"] == SECTIONS
    return video


def frames(farm: FarmProcess, video: str) -> NDArray[np.uint8]:
    """Return the pixels of every frame of a video."""
    with av.open(io.BytesIO(content(farm, video)), "r") as file:
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return np.stack(shown).astype(np.uint8, copy=False)


def latents(farm: FarmProcess, video: str) -> NDArray[np.float32]:
    """Return a video's latents in time order."""
    found: NDArray[np.float32] = load(content(farm, video, variant="latents"))["latents"]
    return found


def id_of(page: Page, old: str) -> str:
    """Wait for the page of another video than `old`, and return its id."""
    page.wait_for_url(lambda url: "/videos/" in url and not url.endswith(old))
    return page.url.rpartition("/")[2]


def test_remix_fills_the_form_with_everything(farm: FarmProcess, visit: Visit, finished: str) -> None:
    """Remix: the form holds prompt, settings, seed, picture and labels, but no star; one word is changed."""
    assert farm.http.patch(f"/v1/videos/{finished}", json={"labels": ["cats", "starred"]}).status_code == 200
    page = visit.page(f"videos/{finished}")
    page.get_by_role("button", name="Remix").click()
    prompt = page.get_by_label("Prompt", exact=True)
    expect(prompt).to_have_value("The cat looks up.")
    expect(page.get_by_role("img", name="start.png")).to_be_visible()
    prompt.fill("The cat looks down.")
    generate(page)
    old, new = shown(farm, finished), newest(farm)
    assert (new["prompt"], new["seed"]) == ("The cat looks down.", old["seed"])
    assert new["labels"] == ["cats"]
    same = ("model", "seconds", "size", "num_inference_steps")
    assert [new["request"][name] for name in same] == [old["request"][name] for name in same]
    pictures = [Image.open(io.BytesIO(content(farm, id_, variant="start"))) for id_ in (finished, new["id"])]
    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_copied_python_makes_the_very_video(farm: FarmProcess, visit: Visit, finished: str, tmp_path: Path) -> None:
    """Run as it was copied, beside the photo: the same frames, in a file that the program names."""
    page = visit.page(f"videos/{finished}", secure=True)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.get_by_text("Copied as Python.")).to_be_visible()
    code = page.evaluate("navigator.clipboard.readText()")
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "FARM_API_KEY": KEYS["ann"]}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    made = newest(farm)["id"]
    assert made != finished
    assert done.stdout.strip() == f"{made}.mp4"
    assert (tmp_path / f"{made}.mp4").read_bytes() == content(farm, made)
    np.testing.assert_array_equal(frames(farm, made), frames(farm, finished))


def test_a_lost_photo_is_chosen_again(farm: FarmProcess, visit: Visit) -> None:
    """Retry could not help. The page says what does: Remix fills the form with all else."""
    with resting(farm):
        video = ask(farm, "The cat is lost.")
        (photo,) = farm.storage.glob(f"jobs/{video}/inputs/start.png")
        photo.unlink()
    wait_for(lambda: shown(farm, video)["status"] == "failed" or None, seconds=60, what="the failure")
    page = visit.page(f"videos/{video}")
    expect(page.get_by_text("you choose the lost picture again")).to_be_visible()
    page.get_by_role("button", name="Remix").click()
    expect(page.get_by_text("The store has lost a picture of this video")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat is lost.")
    page.get_by_label("Start image", exact=True).set_input_files(PHOTO)
    generate(page)
    assert ended(farm, newest(farm)["id"])["prompt"] == "The cat is lost."
    assert farm.http.delete(f"/v1/videos/{video}").status_code == 200


def test_remake_keeps_the_sections_on_the_right(farm: FarmProcess, visit: Visit, finished: str) -> None:
    """Remake section 1: the others keep their latents bit for bit, and the last one its frames, too.

    Section 2 fades into the new one, so it is decoded again.
    """
    page = visit.page(f"videos/{finished}")
    remake = page.get_by_role("group", name="Remake from here")
    remake.get_by_text("1", exact=True).click()
    expect(page.get_by_text("The new video makes section 1 again and shares sections 2 and 3")).to_be_visible()
    page.get_by_label("New prompt").fill("The cat sleeps.")
    page.get_by_role("button", name="Remake", exact=True).click()
    made = id_of(page, finished)
    assert shown(farm, made)["prompt"] == "The cat sleeps."
    ended(farm, made)
    old, new = frames(farm, finished), frames(farm, made)
    assert old.shape == new.shape
    equal = (old == new).all(axis=(1, 2, 3))
    assert equal[-SECTION_FRAMES:].all(), equal
    assert not equal[:SECTION_FRAMES].any(), equal
    before, after = latents(farm, finished), latents(farm, made)
    assert (before[:, :, -2 * WINDOW :] == after[:, :, -2 * WINDOW :]).all()
    assert (before[:, :, 1:WINDOW] != after[:, :, 1:WINDOW]).any()
    expect(page.locator("video")).to_have_count(1)


def test_extend_goes_on_where_the_video_ends(farm: FarmProcess, visit: Visit, finished: str) -> None:
    """Extend: so many seconds more, and a link back to where it comes from."""
    page = visit.page(f"videos/{finished}")
    page.get_by_role("button", name="Extend").click()
    page.get_by_label("Seconds to add").fill("1.2")
    page.get_by_role("button", name="Extend").last.click()
    made = ended(farm, id_of(page, finished))
    assert made["extends_video_id"] == finished
    assert made["frames"] == shown(farm, finished)["frames"] + SECTION_FRAMES
    family = page.get_by_role("region", name="Family")
    expect(family.get_by_role("link", name="The cat looks up.")).to_have_attribute("href", f"/ui/videos/{finished}")


def test_a_refusal_is_read_aloud(visit: Visit, finished: str) -> None:
    """Extend and Remake say beside their button what the farm refused, as an alert."""
    page = visit.page(f"videos/{finished}")
    page.get_by_role("button", name="Extend").click()
    page.get_by_label("Prompt").fill("y" * 4001)
    page.get_by_role("button", name="Extend").last.click()
    expect(page.get_by_role("alert")).to_contain_text("at most 4000 characters")
    page.get_by_role("button", name="Extend").first.click()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("group", name="Remake from here").get_by_text("1", exact=True).click()
    prompt = page.get_by_label("New prompt")
    expect(prompt).not_to_have_attribute("aria-invalid", "true")
    prompt.fill("y" * 4001)
    page.get_by_role("button", name="Remake", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("at most 4000 characters")
    expect(prompt).to_have_attribute("aria-invalid", "true")
    expect(prompt).to_have_accessible_description(re.compile("at most 4000 characters"))


def test_a_frame_becomes_a_picture_of_the_form(farm: FarmProcess, visit: Visit, finished: str) -> None:
    """The player's frame serves as the next video's end image."""
    page = visit.page(f"videos/{finished}")
    until(page, "document.querySelector('video')?.readyState >= 2")
    for _ in range(6):
        page.keyboard.press(".")
    expect(page.get_by_text("0.2 / 3.6 s")).to_be_visible()
    page.get_by_role("button", name="End image").click()
    expect(page.get_by_role("img", name="End image")).to_be_visible()
    expect(page.get_by_text("Replace the end image")).to_be_visible()
    page.get_by_role("button", name="Remove: End image").click()
    expect(page.get_by_role("img", name="End image")).to_have_count(0)


def test_the_menu_closes_by_itself(visit: Visit, finished: str) -> None:
    """Escape and a choice close the menu, and its button has the focus; so do a press beside it and a Tab out of it,
    and the button has it no more.
    """
    page = visit.page(f"videos/{finished}")
    more = page.get_by_text("More", exact=True)
    choice = page.get_by_role("button", name="Copy as curl")

    def leave() -> None:
        page.get_by_role("button", name="Delete").focus()  # the menu's last
        page.keyboard.press("Tab")

    def choose() -> None:
        choice.click()
        expect(page.get_by_text("Copied as curl.")).to_be_visible()

    closings: tuple[tuple[Callable[[], None], bool], ...] = (
        (lambda: page.keyboard.press("Escape"), True),
        (page.get_by_role("heading").first.click, False),
        (leave, False),
        (choose, True),
    )
    for close, is_focused in closings:
        more.click()
        expect(choice).to_be_visible()
        close()
        expect(choice).to_be_hidden()
        if is_focused:
            expect(more).to_be_focused()
        else:
            expect(more).not_to_be_focused()


def test_a_video_that_another_tab_deletes(farm: FarmProcess, visit: Visit) -> None:
    """Its page says what happened and where to go, as does the page of an id that never was."""
    video = ask(farm, "soon gone")
    ended(farm, video)
    page = visit.page(f"videos/{video}")
    expect(page.get_by_role("heading", name="soon gone")).to_be_visible()
    other = visit.tab(page.context, page.url)
    other.get_by_text("More", exact=True).click()
    other.get_by_role("button", name="Delete").click()
    other.get_by_role("dialog").get_by_role("button", name="Delete").click()
    other.wait_for_url("**/library")
    missing = "This video is not here. It was deleted, or it belongs to somebody else."
    expect(page.get_by_text(missing)).to_be_visible()
    page.goto(f"{visit.origin()}/ui/videos/video_{'0' * 32}")
    expect(page.get_by_text(missing)).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Library").click()
    expect(page.get_by_role("article").first).to_be_visible()
