"""Access to a door: with keys, a script sends one or signs in; without keys, only the farm's own machine has it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from gradio_client import Client

from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.keys import new_key
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere, Hand, serving

API = "/gradio_api"
ALICE, ALICES_ENTRY = new_key("alice")
BOB, BOBS_ENTRY = new_key("bob")
DOORS = ("", "/nirvash", "/suparious", "/svjack")
CALLS = [
    ("GET", "info"),
    ("POST", "upload"),
    ("POST", "queue/join"),
    ("GET", "queue/data?session_hash=x"),
    ("POST", "call/process"),
    ("POST", "call/v2/process"),
    ("GET", "call/process/x"),
    ("GET", "file=videos/x"),
    ("POST", "cancel"),
    ("POST", "reset"),
]


def app_of(jobs: Jobs, door: DispatcherHere, keys: str, client: str) -> TestClient:
    """A farm with these keys, asked from this address."""
    settings = FarmSettings(model="tiny", api_keys=keys)
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    return TestClient(app, base_url="http://farm.test:7860", client=(client, 5))


@pytest.fixture
def keyed(jobs: Jobs, door: DispatcherHere) -> Iterator[TestClient]:
    """A farm with two keys, asked from another machine."""
    with app_of(jobs, door, f"{ALICES_ENTRY},{BOBS_ENTRY}", "203.0.113.9") as client:
        yield client


@pytest.mark.parametrize("at", DOORS)
def test_every_call_needs_a_key(keyed: TestClient, at: str) -> None:
    """401 for all, /config too, in the farm's words."""
    for method, path in [*CALLS, ("GET", None)]:
        answer = keyed.request(method, f"{at}{API}/{path}" if path else f"{at}/config")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("at", DOORS)
def test_a_script_signs_in_at_its_door(keyed: TestClient, at: str, png: bytes, hand: Hand) -> None:
    """The cookie alone does for a script; with a browser's header, only from a page of this farm."""
    assert keyed.post(f"{at}/login", data={"username": "alice", "password": BOB}).status_code == 401
    assert keyed.post(f"{at}/login", data={"username": "alice", "password": ALICE}).json()["success"] is True
    assert keyed.get(f"{at}/config").status_code == 200
    (path,) = keyed.post(f"{at}{API}/upload", files={"files": ("a.png", png)}).json()
    sent = {"input_image": {"path": path}}
    event = keyed.post(f"{at}{API}/call/v2/process", json=sent).json()["event_id"]
    hand.finish()
    assert keyed.get(f"{at}{API}/file=videos/{event}.mp4").content == b"mp4 bytes"
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
        answer = keyed.post(f"{at}{API}/call/v2/process", json=sent, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    own = keyed.post(f"{at}{API}/call/v2/process", json=sent, headers={"Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 200
    assert keyed.post("/v1/videos", data={"prompt": "a cat"}).status_code == 403  # only the doors are for scripts


def test_owners_have_their_own(keyed: TestClient, png: bytes, hand: Hand) -> None:
    """Files, events, results and sessions of another owner are not there."""
    alice, bob = ({"Authorization": f"Bearer {key}"} for key in (ALICE, BOB))
    (path,) = keyed.post(f"{API}/upload", files={"files": ("a.png", png)}, headers=alice).json()
    join = {"data": [{"path": path}], "fn_index": 0, "session_hash": "s"}
    event = keyed.post(f"{API}/queue/join", json=join, headers=alice).json()["event_id"]
    taken = keyed.post(f"{API}/queue/join", json=join, headers=bob).json()["event_id"]
    told = keyed.get(f"{API}/queue/data", params={"session_hash": "s"}, headers=bob).text
    assert (event in told, f'"event_id": "{taken}"' in told) == (False, True)
    assert "input_image, here input_reference: no such file" in told
    for gone in (f"file={path}", f"file=videos/{event}.mp4", f"call/process/{event}", f"call/process/{taken}x"):
        assert keyed.get(f"{API}/{gone}", headers=bob).status_code == 404
    for stop, sent in (("cancel", {"event_id": event, "session_hash": "s"}), ("reset", {"event_id": event})):
        assert keyed.post(f"{API}/{stop}", json=sent, headers=bob).json() == {"success": False}
    assert keyed.get(f"/v1/videos/{event}", headers=alice).json()["status"] == "queued"


def test_without_keys_only_the_own_machine(jobs: Jobs, door: DispatcherHere) -> None:
    """The farm's words are in what /info answers, which is what gradio's clients show."""
    with app_of(jobs, door, "", "203.0.113.9") as other:
        assert other.get("/config").status_code == 200  # or the client would say "please login"
        for method, path in CALLS:
            answer = other.request(method, f"{API}/{path}")
            assert (answer.status_code, "only its own machine may connect" in answer.json()["detail"]) == (401, True)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the client
def test_the_client_signs_in_both_ways(jobs: Jobs, door: DispatcherHere, monkeypatch: pytest.MonkeyPatch) -> None:
    """headers= and auth= of gradio_client; without either it says that it may not."""
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    with app_of(jobs, door, ALICES_ENTRY, "127.0.0.1") as farm, serving(farm) as port:
        url = f"http://127.0.0.1:{port}/svjack"
        for ways in ({"headers": {"Authorization": f"Bearer {ALICE}"}}, {"auth": ("alice", ALICE)}):
            client = Client(url, verbose=False, analytics_enabled=False, **ways)
            with pytest.raises(ValueError, match="input_reference: the model tiny needs a start image"):
                client.predict(None, api_name="/process")
            client.close()
        with pytest.raises(ValueError, match="credentials were not provided"):
            Client(url, verbose=False, analytics_enabled=False)
        with pytest.raises(ValueError, match="Invalid credentials"):
            Client(url, verbose=False, analytics_enabled=False, auth=("alice", hashlib.sha256(b"x").hexdigest()))
