"""The page in Debian's Chromium, on a farm with real workers: what a person does with it in a day.

The farm has keys, and the browser reaches it under a name that is no secure origin, as it would in a network at home.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright

from tests.farm_process import FarmProcess, running_farm
from tests.imports import ROOT
from tests.patience import patient

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        CHROMIUM is None and "TEST_CHROMIUM" not in os.environ, reason="no chromium here: `make browser` installs it"
    ),
]
KEYS = {"ann": "farm-key-of-ann", "ben": "farm-key-of-ben"}
PHOTO = ROOT / "examples" / "cat.jpg"
SMALL = {"seconds": "2.4", "num_inference_steps": "2", "size": "96x64", "seed": "7"}
#: Chromium logs every refused call; the farm's refusals are what some of these tests are about.
REFUSED = re.compile(r"Failed to load resource|net::ERR_")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """One farm with one worker and two owners."""
    entries = ",".join(f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items())
    with running_farm(
        tmp_path_factory.mktemp("page") / "storage", cache=tiny_cache, API_KEYS=entries, OPERATORS="ann"
    ) as farm:
        farm.http.headers["Authorization"] = f"Bearer {KEYS['ann']}"
        yield farm


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Playwright, without a browser of its own."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium, which finds the farm under the name farm.test."""
    assert CHROMIUM is not None, "TEST_CHROMIUM is set, but there is no chromium: `make browser`"
    rules = "--host-resolver-rules=MAP farm.test 127.0.0.1"
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
    yield browser
    browser.close()


@pytest.fixture
def visit(farm: FarmProcess, browser: Browser) -> Iterator[Visit]:
    """Open the page as an owner; an error in a page's console, a CSP report too, fails the test."""
    faults = list[str]()
    visit = Visit(farm, browser, faults)
    yield visit
    visit.close()
    assert not faults, faults


class Visit:
    """Pages of people who are signed in, each in a browser of their own."""

    def __init__(self, farm: FarmProcess, browser: Browser, faults: list[str]) -> None:
        self._origin = f"http://farm.test:{farm.http.base_url.port}"
        self._browser = browser
        self._faults = faults
        self._open = list[Page]()

    def page(self, path: str = "", *, owner: str | None = "ann", **size: int) -> Page:
        """Open a path of the page. owner: whose key the address carries; None: nobody signs in."""
        context = self._browser.new_context(
            viewport={"width": size.get("width", 1440), "height": size.get("height", 900)}, accept_downloads=True
        )
        context.set_default_timeout(patient(20) * 1000)
        page = context.new_page()
        page.on("console", self._look_at)
        page.on("pageerror", lambda error: self._faults.append(str(error)))
        page.goto(f"{self._origin}/ui/{path}{f'#key={KEYS[owner]}' if owner else ''}")
        self._open.append(page)
        return page

    def _look_at(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not REFUSED.search(message.text):
            self._faults.append(message.text)

    def close(self) -> None:
        """Close every page."""
        for page in self._open:
            page.context.close()


def ask(farm: FarmProcess, prompt: str, **fields: str) -> str:
    """Ask for a video through the API and return its id."""
    with PHOTO.open("rb") as photo:
        answer = farm.http.post(
            "/v1/videos", data=SMALL | {"prompt": prompt} | fields, files={"input_reference": photo}
        )
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["id"]
    return found


def shown(farm: FarmProcess, video: str) -> dict[str, object]:
    """Return a video as the API shows it."""
    found: dict[str, object] = farm.http.get(f"/v1/videos/{video}").json()
    return found


def test_a_photo_becomes_a_video_that_can_be_fetched(farm: FarmProcess, visit: Visit) -> None:
    """Drop a photo, generate, reload in the middle: the job is still there, ends, plays, and downloads whole."""
    page = visit.page()
    page.get_by_label("Start image").set_input_files(PHOTO)
    page.get_by_label("Prompt", exact=True).fill("The cat yawns.")
    page.get_by_label("Seconds").fill("3.6")
    page.get_by_text("More: seed").click()
    page.get_by_label("Steps", exact=True).fill("12")
    page.get_by_role("button", name="Generate").click()
    job = page.get_by_role("region", name="The cat yawns.")
    expect(job.get_by_role("progressbar").last).to_be_visible()
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat yawns.")
    expect(page.get_by_role("region", name="The cat yawns.")).to_be_visible()
    video = farm.http.get("/v1/videos?limit=1").json()["data"][0]
    assert (video["request"]["num_inference_steps"], video["sections_total"]) == (12, 3)

    page.get_by_role("link", name="Library").click()
    card = page.get_by_role("article", name="The cat yawns.")
    expect(card).to_be_visible(timeout=patient(60) * 1000)
    card.get_by_role("link", name="The cat yawns.").last.click()
    player = page.locator("video")
    expect(player).to_have_count(1)
    player.evaluate("video => video.readyState >= 2 || new Promise(done => video.addEventListener('loadeddata', done))")
    assert player.evaluate("video => video.videoWidth") == int(str(video["size"]).partition("x")[0])
    page.keyboard.press(".")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.path().read_bytes() == farm.http.get(f"/v1/videos/{video['id']}/content").content


def test_the_queue_is_edited_paused_and_cancelled(farm: FarmProcess, visit: Visit) -> None:
    """Videos that wait can be edited, paused and cancelled, each in its row; the farm makes them as they are then."""
    (worker,) = farm.http.get("/v1/workers").json()["data"]
    assert farm.http.post(f"/v1/workers/{worker['id']}/pause").status_code == 200
    edited, cancelled = ask(farm, "to be edited"), ask(farm, "to be cancelled")
    page = visit.page("queue")
    row = page.get_by_role("listitem").filter(has_text="to be edited")
    row.get_by_role("button", name="Edit").click()
    row.get_by_label("Prompt").fill("was edited")
    row.get_by_role("button", name="Save").click()
    row = page.get_by_role("listitem").filter(has_text="was edited")
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("listitem").filter(has_text="to be cancelled").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("listitem").filter(has_text="to be cancelled")).to_have_count(0)
    assert [shown(farm, video)["status"] for video in (edited, cancelled)] == ["paused", "cancelled"]
    row.get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Workers").click()
    page.get_by_role("main").get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_role("article", name="was edited")).to_be_visible()
    assert shown(farm, edited)["prompt"] == "was edited"


def test_a_wrong_form_says_so_and_stays(visit: Visit) -> None:
    """Without a picture or a prompt, or with a broken picture, the field says what to do, and nothing is lost."""
    page = visit.page()
    page.get_by_label("Prompt", exact=True).fill("The cat sleeps.")
    page.get_by_text("More: seed").click()
    page.get_by_label("Steps", exact=True).fill("101")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("Choose a start image. This model needs one.")).to_be_visible()
    expect(page.get_by_text("need at most 100")).to_be_visible()
    page.get_by_label("Start image").set_input_files(
        {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": PHOTO.read_bytes()[:400]}
    )
    expect(page.get_by_text("The browser cannot read this picture.")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The cat sleeps.")


def test_two_people_see_their_own_videos(farm: FarmProcess, visit: Visit) -> None:
    """One signs in with a key, a wrong one is refused, and nobody sees the videos of somebody else."""
    ask(farm, "only for ann")
    ben = visit.page("library", owner=None)
    ben.get_by_label("API key").fill("wrong")
    ben.get_by_role("button", name="Sign in").click()
    expect(ben.get_by_role("alert")).to_be_visible()
    ben.get_by_label("API key").fill(KEYS["ben"])
    ben.get_by_role("button", name="Sign in").click()
    expect(ben.get_by_text("No video has ended yet.")).to_be_visible()
    ann = visit.page("library")
    assert "key=" not in ann.url
    expect(ann.get_by_role("article", name="only for ann")).to_be_visible(timeout=patient(60) * 1000)
    expect(ben.get_by_role("article")).to_have_count(0)


def test_a_phone_has_room_for_all_of_it(visit: Visit) -> None:
    """At 390 px nothing scrolls sideways, and every view is one tap away."""
    page = visit.page(width=390, height=844)
    for view in ("Queue", "Library", "Workers", "Create"):
        page.get_by_role("link", name=view).click()
        expect(page.get_by_role("main")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


def test_the_farm_goes_and_comes_back(farm: FarmProcess, visit: Visit) -> None:
    """Where every ingress dies, the page keeps what it shows, says so, and goes on by itself."""
    ask(farm, "survives", seconds="24", num_inference_steps="20")
    page = visit.page("queue")
    job = page.get_by_role("region", name="survives")
    expect(job).to_be_visible()
    for ingress in farm.actors("ServeReplica"):
        ingress.kill()
    expect(page.get_by_text("The farm does not answer, trying again.")).to_be_visible()
    expect(job).to_be_visible()
    expect(page.get_by_text("The farm does not answer, trying again.")).to_be_hidden()
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_have_count(0)


def test_the_reference_needs_no_network(farm: FarmProcess, visit: Visit) -> None:
    """/docs shows the calls with scripts of the farm alone."""
    page = visit.page()
    page.goto(f"{page.url.partition('/ui/')[0]}/docs")
    expect(page.get_by_text("/v1/videos", exact=True).first).to_be_visible()
    assert httpx.get(f"{farm.http.base_url}/docs").text.count("//cdn") == 0
