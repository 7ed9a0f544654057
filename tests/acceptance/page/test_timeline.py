"""The timeline: what happens when, by mouse and by keyboard; and what a model that makes the start first cannot do."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.page.form import fill, generate, open_more
from tests.acceptance.page.videos import PHOTO, content, ended, newest
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess

ROCKET, COFFEE = PHOTO.with_name("rocket.jpg"), PHOTO.with_name("coffee.jpg")


def test_prompts_keyframes_and_an_end_image(farm: FarmProcess, visit: Visit) -> None:
    """A second prompt, a keyframe and an end image, each moved to its section, are in the video's request."""
    page = visit.page()
    fill(page, "The cat looks up.")
    page.get_by_label("Seconds", exact=True).fill("4.8")
    timeline = page.get_by_role("region", name="Timeline")
    timeline.get_by_role("button", name="Prompt later").click()
    timeline.get_by_label("Prompt 2", exact=True).fill("The cat yawns.")
    timeline.get_by_label("When prompt 2 begins").first.press("ArrowRight")
    timeline.get_by_label("Keyframe", exact=True).set_input_files(ROCKET)
    timeline.get_by_role("slider", name="Keyframe at 1.2 s").press("End")
    expect(timeline.get_by_role("slider", name="Keyframe at 3.6 s")).to_be_visible()
    timeline.get_by_label("End image", exact=True).set_input_files(COFFEE)
    expect(timeline.get_by_role("img", name="End image")).to_be_visible()
    generate(page)
    video = newest(farm)
    request = video["request"]
    assert request["prompts"] == [{"at_s": 2.4, "text": "The cat yawns."}]
    assert [(frame["at_s"], frame["image"]) for frame in request["keyframes"]] == [(3.6, "keyframe_0")]
    assert len({content(farm, video["id"], variant=name) for name in ("start", "end", "keyframe_0")}) == 3
    assert ended(farm, video["id"])["sections_total"] == 4


def test_prompts_move_under_the_mouse(visit: Visit) -> None:
    """A block that is dragged snaps to the next border."""
    page = visit.page()
    page.get_by_label("Seconds", exact=True).fill("6")
    timeline = page.get_by_role("region", name="Timeline")
    timeline.get_by_role("button", name="Prompt later").click()
    mover = timeline.get_by_role("slider", name="When prompt 2 begins")
    track, box = timeline.locator(".track.prompts").bounding_box(), mover.bounding_box()
    assert track is not None
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.63, box["y"] + 4, steps=4)
    page.mouse.up()
    expect(mover).to_have_attribute("aria-valuenow", "3")


def test_a_model_that_makes_the_start_first_takes_none(visit: Visit) -> None:
    """With an F1 model, keyframes, end image and loop are greyed, and the timeline says why."""
    page = visit.page()
    open_more(page)
    page.get_by_label("Model", exact=True).select_option("tiny-f1")
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline.get_by_text("tiny-f1 makes the start first")).to_be_visible()
    for control in ("Keyframe", "End image", "Loop"):
        expect(timeline.get_by_label(control, exact=True)).to_be_disabled()
