"""Sign-in for browsers: the cookie stands for the key, on every replica, for pages of this farm only."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from deploy.planner import EngineMedia, EnginePlanner
from farm.errors import Damaged
from farm.ingress import create_app
from farm.ingress.signing.seals import SESSION_S, Seals
from farm.jobs import Jobs
from farm.keys import new_key, parse_keys
from farm.ledger.layout import SEAL
from farm.settings import FarmSettings
from farm.store import FolderStore, Store
from tests.clock import Clock
from tests.unit.conftest import DispatcherHere, Hand

ALICE, ALICES_ENTRY = new_key("alice")
BOB, BOBS_ENTRY = new_key("bob")
KEYS = f"{ALICES_ENTRY},{BOBS_ENTRY}"
OWN = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "framefarm-7860"


def farm_at(jobs: Jobs, door: DispatcherHere, keys: str = KEYS, url: str = "http://farm.test:7860") -> TestClient:
    """A replica of a farm, as a browser on another machine sees it."""
    settings = FarmSettings(model="tiny", api_keys=keys)
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    client = "127.0.0.1" if not keys else "203.0.113.9"
    return TestClient(app, base_url=url, client=(client, 5))


@pytest.fixture
def browser(jobs: Jobs, door: DispatcherHere) -> Iterator[TestClient]:
    """A browser that has not signed in yet."""
    with farm_at(jobs, door) as client:
        yield client


def sign_in(browser: TestClient, key: str = ALICE) -> Any:
    """Sign in as the page does."""
    answer = browser.post("/v1/session", json={"key": key}, headers=OWN)
    assert answer.status_code == 200, answer.text
    return answer


def submit(browser: TestClient, png: bytes, **headers: str) -> Any:
    """Ask for a video with the cookie alone."""
    files = {"input_reference": ("a.png", png)}
    return browser.post("/v1/videos", data={"prompt": "a cat", "seconds": "1"}, files=files, headers=headers)


def test_the_cookie_stands_for_the_key(browser: TestClient, png: bytes, hand: Hand) -> None:
    """A signed-in browser submits, follows events and plays the video with ranges; it sends no other credentials."""
    told = sign_in(browser).json()
    assert (told["object"], told["owner"]) == ("session", "alice")
    made = submit(browser, png, **OWN)
    assert made.status_code == 200, made.text
    path = f"/v1/videos/{made.json()['id']}"
    hand.finish()
    with browser.stream("GET", f"{path}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        assert "event: end" in "".join(events.iter_text())
    part = browser.get(f"{path}/content", headers={"Range": "bytes=4-"})
    assert (part.status_code, part.content) == (206, b"bytes")
    browser.cookies.clear()
    for call in ("", "/events", "/content"):
        assert browser.get(path + call).status_code == 401


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser: TestClient) -> None:
    """HttpOnly, SameSite=Strict, 30 days, named for the port that the browser asked; Secure under https only."""
    header = sign_in(browser).headers["set-cookie"]
    cookie = SimpleCookie(header)[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "strict", str(SESSION_S))
    assert (cookie["path"], cookie["secure"]) == ("/", "")
    assert ALICE not in header
    assert ALICES_ENTRY.split(":")[1] not in header


@pytest.mark.parametrize(
    ("url", "headers", "name"),
    [
        ("https://farm.test", OWN, "framefarm-8000"),
        ("http://farm.test", {"Origin": "https://farm.test"}, "framefarm-8000"),  # behind a proxy with TLS
    ],
)
def test_under_https_the_cookie_is_secure(
    jobs: Jobs, door: DispatcherHere, url: str, headers: dict[str, str], name: str
) -> None:
    """The browser never sends it over plain HTTP then. Without a port in the address, the farm's own names it."""
    with farm_at(jobs, door, url=url) as browser:
        answer = browser.post("/v1/session", json={"key": ALICE}, headers=headers)
        assert SimpleCookie(answer.headers["set-cookie"])[name]["secure"] is True


def test_every_replica_knows_a_session_and_it_ends_with_its_key(jobs: Jobs, door: DispatcherHere) -> None:
    """Another process on the same store, with other keys too, takes it. A removed or changed key does not."""
    with farm_at(jobs, door) as browser:
        sign_in(browser)
        session = browser.cookies[COOKIE]
    _, carols_entry = new_key("carol")
    _, another = new_key("alice")
    for keys, status in ((f"{carols_entry},{KEYS}", 200), (BOBS_ENTRY, 401), (f"{another},{BOBS_ENTRY}", 401)):
        with farm_at(jobs, door, keys=keys) as replica:
            replica.cookies.set(COOKIE, session)
            assert replica.get("/v1/videos").status_code == status, keys


def test_a_farm_takes_no_other_farms_session(tmp_path: Path, browser: TestClient) -> None:
    """The same key on another store: another secret."""
    sign_in(browser)
    others = Jobs(FolderStore(tmp_path / "other"))
    with farm_at(others, DispatcherHere(others)) as other:
        other.cookies.set(COOKIE, browser.cookies[COOKIE])
        answer = other.get("/v1/videos")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "sign in again" in answer.json()["detail"]


def test_a_forged_session_is_refused(browser: TestClient) -> None:
    """Another name, a later end, another seal, half a session, none at all."""
    sign_in(browser)
    owner, end, seal = browser.cookies[COOKIE].split(".")
    forged = [f"bob.{end}.{seal}", f"{owner}.{int(end) + 1}.{seal}", f"{owner}.{end}.{seal[:-1]}", f"{owner}.{end}"]
    for text in [*forged, f"{owner}.{end}.", f"{owner}..{seal}", "x", f"{owner}.{end}.{seal}ü", f"{owner}.9e9.{seal}"]:
        browser.cookies.clear()
        answer = browser.get("/v1/videos", headers={b"Cookie": f"{COOKIE}={text}".encode()})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), text


async def test_a_session_ends_after_30_days(store: Store, clock: Clock) -> None:
    """Until then it names its owner."""
    seals, keys = Seals(store, clock=clock), parse_keys(KEYS)
    session = await seals.session("alice", keys)
    clock.now += SESSION_S - 1
    assert await seals.owner_of(session.text, keys) == "alice"
    clock.now += 1
    with pytest.raises(Exception, match="sign in again"):
        await seals.owner_of(session.text, keys)


async def test_a_damaged_secret_signs_nothing(store: Store) -> None:
    """An empty object would be a secret that everybody knows."""
    store.put_if_absent(SEAL, b"")
    with pytest.raises(Damaged, match=SEAL):
        await Seals(store).session("alice", parse_keys(KEYS))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://farm.test:7860.evil.example"},
        {"Origin": "http://farm.test:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://farm.test:7860"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_another_site_changes_nothing_with_the_cookie(browser: TestClient, png: bytes, headers: dict[str, str]) -> None:
    """A form that another site posts is refused, whether a browser that knows SameSite would send the cookie or not."""
    sign_in(browser)
    refused = submit(browser, png, **headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert browser.delete("/v1/session", headers=headers).status_code == 403
    assert browser.get("/v1/videos", headers=headers).json()["data"] == []
    assert submit(browser, png, **headers, Authorization=f"Bearer {ALICE}").status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "http://farm.test:7860"}, OWN])
def test_a_page_of_this_farm_changes_things(browser: TestClient, png: bytes, headers: dict[str, str]) -> None:
    """Over plain HTTP browsers send no Sec-Fetch-Site; the Origin is enough then."""
    sign_in(browser)
    assert submit(browser, png, **headers).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_site_signs_nobody_in(browser: TestClient, headers: dict[str, str]) -> None:
    """Else what a person makes would belong to that site's key."""
    for answer in (
        browser.post("/v1/session", json={"key": ALICE}, headers=headers),
        browser.post("/login", data={"username": "alice", "password": ALICE}, headers=headers),
    ):
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_signing_out_removes_the_cookie(browser: TestClient) -> None:
    """Afterwards the browser is a stranger; one that is not signed in cannot sign out."""
    sign_in(browser)
    assert browser.delete("/v1/session", headers=OWN).json() == {"object": "session.deleted", "deleted": True}
    assert COOKIE not in browser.cookies
    assert browser.get("/v1/videos").status_code == 401
    assert browser.delete("/v1/session", headers=OWN).status_code == 401


def test_a_wrong_key_gets_no_cookie(browser: TestClient) -> None:
    """A key of nobody, the stored hash, none at all, or another's name."""
    for key in ("farm-wrong", ALICES_ENTRY.split(":")[1], ""):
        answer = browser.post("/v1/session", json={"key": key}, headers=OWN)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False), key
    for name in ("bob", "", "älice"):
        answer = browser.post("/login", data={"username": name, "password": ALICE})
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False), name
    assert browser.post("/v1/session", json={"key": 5}, headers=OWN).json()["errors"][0]["field"] == "key"


def test_gradios_clients_sign_in_with_a_form(browser: TestClient) -> None:
    """The name and the key, as the form fields of gradio_client's auth=(NAME, KEY); the cookie is the same."""
    answer = browser.post("/login", data={"username": "alice", "password": ALICE})
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert list(answer.cookies) == [COOKIE]
    assert browser.get("/v1/videos").status_code == 200


def test_a_farm_without_keys_has_no_sessions(jobs: Jobs, door: DispatcherHere) -> None:
    """Its own machine is in already, and gets no cookie; another machine and another host name stay out."""
    with farm_at(jobs, door, keys="", url="http://127.0.0.1:8000") as here:
        answer = here.post("/v1/session", json={"key": "anything"}, headers=OWN)
        assert (answer.json()["owner"], "set-cookie" in answer.headers) == ("local", False)
        assert here.post("/v1/session", json={}, headers={"Host": "evil.example"}).status_code == 401
    app = here.app
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("203.0.113.9", 5)) as afar:
        assert afar.post("/v1/session", json={"key": ALICE}).status_code == 401
