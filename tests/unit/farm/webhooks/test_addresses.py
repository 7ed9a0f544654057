"""A webhook connects only to an address that the farm has checked, even against a name server or a proxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from farm.receiver import Resolve
from farm.settings import FarmSettings
from tests.hook_receiver import SECRET, hook_receiver
from tests.unit.farm.webhooks.conftest import Scene, owed

pytestmark = pytest.mark.filterwarnings("error")


def rebinding(answers: list[Sequence[str]]) -> Resolve:
    """Resolve a name to another address at each look-up."""

    async def look_up(host: str, port: int) -> Sequence[str]:
        assert host == "rebinding.example"
        return answers.pop(0)

    return look_up


async def test_a_name_is_looked_up_once_a_try(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a name turns from public to loopback, the farm connects to the checked address and refuses the next try."""
    url = f"http://rebinding.example:{scene.receiver.port}/x"
    scene.use(FarmSettings(model="tiny"))
    scene.ask(webhook_url=url, webhook_secret=SECRET)
    scene.hand.finish()
    connected: list[httpx.URL] = []

    def stream(self: httpx.AsyncClient, method: str, url: httpx.URL, **options: Any) -> None:
        connected.append(url)
        assert options["headers"]["host"] == f"rebinding.example:{scene.receiver.port}"
        raise httpx.ConnectError("this machine reaches no internet")

    monkeypatch.setattr(httpx.AsyncClient, "stream", stream)
    answers: list[Sequence[str]] = [["8.8.8.8"], ["127.0.0.1"]]
    post_office = scene.sender(resolve=rebinding(answers))
    await post_office.round()
    assert [url.host for url in connected] == ["8.8.8.8"]
    assert len(answers) == 1
    scene.clock.now += 5
    await post_office.round()
    assert (len(connected), scene.receiver.posts, answers, owed(scene.jobs)) == (1, [], [], [])


async def test_the_post_goes_to_the_address_that_was_found(scene: Scene) -> None:
    """The name appears only in the Host header (and, with https, in the certificate check)."""
    scene.ask(webhook_url=f"http://rebinding.example:{scene.receiver.port}/x")
    scene.hand.finish()
    await scene.sender(resolve=rebinding([["127.0.0.1"]])).round()
    [post] = scene.receiver.posts
    assert post.headers["host"] == f"rebinding.example:{scene.receiver.port}"


async def test_a_name_that_leads_inside_is_refused(scene: Scene) -> None:
    """One private address is enough to refuse a name; the outcome tells the user why."""
    scene.use(FarmSettings(model="tiny"))
    for found in (["127.0.0.1"], ["8.8.8.8", "10.1.2.3"], ["::1"], ["fe80::1%lo"], ["169.254.169.254"]):
        video = scene.ask(webhook_url=f"http://rebinding.example:{scene.receiver.port}/x", webhook_secret=SECRET)
        scene.hand.finish()
        await scene.sender(resolve=rebinding([found])).round()
        assert (scene.receiver.posts, owed(scene.jobs)) == ([], [])
        told = scene.told(video["id"])
        assert told["state"] == "gave_up"
        assert "private network" in told["reason"]


async def test_the_environments_proxy_is_not_used(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender ignores proxies, which would look the name up again."""
    with hook_receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        scene.ask()
        scene.hand.finish()
        await scene.sender().round()
        assert (len(scene.receiver.posts), proxy.posts) == (1, [])
