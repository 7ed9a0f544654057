"""Choices that a person keeps: own presets, a seed, prompts over time, filters in the address, a video's family."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.page.videos import PHOTO, ask, ended
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess


def test_a_form_keeps_a_preset_a_seed_and_a_split_prompt(farm: FarmProcess, visit: Visit) -> None:
    """An own preset is saved, deleted and brought back; the lock takes the newest seed; a prompt is split in two."""
    ended(farm, ask(farm, "seed to keep", seed="4711"))
    page = visit.page()
    page.get_by_label("Prompt", exact=True).fill("The cat looks up.")
    page.get_by_text("More: seed").click()
    page.get_by_role("button", name="Keep the seed of the newest video").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("4711")
    page.get_by_role("button", name="+ Save as preset").click()
    page.get_by_label("Name of the preset").fill("mine")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Let each video have another seed").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("")
    page.get_by_role("button", name="mine", exact=True).click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("4711")
    page.get_by_role("button", name="Delete the preset mine").click()
    expect(page.get_by_role("button", name="mine", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="mine", exact=True)).to_be_visible()
    page.get_by_role("button", name="Split prompt 1").click()
    expect(page.get_by_role("textbox", name="Prompt 2")).to_have_value("The cat looks up.")
    assert farm.http.delete("/v1/presets/mine").status_code == 200


def test_the_form_shows_what_a_preset_decides(farm: FarmProcess, visit: Visit) -> None:
    """Quality, Step cache and Steps follow the chosen preset; None, chosen by hand, is sent."""
    page = visit.page()
    draft, full = (page.get_by_role("button", name=name, exact=True) for name in ("Draft", "Full"))
    page.get_by_text("More: seed").click()
    cache, steps = page.get_by_label("Step cache"), page.get_by_label("Steps", exact=True)
    expect(full).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="subtle", exact=True).click()
    expect(draft).to_have_attribute("aria-pressed", "true")
    expect(cache).to_have_value("teacache")
    expect(steps).to_have_attribute("placeholder", "20")
    cache.select_option("none")
    expect(full).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Prompt", exact=True).fill("exact in spite of its preset")
    page.get_by_label("Seconds", exact=True).fill("1.2")
    page.get_by_label("Start image", exact=True).set_input_files(PHOTO)
    with page.expect_response(
        lambda answer: answer.request.method == "POST" and answer.url.endswith("/v1/videos")
    ) as sent:
        page.get_by_role("button", name="Generate").click()
    made = ended(farm, sent.value.json()["id"])["request"]
    assert (made["preset"], made["cache"]) == ("subtle", "none")


def test_the_library_keeps_its_filters_in_the_address(farm: FarmProcess, visit: Visit) -> None:
    """Reloaded, or opened from a bookmark, the wall shows the same videos; a page back from a video, too."""
    ended(farm, ask(farm, "find this one"))
    ended(farm, ask(farm, "not the other"))
    page = visit.page("library?q=find+this")
    expect(page.get_by_role("article", name="find this one")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(1)
    page.get_by_label("Order").select_option("asc")
    expect(page).to_have_url(f"{visit.origin()}/ui/library?q=find+this&order=asc")
    page.get_by_role("article").get_by_role("link", name="find this one").last.click()
    expect(page.get_by_role("heading", name="find this one")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Search")).to_have_value("find this")
    page.reload()
    expect(page.get_by_role("article")).to_have_count(1)


def test_a_family_is_a_tree(farm: FarmProcess, visit: Visit) -> None:
    """The first ancestor holds the video that was made from it, and that one its own remix."""
    first = ask(farm, "the first")
    ended(farm, first)
    ids = [first]
    for name in ("the second", "the third"):
        made = farm.http.post(f"/v1/videos/{ids[-1]}/remix", json={"prompt": name})
        assert made.status_code == 200, made.text
        ids.append(made.json()["id"])
        ended(farm, ids[-1])
    page = visit.page(f"videos/{ids[1]}")
    family = page.get_by_role("region", name="Family")
    root = family.get_by_role("listitem").first
    expect(root.get_by_role("link", name="the first")).to_be_visible()
    expect(root.locator("li").first).to_contain_text("this video")
    expect(root.locator("li li").get_by_role("link", name="the third")).to_be_visible()
