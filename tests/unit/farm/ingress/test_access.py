"""Access: API keys, owners, and a farm without keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from deploy.cli import main
from deploy.planner import EngineMedia, EnginePlanner
from farm.errors import ConfigError
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.keys import new_key
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere

ALICE, ALICES_ENTRY = new_key("alice")
BOB, BOBS_ENTRY = new_key("bob")


def door_with_keys(jobs: Jobs, door: DispatcherHere, *, operators: str = "") -> TestClient:
    """A farm with two keys, called from another machine."""
    settings = FarmSettings(model="tiny", api_keys=f"{ALICES_ENTRY}, {BOBS_ENTRY}", operators=operators)
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    return TestClient(app, base_url="http://127.0.0.1:8000", client=("203.0.113.9", 5))


@pytest.fixture
def keyed(jobs: Jobs, door: DispatcherHere) -> Iterator[TestClient]:
    """The application of such a farm."""
    with door_with_keys(jobs, door) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


def test_a_video_belongs_to_the_keys_name(keyed: TestClient, png: bytes) -> None:
    """The owner sees, lists and cancels the video; for another key it does not exist."""
    made = keyed.post(
        "/v1/videos", headers=bearer(ALICE), data={"prompt": "a cat"}, files={"input_reference": ("a.png", png)}
    )
    assert made.status_code == 200, made.text
    path = f"/v1/videos/{made.json()['id']}"
    assert keyed.get(path, headers=bearer(ALICE)).status_code == 200
    assert len(keyed.get("/v1/videos", headers=bearer(ALICE)).json()["data"]) == 1
    assert keyed.get("/v1/videos", headers=bearer(BOB)).json()["data"] == []
    for call in ("", "/content", "/events"):
        assert keyed.get(path + call, headers=bearer(BOB)).status_code == 404
    assert keyed.post(f"{path}/cancel", headers=bearer(BOB)).status_code == 404
    assert keyed.delete(path, headers=bearer(BOB)).status_code == 404
    assert keyed.post(f"{path}/cancel", headers=bearer(ALICE)).json()["status"] == "cancelled"


@pytest.mark.parametrize(
    "header",
    [{}, bearer(""), bearer("farm-wrong"), bearer(ALICES_ENTRY.split(":")[1]), {"Authorization": f"Basic {ALICE}"}],
)
def test_without_a_key_nothing_is_told(keyed: TestClient, header: dict[str, str]) -> None:
    """No key, a wrong one, the stored hash instead of the key, another scheme: 401; only /healthz answers."""
    for path in ("/v1/videos", "/v1/models", "/v1/workers", "/v1/videos/video_" + "0" * 32):
        answer = keyed.get(path, headers=header)
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "unauthorized"
    assert keyed.get("/healthz").status_code == 200


def test_without_keys_only_this_machine_may_ask(jobs: Jobs, door: DispatcherHere) -> None:
    """A caller from another machine learns how to get access; loopback has it, over IPv4 and IPv6."""
    app = create_app(settings=FarmSettings(), jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    for host, status in (("203.0.113.9", 401), ("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200)):
        with TestClient(app, base_url="http://127.0.0.1:8000", client=(host, 5)) as client:
            assert client.get("/v1/videos").status_code == status, host


def test_a_client_that_hung_up_is_not_this_machine(jobs: Jobs, door: DispatcherHere) -> None:
    """Uvicorn knows no address of a connection that was reset before it was taken: it may have come from anywhere."""
    app = create_app(settings=FarmSettings(), jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())

    async def nameless(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": None}, receive, send)

    with TestClient(nameless, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/v1/videos").status_code == 401
        assert client.delete("/v1/videos/video_" + "0" * 32).status_code == 401


def test_operators_alone_tell_workers_what_to_do(keyed: TestClient, jobs: Jobs, door: DispatcherHere) -> None:
    """With FARM_OPERATORS, other keys may list workers but get 403 for control; without it, any key may control."""
    calls = [f"/v1/workers/{worker}/{wish}" for worker in ("hand", "nobody") for wish in ("pause", "resume", "drain")]
    assert {keyed.post(path, headers=bearer(BOB)).status_code for path in calls} == {404}
    guarded = door_with_keys(jobs, door, operators=" alice ")
    for path in calls:
        refused = guarded.post(path, headers=bearer(BOB))
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "FARM_OPERATORS" in refused.json()["detail"]
        assert guarded.post(path, headers=bearer(ALICE)).status_code == 404
        assert guarded.post(path).status_code == 401
    assert guarded.get("/v1/workers", headers=bearer(BOB)).status_code == 200
    documented = keyed.get("/openapi.json").json()["paths"]["/v1/workers/{worker_id}/drain"]["post"]["responses"]
    assert {"401", "403", "404", "409"} <= documented.keys()


@pytest.mark.parametrize("text", ["carol", "alice,carol", "Alice"])
def test_operators_have_keys(text: str) -> None:
    """The farm refuses to start with an operator that has no key."""
    with pytest.raises(ConfigError, match="FARM_OPERATORS names"):
        FarmSettings(api_keys=ALICES_ENTRY, operators=text)


@pytest.mark.parametrize(
    "text", ["alice", "alice:abc", ":" + "0" * 64, "a/b:" + "0" * 64, f"{ALICES_ENTRY},{ALICES_ENTRY}"]
)
def test_bad_entries_are_named(text: str) -> None:
    """The farm refuses to start with a malformed entry."""
    with pytest.raises(ConfigError, match="API"):
        FarmSettings(api_keys=text)


def test_the_command_makes_a_key_and_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines on stdout: the key, and its entry with the key's sha256; a bad name is an error."""
    assert main(["keys", "new", "carol"]) == 0
    key, entry = capsys.readouterr().out.split()
    assert entry == f"carol:{hashlib.sha256(key.encode()).hexdigest()}"
    assert main(["keys", "new", "../x"]) == 2


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:8000"},
        {"Host": "[::1"},
        {"Host": "127.0.0.1.evil.example"},
    ],
)
def test_a_web_page_cannot_drive_the_farm(http: TestClient, header: dict[str, str]) -> None:
    """The farm rejects a page of another origin and a foreign host name, although both use loopback."""
    answer = http.get("/v1/videos", headers=header)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert http.get("/v1/videos", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200
