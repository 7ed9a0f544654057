"""Files that are dropped on Create: settings from a downloaded mp4, its last frame, a queue of FramePack-Studio."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import expect

from tests.acceptance.page.videos import SMALL, ask, content, ended, newest, resting
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess
from tests.unit.farm.intake.test_inspect_file import png, zipped


def test_settings_come_back_from_a_downloaded_mp4(farm: FarmProcess, visit: Visit, tmp_path: Path) -> None:
    """Prompt, seed, steps, size and the photo; then the last frame becomes the start image."""
    video = ended(farm, ask(farm, "The cat looks around.", num_inference_steps="3"))
    mp4 = tmp_path / "old.mp4"
    mp4.write_bytes(content(farm, video["id"]))
    page = visit.page()
    start = page.get_by_label("Start image", exact=True)
    start.set_input_files(mp4)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It comes from framepack-farm.")
    dialog.get_by_role("button", name="Take its settings").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat looks around.")
    expect(page.get_by_role("img", name="input_reference.png")).to_be_visible()
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("It is in the queue.")).to_be_visible()
    again = newest(farm)
    assert again["id"] != video["id"]
    assert {name: again["request"][name] for name in ("seed", "num_inference_steps", "size", "prompt")} == {
        name: video["request"][name] for name in ("seed", "num_inference_steps", "size", "prompt")
    }
    assert content(farm, ended(farm, again["id"])["id"], variant="start") == content(farm, video["id"], variant="start")
    start.set_input_files(mp4)
    dialog.get_by_role("button", name="Extend this video").click()
    dialog.get_by_role("textbox").fill("It looks away.")
    start.set_input_files(mp4)  # one more file waits, and what was begun with the first stays
    expect(dialog.get_by_role("textbox")).to_have_value("It looks away.")
    dialog.get_by_role("button", name="Take its last frame").click()
    extend = dialog.get_by_role("button", name="Extend this video")  # now of the second file
    expect(extend).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Escape")
    expect(page.get_by_role("img", name="old last frame.png")).to_be_visible()


def test_a_queue_becomes_one_video_each_and_says_what_it_leaves_out(
    farm: FarmProcess, visit: Visit, tmp_path: Path
) -> None:
    """Each job with its picture; a setting without a counterpart is shown with its value and the reason."""
    jobs = {f"job{n}": {"prompt": f"Boat {n}.", "seed": n, "steps": 2, "latent_type": "Black"} for n in (1, 2)}
    files = {
        f"queue_images/{name}_input.png": png(shade=shade) for name, shade in zip(jobs, ("navy", "red"), strict=True)
    }
    queue = tmp_path / "queue.zip"
    queue.write_bytes(zipped({"queue.json": json.dumps(jobs).encode(), **files}))
    with resting(farm):
        page = visit.page()
        page.get_by_label("Start image", exact=True).set_input_files(queue)
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("2 settings are left out").click()
        expect(dialog.get_by_role("listitem").first).to_contain_text('latent_type "Black"')
        dialog.get_by_role("button", name="2 videos, one each").click()
        expect(dialog).to_have_count(0)
        made = farm.http.get("/v1/videos", params={"q": "Boat", "limit": 5}).json()["data"]
        for video in made:
            farm.http.post(f"/v1/videos/{video['id']}/cancel")
            assert farm.http.delete(f"/v1/videos/{video['id']}").status_code == 200
    assert [(video["prompt"], video["seed"]) for video in made] == [("Boat 2.", 2), ("Boat 1.", 1)]


def test_a_strangers_video_says_that_it_holds_no_settings(farm: FarmProcess, visit: Visit, tmp_path: Path) -> None:
    """Its last frame, which the browser draws, is a start image all the same."""
    video = ended(farm, ask(farm, "The cat waits.", no_metadata="true"))
    mp4 = tmp_path / "stranger.mp4"
    mp4.write_bytes(content(farm, video["id"]))
    page = visit.page()
    page.get_by_label("Start image", exact=True).set_input_files(mp4)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("it holds no settings")
    dialog.get_by_role("button", name="Take its last frame").click()
    width, height = str(SMALL["size"]).split("x")
    shown = page.get_by_role("img", name="stranger last frame.png")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [int(width), int(height)]
