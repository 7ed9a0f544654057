"""Create: from a photo and a prompt to a video on the disk."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.page.form import fill, generate, open_more
from tests.acceptance.page.videos import PHOTO, ended, newest, resting
from tests.acceptance.page.visit import Visit, until
from tests.farm_process import FarmProcess


def test_a_photo_becomes_a_video_that_can_be_fetched(farm: FarmProcess, visit: Visit) -> None:
    """Drop a photo, generate, reload: the job is still there, is made, plays, and downloads whole."""
    page = visit.page()
    page.get_by_label("Start image", exact=True).set_input_files(PHOTO)
    page.get_by_label("Prompt", exact=True).fill("The cat yawns.")
    page.get_by_label("Seconds", exact=True).fill("3.6")
    page.get_by_text("More: seed").click()
    page.get_by_label("Steps", exact=True).fill("24")
    job = page.get_by_role("region", name="The cat yawns.")
    with resting(farm):  # it does not end before it is looked at
        page.get_by_role("button", name="Generate").click()
        expect(job.get_by_role("progressbar").last).to_be_visible()
        page.reload()
        expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat yawns.")
        expect(page.get_by_role("link", name="Queue")).to_contain_text("1")
        video = newest(farm)
    expect(job).to_be_visible()  # once it is made, and afterwards
    assert (video["request"]["num_inference_steps"], video["sections_total"]) == (24, 3)

    page.get_by_role("link", name="Library").click()
    card = page.get_by_role("article", name="The cat yawns.")
    expect(card).to_be_visible()
    card.get_by_role("link", name="The cat yawns.").last.click()
    player = page.locator("video")
    expect(player).to_have_count(1)
    until(page, "document.querySelector('video')?.readyState >= 2")
    assert player.evaluate("video => video.videoWidth") == int(str(video["size"]).partition("x")[0])
    page.keyboard.press(".")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.path().read_bytes() == farm.http.get(f"/v1/videos/{video['id']}/content").content


def test_an_own_preset_comes_back(farm: FarmProcess, visit: Visit) -> None:
    """One saves the form's values under a name, puts them back by it, and may begin the next form with them."""
    page = visit.page()
    open_more(page)
    page.get_by_label("Steps", exact=True).fill("3")
    page.get_by_role("button", name="+ Save as preset").click()
    page.get_by_label("Name of the preset").fill("three steps")
    page.get_by_role("button", name="Save, and begin with it").click()
    chip = page.get_by_role("button", name="three steps", exact=True)
    expect(chip).to_be_visible()
    page.get_by_role("button", name="Clear the form").click()
    expect(page.get_by_label("Steps", exact=True)).to_have_value("")
    chip.click()
    expect(page.get_by_label("Steps", exact=True)).to_have_value("3")
    other = visit.page()  # another browser of the same person
    expect(other.get_by_text("1 changed")).to_be_visible()
    assert farm.http.delete("/v1/presets/three steps").status_code < 300


def test_a_lora_with_its_note_and_words(farm: FarmProcess, visit: Visit) -> None:
    """A LoRA shows its note; its word goes into the prompt; weight and name are in the video's request."""
    page = visit.page()
    fill(page, "A cat")
    page.get_by_label("Seconds", exact=True).fill("1.2")
    page.get_by_label("Add a LoRA").select_option("ink")
    expect(page.get_by_text("Looks like ink on paper.")).to_be_visible()
    page.get_by_role("button", name="ink wash").click()
    page.get_by_role("slider", name="Weight: ink").fill("0.6")
    generate(page)
    video = ended(farm, newest(farm)["id"])
    assert video["prompt"] == "A cat, ink wash"
    assert [(use["name"], use["weight"]) for use in video["request"]["loras"]] == [("ink", 0.6)]
