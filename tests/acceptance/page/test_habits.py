"""Daily work beside making a video: paste, sign in again, make more of a good video, tidy up."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.page.form import fill, generate, open_more
from tests.acceptance.page.videos import PHOTO, SMALL, ask, ended, newest, resting, shown
from tests.acceptance.page.visit import KEYS, Visit
from tests.farm_process import FarmProcess
from tests.patience import wait_for

pytestmark = pytest.mark.page


def videos_of(farm: FarmProcess, **query: str) -> list[dict[str, object]]:
    """Return the newest videos that a list answers, newest first."""
    found: list[dict[str, object]] = farm.http.get("/v1/videos", params=query).json()["data"]
    return found


def has_both(page: Page, fetched: list[str]) -> bool | None:
    """Whether two files came; Playwright hears of them only while it is called."""
    page.wait_for_timeout(1)
    return len(set(fetched)) == 2 or None


def paste(page: Page) -> None:
    """Paste the photo, as a browser does when one presses Ctrl and V."""
    page.evaluate(
        """photo => {
            const data = new DataTransfer()
            const bytes = Uint8Array.from(atob(photo), each => each.charCodeAt(0))
            data.items.add(new File([bytes], 'pasted.jpg', {type: 'image/jpeg'}))
            document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}))
        }""",
        base64.b64encode(PHOTO.read_bytes()).decode(),
    )


def test_a_session_ends_while_one_works(farm: FarmProcess, visit: Visit) -> None:
    """A pasted photo, a draft of two seeds: the page asks for the key, and the farm makes what was asked for."""
    page = visit.page()
    expect(page).to_have_url(f"{visit.origin()}/ui/")  # the key has vanished from the address
    expect(page.get_by_role("button", name="Generate")).to_be_visible()
    paste(page)
    expect(page.get_by_role("img", name="pasted.jpg")).to_be_visible()
    page.get_by_label("Prompt", exact=True).fill("asked for without a session")
    open_more(page)
    page.get_by_label("Size", exact=True).fill(SMALL["size"])
    page.get_by_role("button", name="Draft").click()
    page.get_by_role("button", name="Seeds").click()
    page.get_by_label("Seeds", exact=True).fill("3, 4")
    with resting(farm):
        page.context.clear_cookies()
        page.keyboard.press("Control+Enter")
        page.get_by_label("API key").fill(KEYS["ann"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("2 videos are in the queue.")).to_be_visible()
        expect(page.get_by_label("Prompt", exact=True)).to_have_value("asked for without a session")
        made = videos_of(farm, q="asked for without a session")
        assert sorted(str(video["seed"]) for video in made) == ["3", "4"]
        assert {shown(farm, str(video["id"]))["request"]["cache"] for video in made} == {"teacache"}
        for video in made:
            assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200
    page.locator("summary").filter(has_text="ann").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()


def test_more_of_what_is_good(farm: FarmProcess, visit: Visit) -> None:
    """From a draft: the same at full quality, and four with other seeds; the player goes on frame by frame."""
    draft = ask(farm, "a good draft", cache="teacache")
    ended(farm, draft)
    page = visit.page(f"videos/{draft}")
    expect(page.get_by_role("link", name="Download").first).to_be_visible()
    expect(page.get_by_label("Time")).to_have_value("0")
    page.get_by_role("button", name="A frame on").click()
    expect(page.get_by_label("Time")).not_to_have_value("0")
    with resting(farm):
        page.get_by_role("button", name="Other seeds ×4").click()
        expect(page.get_by_text("4 videos are in the queue.")).to_be_visible()
        made = videos_of(farm, q="a good draft", status="queued")
        assert len({video["seed"] for video in made}) == len(made) == 4
        page.get_by_role("button", name="Again at full quality").click()
        expect(page.get_by_role("heading", name="a good draft")).to_be_visible()
        page.wait_for_url(lambda url: not url.endswith(draft))
        full = shown(farm, page.url.rpartition("/")[2])
        assert (full["request"]["cache"], full["seed"]) == ("none", shown(farm, draft)["seed"])
        for video in videos_of(farm, status="open"):
            assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200


def test_the_library_is_tidied(farm: FarmProcess, visit: Visit) -> None:
    """Search, star, fetch two files at once, and delete after a question that names what goes."""
    ids = [ask(farm, f"tidied {name}") for name in ("one", "two")]
    for video in ids:
        ended(farm, video)
    page = visit.page("library")
    page.get_by_label("Search").fill("tidied")
    articles = page.get_by_role("article")
    expect(articles).to_have_count(2)
    one = page.get_by_role("article", name="tidied one")
    one.hover()
    expect(one.locator("video")).to_have_count(1)  # it plays under the pointer
    one.get_by_role("button", name="Star").click()
    page.get_by_role("button", name="Starred").click()
    expect(articles).to_have_count(1)
    assert shown(farm, ids[0])["labels"] == ["starred"]
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Select").click()
    page.get_by_role("checkbox", name="All 2").check()
    fetched = list[str]()
    page.on("download", lambda file: fetched.append(file.suggested_filename))
    page.get_by_role("button", name="Download").click()
    wait_for(lambda: has_both(page, fetched), seconds=20, what="two downloads")
    page.get_by_role("button", name="Delete").click()
    asks = page.get_by_role("dialog")
    expect(asks.get_by_role("listitem")).to_have_count(2)
    assert set(asks.get_by_role("listitem").all_inner_texts()) == {"tidied one", "tidied two"}
    asks.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("2 videos were deleted.")).to_be_visible()
    expect(articles).to_have_count(0)
    assert not videos_of(farm, q="tidied")


def test_a_card_outlives_news(farm: FarmProcess, visit: Visit) -> None:
    """Another video ends, and the wall moves along: a card keeps the focus, and plays on under a pointer that rests."""
    ended(farm, ask(farm, "stays"))
    page = visit.page("library?q=stays")
    card = page.get_by_role("article", name="stays", exact=True)
    card.hover()
    player = card.locator("video").element_handle()
    card.get_by_role("link", name="stays").last.focus()
    ended(farm, ask(farm, "stays, but later"))
    news = page.get_by_role("article", name="stays, but later")
    expect(news).to_be_visible()
    expect(card.get_by_role("link", name="stays").last).to_be_focused()
    assert player.evaluate("player => player.isConnected && !player.paused")
    news.hover(position={"x": 20, "y": 20})
    expect(news.locator("video")).to_have_count(1)
    expect(card.locator("video")).to_have_count(0)


def test_a_running_video_is_not_polled(farm: FarmProcess, visit: Visit) -> None:
    """One stream tells of a running video; the page asks for no video by its id."""
    page = visit.page()
    fill(page, "told by the stream", Steps="60")
    calls = list[str]()
    page.on("request", lambda request: calls.append(request.url) if "/v1/videos/" in request.url else None)
    generate(page)
    ended(farm, newest(farm)["id"])
    expect(page.get_by_text("“told by the stream” is ready.")).to_have_count(1)
    assert not [url for url in calls if "/content" not in url and url.rpartition("/")[2].startswith("video_")], calls


def test_an_operator_is_told_what_an_order_does(farm: FarmProcess, visit: Visit) -> None:
    """Pause and drain are explained before they are given, and the question outlives a stream that opens again."""
    page = visit.page("workers")
    page.get_by_role("main").get_by_role("button", name="Drain").click()
    asks = page.get_by_role("dialog")
    expect(asks).to_contain_text("its process ends")
    for ingress in farm.actors("ServeReplica"):
        ingress.kill()
    expect(page.get_by_text("The farm does not answer. Trying again …")).to_be_visible()
    expect(page.get_by_text("The farm does not answer. Trying again …")).to_be_hidden()
    expect(asks).to_contain_text("its process ends")
    asks.get_by_role("button", name="Close").click()
    expect(asks).to_have_count(0)
    page.get_by_role("button", name="Theme").click()
    expect(page.locator("html")).to_have_css("color-scheme", "light")
