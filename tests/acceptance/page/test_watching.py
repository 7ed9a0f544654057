"""Watching a video grow: the live look, the finished part that plays, and the frame that stays on screen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.acceptance.page.videos import ask, resting, shown
from tests.acceptance.page.visit import Visit, until
from tests.farm_process import FarmProcess
from tests.patience import patient, wait_for

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

FRAME_S = 20.5 / 30  #: the middle of a frame of the section that is finished first
SEEK = f"video => new Promise(done => {{ video.onseeked = done; video.currentTime = {FRAME_S} }})"


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
    until(page, "looks.size >= 3", seconds=30)
    player = job.locator("video").first
    expect(player).to_be_visible(timeout=patient(60) * 1000)
    until(page, "[...document.querySelectorAll('.growing video')].some((video) => video.currentTime > 0)")
    expect(job.get_by_text("is ready")).to_be_visible(timeout=patient(60) * 1000)
    assert most == 1
    assert not [request.url for request in asked if request.url.endswith(f"/v1/videos/{video}")]
    assert page.evaluate("shift") < 0.05


@contextlib.contextmanager
def held(farm: FarmProcess, page: Page, video: str) -> Iterator[Locator]:
    """Stop the farm's worker in the middle of a video, wait till the page plays all that is finished, and yield it."""
    with resting(farm):
        wait_for(
            lambda: farm.http.get("/v1/workers").json()["data"][0]["state"] == "paused" or None,
            seconds=30,
            what="a worker that rests",
        )
        found = shown(farm, video)
        assert found["sections_done"] < found["sections_total"], "the video was made too fast to be watched"
        until(
            page,
            """ready => {
                const players = [...document.querySelectorAll('.growing video')]
                return players.length === 1 && players[0].src.endsWith(`v=${ready}`) && players[0].readyState >= 2
                    && !players[0].seeking
            }""",
            found["frames_ready"],
        )
        yield page.locator(".growing video")


def test_the_same_frame_stays_on_screen_when_the_video_grows(farm: FarmProcess, visit: Visit) -> None:
    """A frame that one stopped at is still shown, pixel for pixel, after sections came in front of it."""
    page = visit.page()
    with resting(farm):
        video = slow(farm, "grows in front", seconds="96")
        page.reload()
    expect(job_of(page, "grows in front").locator("video").first).to_be_visible(timeout=patient(60) * 1000)
    with held(farm, page, video) as player:
        player.evaluate("video => video.pause()")
        player.evaluate(SEEK)
        before, ready = player.evaluate(PIXELS), shown(farm, video)["frames_ready"]
    wait_for(lambda: shown(farm, video)["frames_ready"] > ready or None, seconds=60, what="one more section")
    with held(farm, page, video) as player:
        assert different(before, player.evaluate(PIXELS)) < 1
        assert player.evaluate("video => video.paused")
        moved = (shown(farm, video)["frames_ready"] - ready) / 30
        assert player.evaluate("video => video.currentTime") == pytest.approx(FRAME_S + moved, abs=0.01)
        player.evaluate(SEEK)
        assert different(before, player.evaluate(PIXELS)) > 1  # at the old time, there is another frame now
        assert farm.http.post(f"/v1/videos/{video}/cancel").status_code == 200
