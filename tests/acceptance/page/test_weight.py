"""The page's weight and its requests: counts, never times."""

from __future__ import annotations

import httpx
from playwright.sync_api import Browser, Page, Response, expect

from lab.bench import page as page_bench
from tests.acceptance.page.videos import CROWD
from tests.acceptance.page.visit import KEYS, Visit
from tests.farm_process import FarmProcess

MOST_JS, MOST_CSS = 90 * 1024, 15 * 1024  #: bytes as sent, of the first load
MOST_REQUESTS, MOST_CALLS = 12, 8
MOST_ROWS, MOST_NODES = 60, 3000


def test_the_first_load_is_light(visit: Visit) -> None:
    """Until the form can be used: few requests, little script, little style; other views load when they are opened."""
    page = visit.page("nowhere")
    expect(page.get_by_text("ann", exact=True)).to_be_visible()  # signed in
    page.goto("about:blank")  # what the first page still waits for does not count
    answers = list[Response]()

    def keep(answer: Response) -> None:
        answers.append(answer)

    page.on("response", keep)
    page.goto(f"{visit.origin()}/ui/")
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    assert len(answers) <= MOST_REQUESTS, [answer.url for answer in answers]
    assert 0 < weight(answers, "script") <= MOST_JS
    assert 0 < weight(answers, "stylesheet") <= MOST_CSS
    assert all(answer.header_value("content-encoding") == "gzip" for answer in answers if "/assets/" in answer.url)
    assert not [answer.url for answer in answers if "/library-" in answer.url or "/workers-" in answer.url]


def test_the_bench_tells_paint_and_form(browser: Browser, visit: Visit) -> None:
    """`python -m lab.bench.page` tells both for this machine and for one that is four times slower."""
    rows = list(page_bench.rows(browser, f"{visit.origin(secure=True)}/ui/#key={KEYS['ann']}", 1))
    assert [row["slower"] for row in rows] == [1, 4]
    assert all(0 < row["paint_ms"] <= row["form_ms"] for row in rows), rows


def test_five_hundred_videos_in_the_queue(visit: Visit) -> None:
    """Of 500 rows, those in view are in the document; few calls show them; filter and selection reach all."""
    page = visit.page("workers", owner="crowd")
    expect(page.get_by_text("crowd", exact=True)).to_be_visible()  # signed in
    page.goto("about:blank")  # what the first page still waits for does not count
    calls = list[str]()
    page.on("request", lambda request: calls.append(request.url) if "/v1/" in request.url else None)
    page.goto(f"{visit.origin()}/ui/queue")
    expect(page.get_by_role("heading", name="Paused")).to_contain_text(f"{CROWD}")
    expect(page.get_by_role("listitem").first).to_be_visible()
    assert len([url for url in calls if "variant=" not in url]) <= MOST_CALLS, calls
    is_small(page)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator(f"[aria-posinset='{CROWD}']")).to_be_visible()
    is_small(page)
    page.get_by_role("button", name="Select").click()
    page.get_by_label(f"All {CROWD}").check()
    expect(page.get_by_text(f"{CROWD} selected")).to_be_visible()
    page.get_by_role("searchbox", name="Filter").fill("no such video")
    expect(page.get_by_text("No waiting video matches.")).to_be_visible()


def test_five_hundred_videos_have_ended(visit: Visit) -> None:
    """The library reads on as one scrolls, and forgets what is out of sight."""
    page = visit.page("library", owner="crowd")
    expect(page.get_by_role("article").first).to_be_visible()
    is_small(page)
    articles = page.get_by_role("article")
    first = articles.first.get_by_role("link").first.get_attribute("href")
    last = articles.last.get_by_role("link").first
    for _ in range(3):
        before = last.get_attribute("href")
        assert before is not None
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(last).not_to_have_attribute("href", before)
        is_small(page)
    expect(page.locator(f"a[href='{first}']")).to_have_count(0)


def weight(answers: list[Response], kind: str) -> int:
    """Return the bytes of all files of a kind, as they were sent."""
    found = [answer for answer in answers if answer.request.resource_type == kind]
    return sum(int(answer.header_value("content-length") or 0) for answer in found)


def is_small(page: Page) -> None:
    """Whether few rows and nodes are in the document."""
    rows, nodes = page.evaluate("[document.querySelectorAll('main li').length, document.querySelectorAll('*').length]")
    assert rows <= MOST_ROWS
    assert nodes < MOST_NODES


def test_the_reference_needs_no_network(farm: FarmProcess, visit: Visit) -> None:
    """/docs shows the calls with scripts of the farm alone."""
    page = visit.page()
    page.goto(f"{visit.origin()}/docs")
    expect(page.get_by_text("/v1/videos", exact=True).first).to_be_visible()
    assert httpx.get(f"{farm.http.base_url}/docs").text.count("//cdn") == 0
