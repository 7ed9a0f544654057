"""Text stays in its box while one types: the farm's answers and events write over nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.acceptance.page.form import fill, generate, open_more
from tests.acceptance.page.videos import ask, newest, resting
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess
from tests.patience import wait_for

FACTS = {"/v1/farm", "/v1/models", "/openapi.json"}  #: what the form draws itself again for, once it comes


def typed(box: Locator, keys: str) -> None:
    """Type over what a box holds, key by key, and stay in it."""
    box.fill("")
    box.press_sequentially(keys)


def stays(box: Locator, text: str) -> None:
    """Fail unless one is in a box, and it holds a text."""
    expect(box).to_be_focused()
    expect(box).to_have_value(text)


@contextlib.contextmanager
def facts_held(page: Page) -> Iterator[None]:
    """Hold what the farm tells about itself; at the end, wait until the page has asked for all of it, and let it go."""
    held = list[Route]()

    def is_fact(url: str) -> bool:
        return urlsplit(url).path in FACTS

    def hold(route: Route) -> None:
        held.append(route)

    def is_asked() -> bool | None:
        page.wait_for_timeout(1)  # Playwright hears of requests only while it is called
        return {urlsplit(route.request.url).path for route in held} == FACTS or None

    page.route(is_fact, hold)
    yield
    wait_for(is_asked, seconds=20, what="the page's questions")
    while held:
        held.pop().continue_()
    page.unroute(is_fact, hold)


def test_the_length_stays_while_the_form_is_drawn_again(farm: FarmProcess, visit: Visit) -> None:
    """The farm's limits come, then news of another video: the box holds what was typed, and that length is made."""
    page = visit.page("workers")
    expect(page.get_by_text("ann", exact=True)).to_be_visible()  # signed in
    seconds = page.get_by_label("Seconds", exact=True)
    with facts_held(page):
        page.goto(f"{visit.origin()}/ui/")
        typed(seconds, "3.5")
    expect(page.get_by_text("How to write a prompt")).to_be_visible()
    expect(page.get_by_text("More: seed")).to_be_visible()
    stays(seconds, "3.5")
    with resting(farm):
        other = ask(farm, "news of another")
        expect(page.get_by_role("link", name="Queue")).to_contain_text("1")
        stays(seconds, "3.5")
        page.get_by_label("Prompt", exact=True).focus()
        expect(seconds).to_have_value("3.6")  # the whole sections that come out
        fill(page, "as long as was typed")
        typed(seconds, "2.4")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_text("It is in the queue.")).to_be_visible()
        stays(seconds, "2.4")
        video = newest(farm)
        assert (video["prompt"], video["sections_total"]) == ("as long as was typed", 2)
        for waits in (other, video["id"]):
            assert farm.http.post(f"/v1/videos/{waits}/cancel").status_code == 200


def test_every_box_keeps_what_is_on_the_way_to_a_number(farm: FarmProcess, visit: Visit) -> None:
    """0.0 is on the way to 0.05, and a minus to a weight below 0."""
    page = visit.page()
    fill(page, "A cat")
    open_more(page)
    page.get_by_label("Add a LoRA").select_option("ink")
    weight = page.get_by_role("spinbutton", name="Weight: ink")
    page.get_by_label("Step cache").select_option("teacache")  # takes a threshold
    boxes = {
        "-0.05": weight,
        "0.05": page.get_by_label("Cache threshold", exact=True),
        "10.05": page.get_by_label("Distilled guidance", exact=True),
        "600.05": page.get_by_label("Deadline, in seconds"),
    }
    for keys, box in boxes.items():
        typed(box, keys)
        stays(box, keys)
    page.get_by_label("Prompt", exact=True).focus()
    for keys, box in boxes.items():
        expect(box).to_have_value(keys)
    with resting(farm):
        generate(page)
        video = newest(farm)
        assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200
    request = video["request"]
    assert [use["weight"] for use in request["loras"]] == [-0.05]
    assert (request["cache_threshold"], request["guidance_scale"]) == (0.05, 10.05)
    assert request["metadata"]["deadline_s"] == 600.05


def test_a_box_that_holds_no_number_is_cleared_with_the_form(visit: Visit) -> None:
    """Its letters, too, which a browser shows and does not tell; a deadline of letters is not sent."""
    page = visit.page()
    open_more(page)
    deadline, steps = page.get_by_label("Deadline, in seconds"), page.get_by_label("Steps", exact=True)
    for box in (deadline, steps):
        typed(box, "e")
    page.get_by_role("button", name="Generate").click()
    for box, fault in ((deadline, "#deadline-fault"), (steps, "#num_inference_steps-fault")):
        expect(page.locator(fault)).to_contain_text("need a number")
        expect(box).to_have_attribute("aria-invalid", "true")
        assert box.evaluate("box => box.validity.badInput")
    page.get_by_role("button", name="Clear the form").click()
    for box in (deadline, steps):
        expect(box).to_have_attribute("aria-invalid", "false")
        assert not box.evaluate("box => box.validity.badInput")


def test_what_is_typed_into_a_row_stays(farm: FarmProcess, visit: Visit) -> None:
    """The video that one edits is changed elsewhere: what is typed stays, and what one did not touch is the new."""
    with resting(farm):
        video = ask(farm, "edited twice")
        page = visit.page("queue")
        row = page.get_by_role("listitem").filter(has_text="edited")
        row.get_by_role("button", name="Edit", exact=True).click()
        typed(row.get_by_label("Priority"), "7")
        changed = farm.http.patch(f"/v1/videos/{video}", json={"prompt": "edited elsewhere", "priority": 3})
        assert changed.status_code == 200, changed.text
        expect(row.get_by_role("link", name="edited elsewhere").last).to_be_visible()
        expect(row.get_by_label("Prompt")).to_have_value("edited elsewhere")
        stays(row.get_by_label("Priority"), "7")
        row.get_by_role("button", name="Save").click()
        expect(row.get_by_label("Priority")).to_have_count(0)
        found = farm.http.get(f"/v1/videos/{video}").json()
        assert (found["prompt"], found["request"]["priority"]) == ("edited elsewhere", 7)
        assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200


def test_what_is_typed_outlives_its_row(farm: FarmProcess, visit: Visit) -> None:
    """A worker takes the video that one edits: what is typed stays, with the reason; paused, the video takes it."""
    with resting(farm):
        video = ask(farm, "taken while one types", seconds="60", num_inference_steps="100")
        page = visit.page("queue")
        row = page.get_by_role("listitem").filter(has_text="taken while one types")
        row.get_by_role("button", name="Edit", exact=True).click()
        typed(row.get_by_label("Prompt"), "typed before")
        page.get_by_label("Filter").press_sequentially("no such video")
        expect(page.get_by_label("Filter")).to_have_value("no such video")  # the form that moves takes no letters
        page.get_by_label("Filter").fill("")
        row.get_by_label("Name").press_sequentially("a na")
    form = page.get_by_role("region", name="Edit “taken while one types”")
    expect(form.get_by_role("alert")).to_contain_text("A worker is making this video")
    expect(form.get_by_label("Prompt")).to_have_value("typed before")
    expect(form.get_by_label("Name")).to_be_focused()
    page.keyboard.type("me")
    form.get_by_label("Prompt").press("Control+End")
    page.keyboard.type(" and after")
    expect(form.get_by_role("button", name="Save")).to_be_disabled()
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_role("searchbox", name="Search")).to_be_visible()
    page.get_by_role("link", name="Queue").click()
    form.get_by_role("button", name="Pause", exact=True).click()
    row = page.get_by_role("list", name="Paused").get_by_role("listitem")
    expect(row.get_by_label("Prompt")).to_have_value("typed before and after")
    row.get_by_role("button", name="Save").click()
    expect(row.get_by_label("Prompt")).to_have_count(0)
    changed = farm.http.get(f"/v1/videos/{video}").json()
    assert (changed["prompt"], changed["name"]) == ("typed before and after", "a name")
    assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200


@pytest.mark.page
def test_a_running_video_takes_a_name(farm: FarmProcess, visit: Visit) -> None:
    """A worker takes the video to which one gives a name: the name is saved all the same."""
    with resting(farm):
        video = ask(farm, "named while it runs", seconds="60", num_inference_steps="100")
        page = visit.page("queue")
        row = page.get_by_role("listitem").filter(has_text="named while it runs")
        row.get_by_role("button", name="Edit", exact=True).click()
        typed(row.get_by_label("Name", exact=True), "A name")
    form = page.get_by_role("region", name="Edit “named while it runs”")
    expect(form.get_by_role("alert")).to_contain_text("only its name can be changed")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    expect(page.get_by_role("region", name="A name")).to_be_visible()
    found = farm.http.get(f"/v1/videos/{video}").json()
    assert (found["name"], found["prompt"], found["status"]) == ("A name", "named while it runs", "in_progress")
    assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200
