"""Links to one file of a video that expire, and pages of other origins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from deploy.planner import EngineMedia, EnginePlanner
from farm.errors import ConfigError, Unauthorized
from farm.ingress import create_app
from farm.ingress.signing.seals import Seals
from farm.jobs import Jobs
from farm.keys import new_key
from farm.settings import FarmSettings
from farm.store import Store
from tests.clock import Clock
from tests.unit.conftest import DispatcherHere, Hand

ALICE, ALICES_ENTRY = new_key("alice")
BOB, BOBS_ENTRY = new_key("bob")
KEYS = f"{ALICES_ENTRY},{BOBS_ENTRY}"
SHOP = "https://shop.example"


def farm_with(
    jobs: Jobs, door: DispatcherHere, *, keys: str = KEYS, origins: str = "", client: str = "203.0.113.9"
) -> TestClient:
    """A farm as a machine elsewhere sees it."""
    settings = FarmSettings(model="tiny", api_keys=keys, cors_origins=origins)
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    url = "http://farm.test:8000" if keys else "http://127.0.0.1:8000"
    return TestClient(app, base_url=url, client=(client, 5))


@pytest.fixture
def shop(jobs: Jobs, door: DispatcherHere) -> Iterator[TestClient]:
    """The server that holds Alice's key, and the browsers that hold none."""
    with farm_with(jobs, door) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def video(shop: TestClient, hand: Hand, png: bytes) -> str:
    """A finished video of Alice's; its mp4 is `mp4 bytes`."""
    files = {"input_reference": ("a.png", png)}
    made = shop.post("/v1/videos", headers=bearer(ALICE), data={"prompt": "a cat", "seconds": "1"}, files=files)
    hand.finish()
    video: str = made.json()["id"]
    return video


def test_a_link_shows_one_file_without_a_key(shop: TestClient, video: str) -> None:
    """With ranges, for GET and HEAD. It opens nothing else of the video, and names neither key nor owner."""
    made = shop.post(f"/v1/videos/{video}/link", headers=bearer(ALICE), json={"seconds": 60}).json()
    assert (made["object"], made["id"]) == ("video.link", video)
    assert made["url"] == f"http://farm.test:8000{made['path']}"
    assert not {"alice", ALICE, ALICES_ENTRY.split(":")[1]} & set(made["url"].replace("&", "=").split("="))
    assert shop.get(made["url"]).content == b"mp4 bytes"
    part = shop.get(made["path"], headers={"Range": "bytes=4-"})
    assert (part.status_code, part.content) == (206, b"bytes")
    assert shop.head(made["path"]).status_code == 200
    query = made["path"].partition("?")[2]
    for path in ("", "/events", "/export", "/webhook"):
        assert shop.get(f"/v1/videos/{video}{path}?{query}").status_code == 401, path
    assert shop.delete(f"/v1/videos/{video}?{query}").status_code == 401


def test_a_changed_link_is_refused(shop: TestClient, video: str, png: bytes) -> None:
    """Another file, another video, a later end, another seal, half a link."""
    path = shop.post(f"/v1/videos/{video}/link", headers=bearer(ALICE), json={}).json()["path"]
    files = {"input_reference": ("a.png", png)}
    other = shop.post("/v1/videos", headers=bearer(ALICE), data={"prompt": "a dog"}, files=files).json()["id"]
    until = path.partition("until=")[2].partition("&")[0]
    for changed in (
        path.replace("variant=video", "variant=latents"),
        path.replace(video, other),
        path.replace(until, str(int(until) + 1)),
        path[:-1],
        path.replace(f"&until={until}", ""),
        path.partition("&seal")[0],
    ):
        answer = shop.get(changed)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), changed
    assert shop.get(path.replace(until, "soon")).status_code == 422


def test_a_false_link_tells_nothing(shop: TestClient, video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same for a video that exists; most false links are refused before the store is read."""
    path = shop.post(f"/v1/videos/{video}/link", headers=bearer(ALICE), json={}).json()["path"]
    until, nobody = path.partition("until=")[2].partition("&")[0], "video_" + "0" * 32
    forged = path[:-4] + ("AAAA" if path[-4:] != "AAAA" else "BBBB")
    answers = [shop.get(link) for link in (forged, forged.replace(video, nobody), path.replace(video, nobody))]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    monkeypatch.setattr(Jobs, "get", lambda *_, **__: pytest.fail("the store was read"))
    for link in (path.replace(until, "1000"), path[:-1], f"/v1/videos/{video}/content?seal=x"):
        assert shop.get(link).text == answers[0].text


async def test_a_link_expires(store: Store, clock: Clock) -> None:
    """After the seconds that were asked for."""
    seals = Seals(store, clock=clock)
    until, seal = await seals.link("video_1", "video", "abc", seconds=60)
    clock.now += 59
    await seals.check_link(seal, "video_1", "video", "abc", until=until)
    clock.now += 1
    with pytest.raises(Unauthorized, match="expired"):
        await seals.check_link(seal, "video_1", "video", "abc", until=until)


def test_a_link_ends_with_its_owners_key(shop: TestClient, video: str, jobs: Jobs, door: DispatcherHere) -> None:
    """A removed key takes its links with it; another replica with the key takes them."""
    path = shop.post(f"/v1/videos/{video}/link", headers=bearer(ALICE), json={}).json()["path"]
    for keys, status in ((ALICES_ENTRY, 200), (BOBS_ENTRY, 401), (f"alice:{'0' * 64}", 401)):
        with farm_with(jobs, door, keys=keys) as replica:
            assert replica.get(path).status_code == status, keys


def test_who_may_make_a_link(shop: TestClient, video: str) -> None:
    """The owner; the video does not exist for another key, and a stranger needs one."""
    path = f"/v1/videos/{video}/link"
    assert shop.post(path, headers=bearer(BOB), json={}).status_code == 404
    assert shop.post(path, json={}).status_code == 401
    for body, field in (
        ({"seconds": 0}, "seconds"),
        ({"seconds": 10**7}, "seconds"),
        ({"variant": "latents"}, "variant"),
        ({"hours": 1}, "hours"),
    ):
        refused = shop.post(path, headers=bearer(ALICE), json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


def test_without_keys_a_link_stays_on_this_machine(http: TestClient, hand: Hand, png: bytes) -> None:
    """A farm without keys answers its own machine only, with a link too."""
    made = http.post("/v1/videos", data={"prompt": "a", "seconds": "1"}, files={"input_reference": ("a.png", png)})
    hand.finish()
    path = http.post(f"/v1/videos/{made.json()['id']}/link", json={}).json()["path"]
    assert http.get(path).content == b"mp4 bytes"
    with TestClient(http.app, base_url="http://127.0.0.1:8000", client=("203.0.113.9", 5)) as afar:
        assert afar.get(path).status_code == 401


def preflight(client: TestClient, origin: str) -> dict[str, str]:
    """A browser asks the farm before it sends a page's request to another origin."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    headers = client.options("/v1/videos", headers=asked | {"Access-Control-Request-Headers": "authorization"}).headers
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


def test_pages_of_other_origins_stay_out(shop: TestClient, jobs: Jobs, door: DispatcherHere) -> None:
    """Unless FARM_CORS_ORIGINS names theirs; then they send a key, and no cookie counts."""
    assert preflight(shop, SHOP) == {}
    assert "access-control-allow-origin" not in shop.get("/v1/videos", headers=bearer(ALICE) | {"Origin": SHOP}).headers
    with farm_with(jobs, door, origins=f"{SHOP}, http://localhost:3000/") as farm:
        told = preflight(farm, SHOP)
        assert told["access-control-allow-origin"] == SHOP
        assert "authorization" in told["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in told
        assert preflight(farm, "http://localhost:3000")["access-control-allow-origin"] == "http://localhost:3000"
        assert "access-control-allow-origin" not in preflight(farm, "https://evil.example")
        answer = farm.get("/v1/videos", headers=bearer(ALICE) | {"Origin": SHOP})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SHOP)
        assert "content-security-policy" in answer.headers
        assert farm.post("/v1/session", json={"key": ALICE}, headers={"Origin": SHOP}).status_code == 403
    with farm_with(jobs, door, keys="", origins=SHOP, client="127.0.0.1") as here:
        assert here.get("/v1/videos", headers={"Origin": SHOP}).status_code == 200
        assert here.get("/v1/videos", headers={"Origin": "https://evil.example"}).status_code == 401


@pytest.mark.parametrize("text", ["*", "shop.example", "https://shop.example/path", "https://a.example,b"])
def test_an_origin_is_named_whole(text: str) -> None:
    """Scheme, host and port; no wildcard."""
    with pytest.raises(ConfigError, match="FARM_CORS_ORIGINS"):
        FarmSettings(cors_origins=text)
