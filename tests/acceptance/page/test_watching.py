"""Watching a video grow: the live look, the finished part that plays, and the frame that stays on screen."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, Request, expect

from tests.acceptance.page.videos import ask, resting
from tests.acceptance.page.visit import Visit
from tests.farm_process import FarmProcess
from tests.patience import patient

#: Collects what a person sees change: addresses of the live look, shifts of the layout.
WATCH = """() => {
    window.looks = new Set(); window.shift = 0
    const look = () => {
        const shown = document.querySelector('.live .frames')
        if (shown) window.looks.add(shown.style.backgroundImage)
        requestAnimationFrame(look)
    }
    look()
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value
    }).observe({type: 'layout-shift'})
}"""
#: The frame that a player shows, as text: small, so that two decodings of it are equal.
PIXELS = """video => {
    const canvas = document.createElement('canvas')
    canvas.width = video.videoWidth; canvas.height = video.videoHeight
    const context = canvas.getContext('2d')
    context.drawImage(video, 0, 0)
    return [...context.getImageData(0, 0, canvas.width, canvas.height).data]
}"""


def different(one: list[int], other: list[int]) -> float:
    """Return how far two frames are apart: the mean difference of a byte."""
    assert len(one) == len(other)
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def slow(farm: FarmProcess, prompt: str, **fields: str) -> str:
    """Ask for a video that is long enough in the making to be watched."""
    return ask(farm, prompt, **{"seconds": "4.8", "num_inference_steps": "25"} | fields)


def job_of(page: Page, prompt: str) -> Any:
    """Wait for the region of a running video that is watched."""
    job = page.get_by_role("region", name=prompt)
    expect(job.get_by_role("progressbar").last).to_be_visible()
    return job


def test_the_live_look_changes_and_the_finished_part_plays(farm: FarmProcess, visit: Visit) -> None:
    """The section in hand is seen to change; what is finished plays; nothing jumps; one stream, and no polling."""
    page = visit.page()
    asked = list[Request]()
    streams, most = set[Request](), 0

    def opened(request: Request) -> None:
        nonlocal most
        asked.append(request)
        if "/v1/events" in request.url:
            streams.add(request)
            most = max(most, len(streams))

    def closed(request: Request) -> None:
        streams.discard(request)

    with resting(farm):
        video = slow(farm, "watched")
        page.reload()
        expect(page.get_by_role("link", name="Queue")).to_contain_text("1")
        page.on("request", opened)
        page.on("requestfailed", closed)
        page.on("requestfinished", closed)
        page.evaluate(WATCH)
    job = job_of(page, "watched")
    page.wait_for_function("() => looks.size >= 3", timeout=patient(30) * 1000)
    player = job.locator("video").first
    expect(player).to_be_visible(timeout=patient(60) * 1000)
    player.evaluate("video => new Promise(done => video.ontimeupdate = () => video.currentTime > 0 && done())")
    expect(job.get_by_text("is ready")).to_be_visible(timeout=patient(60) * 1000)
    assert most == 1
    assert not [request.url for request in asked if request.url.endswith(f"/v1/videos/{video}")]
    assert page.evaluate("shift") < 0.05


def test_the_same_frame_stays_on_screen_when_the_video_grows(farm: FarmProcess, visit: Visit) -> None:
    """A frame that one stopped at is still shown, pixel for pixel, after sections came in front of it."""
    page = visit.page()
    with resting(farm):
        slow(farm, "grows in front", num_inference_steps="12")
        page.reload()
    job = job_of(page, "grows in front")
    player = job.locator("video").first
    expect(player).to_be_visible(timeout=patient(60) * 1000)
    player.evaluate(
        """async video => {
            video.pause()
            await new Promise(done => { video.onseeked = done; video.currentTime = 20.5 / 30 })
        }"""
    )
    before, old = player.evaluate(PIXELS), player.get_attribute("src")
    page.wait_for_function(
        """old => {
            const [player, ...loading] = document.querySelectorAll('.growing video')
            return player && !loading.length && player.getAttribute('src') !== old && !player.seeking
        }""",
        arg=old,
        timeout=patient(60) * 1000,
    )
    player = job.locator("video").first
    assert different(before, player.evaluate(PIXELS)) < 1
    assert player.evaluate("video => video.paused")
    assert player.evaluate("video => video.currentTime") > 1.2
    player.evaluate("video => new Promise(done => { video.onseeked = done; video.currentTime = 20.5 / 30 })")
    assert different(before, player.evaluate(PIXELS)) > 1  # at the old time, there is another frame now
    expect(job.get_by_text("is ready")).to_be_visible(timeout=patient(60) * 1000)  # it stays where one watches it
