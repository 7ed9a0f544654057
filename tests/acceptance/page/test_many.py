"""Many at once: twelve pictures, pairs of them, and four variants that one compares."""

from __future__ import annotations

import io

from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.acceptance.page.form import fill, generate
from tests.acceptance.page.videos import newest, resting, shown
from tests.acceptance.page.visit import Visit, until
from tests.farm_process import FarmProcess
from tests.patience import patient

PICTURES = 12


def pictures() -> list[FilePayload]:
    """Twelve pictures of different colours, and a text beside the third."""
    found = list[FilePayload]()
    for number in range(1, PICTURES + 1):
        data = io.BytesIO()
        Image.new("RGB", (96, 64), (number * 20, 80, 120)).save(data, "PNG")
        found.append({"name": f"photo {number}.png", "mimeType": "image/png", "buffer": data.getvalue()})
    return [*found, {"name": "photo 3.txt", "mimeType": "text/plain", "buffer": b"The third one spins."}]


def drop(page: Page, files: list[FilePayload]) -> None:
    """Settings that hold for all of them, and the files at once."""
    fill(page, "It moves.")
    page.get_by_label("Seconds", exact=True).fill("1.2")
    page.get_by_label("Start image", exact=True).set_input_files(files)


def test_twelve_pictures_are_twelve_videos(farm: FarmProcess, visit: Visit) -> None:
    """Each picture gets a video of its own; a text beside one is its prompt; all that wait are cancelled at once."""
    page = visit.page()
    with resting(farm):
        drop(page, pictures())
        page.get_by_role("button", name="12 videos, one for each picture").click()
        expect(page.get_by_text("12 videos are in the queue.")).to_be_visible(timeout=patient(60) * 1000)
        made = farm.http.get("/v1/videos?limit=12&status=open").json()["data"]
        prompts = [video["prompt"] for video in reversed(made)]
        assert prompts == ["It moves.", "It moves.", "The third one spins.", *["It moves."] * 9]
        page.get_by_role("link", name="Queue").click()
        expect(page.get_by_role("listitem").filter(has_text="It moves.")).to_have_count(11)
        page.get_by_role("button", name="Cancel all waiting").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel all waiting").click()
        expect(page.get_by_text("Nothing waits. Drop a photo.")).to_be_visible()
        assert {shown(farm, video["id"])["status"] for video in made} == {"cancelled"}


def test_pictures_two_by_two(farm: FarmProcess, visit: Visit) -> None:
    """Four pictures make two videos, each from a first to a last picture."""
    page = visit.page()
    with resting(farm):
        drop(page, pictures()[:4])
        page.get_by_role("button", name="2 videos, each from a first to a last picture").click()
        expect(page.get_by_text("2 videos are in the queue.")).to_be_visible()
        for video in farm.http.get("/v1/videos?limit=2").json()["data"]:
            assert farm.http.get(f"/v1/videos/{video['id']}/content?variant=end").status_code == 200
            assert farm.http.post(f"/v1/videos/{video['id']}/cancel").status_code == 200


def test_four_variants_are_compared(farm: FarmProcess, visit: Visit) -> None:
    """Four seeds of one request, side by side and in step; the best one gets a star."""
    page = visit.page()
    fill(page, "Which one is best?")
    page.get_by_label("Seconds", exact=True).fill("1.2")
    page.get_by_role("group", name="Variants").get_by_role("button", name="4", exact=True).click()
    generate(page)
    batch = newest(farm)["batch"]["videos"]
    assert len(batch) == 4
    page.get_by_role("link", name="Library").click()
    cards = page.get_by_role("article", name="Which one is best?")
    expect(cards).to_have_count(4, timeout=patient(60) * 1000)
    page.get_by_role("button", name="Select").click()
    for number in range(4):
        cards.nth(number).get_by_role("checkbox").check()
    page.get_by_role("button", name="Compare").click()
    players = page.locator("video")
    expect(players).to_have_count(4)
    until(
        page,
        """() => {
            const players = [...document.querySelectorAll('video')]
            const times = players.map((player) => player.currentTime)
            return players.every((player) => player.readyState >= 3) && Math.max(...times) > 0
                && Math.max(...times) - Math.min(...times) < 0.3
        }""",
    )
    third = page.locator("figure").nth(2)
    third.get_by_role("button", name="Star").click()
    expect(third.get_by_role("button", name="Star")).to_have_attribute("aria-pressed", "true")
    starred = farm.http.get("/v1/videos?starred=true").json()["data"]
    assert [video["id"] for video in starred if video["id"] in batch] == [
        page.url.partition("compare=")[2].split(",")[2]
    ]
