"""Queue: what waits changes places, under a pointer, by keys and by buttons, and workers obey."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from farm.client import read_events
from tests.acceptance.page.videos import ask, ended, resting, shown
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess


def rows(page: Page) -> Locator:
    """The waiting rows in their order on the screen: they are placed by themselves, so not that of the document."""
    return page.get_by_role("list", name="Waiting").get_by_role("listitem")


def expect_order(page: Page, *names: str) -> None:
    """Wait until the rows stand in this order."""
    for place, name in enumerate(names):
        row = page.get_by_role("list", name="Waiting").locator(f'[data-index="{place}"]')
        expect(row).to_contain_text(name)


def drag(page: Page, row: Locator, *, to: Locator, above: bool) -> None:
    """Drag a row by its handle past another one, in several steps, as a hand does."""
    handle, target = row.get_by_role("button", name="Move").bounding_box(), to.bounding_box()
    assert handle is not None
    assert target is not None
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(handle["x"] + 10, target["y"] + target["height"] * (0.2 if above else 0.8), steps=8)


def test_rows_are_dragged_and_workers_obey(farm: FarmProcess, visit: Visit) -> None:
    """The last becomes the first at once; Esc and a lost call put it back; the worker begins in the new order."""
    names = ("move one", "move two", "move three")
    with resting(farm):
        one, two, three = (ask(farm, name) for name in names)
        page = visit.page("queue")
        expect_order(page, *names)
        last = rows(page).filter(has_text="move three")
        drag(page, last, to=rows(page).filter(has_text="move one"), above=True)
        expect_order(page, "move three", "move one", "move two")
        page.keyboard.press("Escape")
        page.mouse.up()
        expect_order(page, *names)
        page.route("**/move", lambda route: route.abort())
        drag(page, last, to=rows(page).filter(has_text="move one"), above=True)
        page.mouse.up()
        expect(page.get_by_text("It was put back")).to_be_visible()
        expect_order(page, *names)
        page.unroute("**/move")
        drag(page, last, to=rows(page).filter(has_text="move one"), above=True)
        page.mouse.up()
        expect_order(page, "move three", "move one", "move two")
        page.reload()
        expect_order(page, "move three", "move one", "move two")
        assert [shown(farm, video)["queue_position"] for video in (three, one, two)] == [0, 1, 2]
        events = farm.http.stream("GET", "/v1/events")
    begun = dict[str, None]()
    with events as response:
        for event in read_events(response.iter_lines()):
            if event.name == "video" and event.data["status"] in {"in_progress", "completed"}:
                begun[event.data["id"]] = None
            if len(begun) == len(names):
                break
    assert list(begun) == [three, one, two]
    for video in (one, two, three):
        ended(farm, video)


def test_rows_are_moved_by_keys_and_by_buttons(farm: FarmProcess, visit: Visit) -> None:
    """Space lifts, arrows move, Esc puts back, Space drops; what happens is told. First and Last move a selection."""
    names = ("key one", "key two", "key three")
    with resting(farm):
        videos = [ask(farm, name) for name in names]
        page = visit.page("queue")
        expect_order(page, *names)
        handle = page.get_by_role("button", name="Move key three")
        handle.focus()
        page.keyboard.press("Space")
        expect(page.get_by_text("key three is lifted, place 3 of 3.")).to_be_attached()
        page.keyboard.press("ArrowUp")
        expect_order(page, "key one", "key three", "key two")
        page.keyboard.press("Escape")
        expect_order(page, *names)
        expect(handle).to_be_focused()
        for key in ("Space", "Home", "ArrowDown", "Space"):
            page.keyboard.press(key)
        expect_order(page, "key one", "key three", "key two")
        expect(page.get_by_text("key three is at place 2.")).to_be_attached()
        expect(page.get_by_role("button", name="Move key three")).to_be_focused()
        page.get_by_role("button", name="Select").click()
        for name in ("key two", "key three"):
            page.get_by_role("checkbox", name=f"Select {name}").check()
        page.get_by_role("button", name="First").click()
        expect_order(page, "key three", "key two", "key one")
        page.get_by_role("checkbox", name="Select key three").uncheck()
        page.get_by_role("button", name="Last").click()
        expect_order(page, "key three", "key one", "key two")
        phone = visit.phone("queue")
        expect_order(phone, "key three", "key one", "key two")
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        expect(rows(phone)).to_have_count(3)
        places = [shown(farm, video)["queue_position"] for video in videos]
        assert places == [1, 2, 0]
        for video in videos:
            assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200


def push(page: Page, row: Locator, by: int) -> None:
    """Push a row sideways with a finger."""
    box = row.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 24
    device = page.context.new_cdp_session(page)
    device.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        device.send(
            "Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + by * step / 8, "y": y}]}
        )
    device.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_on_a_phone_a_finger_pushes_rows(farm: FarmProcess, visit: Visit) -> None:
    """To the right it pauses, to the left it cancels; a short push does nothing."""
    with resting(farm):
        paused, cancelled = ask(farm, "push right"), ask(farm, "push left")
        page = visit.phone("queue")
        expect_order(page, "push right", "push left")
        push(page, rows(page).filter(has_text="push left"), -40)
        push(page, rows(page).filter(has_text="push left"), -150)
        expect(page.get_by_text("“push left” was cancelled.")).to_be_visible()
        push(page, rows(page).filter(has_text="push right"), 150)
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        assert [shown(farm, video)["status"] for video in (paused, cancelled)] == ["paused", "cancelled"]
        assert farm.http.post(f"/v1/videos/{paused}/cancel").status_code == 200
