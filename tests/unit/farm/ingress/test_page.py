"""The page at /ui/ and the documentation at /docs: where they lie, what keeps them safe, what a browser may keep."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.keys import new_key
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere

INDEX = b'<!doctype html><script type="module" src="/ui/assets/main-1a2b3c4d.js"></script>'
SCRIPT = b"export const words = ['a', 'photo', 'in'];\n" * 40


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder as the build leaves it."""
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(INDEX)
    (folder / "mark.svg").write_bytes(b"<svg/>")
    (folder / "assets/main-1a2b3c4d.js").write_bytes(SCRIPT)
    return folder


@pytest.fixture
def browser(jobs: Jobs, door: DispatcherHere, page: Path) -> Iterator[TestClient]:
    """A browser on another machine, at a farm with a key; it has not signed in."""
    settings = FarmSettings(model="tiny", api_keys=new_key("alice")[1])
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia(), page=page)
    with TestClient(app, base_url="http://farm.test:7860", client=("203.0.113.9", 5), follow_redirects=False) as client:
        yield client


def test_the_root_leads_a_browser_to_the_page(browser: TestClient) -> None:
    """A program that asks for anything else hears where things are."""
    found = browser.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (found.status_code, found.headers["location"]) == (307, "/ui/")
    assert browser.get("/ui").headers["location"] == "/ui/"
    other = browser.get("/", headers={"Accept": "application/json"})
    assert (other.status_code, other.json()["code"]) == (404, "not_found")
    assert "/ui/" in other.json()["detail"]


@pytest.mark.parametrize("path", ["", "queue", "videos/video_0123456789abcdef0123456789abcdef", "index.html"])
def test_each_place_of_the_page_is_the_page(browser: TestClient, path: str) -> None:
    """A link to a place in the page works, and a new version is seen at once; the page asks for no key itself."""
    answer = browser.get(f"/ui/{path}")
    assert (answer.status_code, answer.content) == (200, INDEX)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


def test_assets_are_kept_for_a_year(browser: TestClient) -> None:
    """Their names carry their hash. They travel as gzip where the client reads it."""
    path = "/ui/assets/main-1a2b3c4d.js"
    plain = browser.get(path, headers={"Accept-Encoding": "identity"})
    assert (plain.status_code, plain.content) == (200, SCRIPT)
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "content-encoding" not in plain.headers
    with browser.stream("GET", path, headers={"Accept-Encoding": "gzip, br"}) as zipped:
        body = b"".join(zipped.iter_raw())
        assert (zipped.headers["content-encoding"], zipped.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(body) == SCRIPT
    assert len(body) < len(SCRIPT)
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert browser.get("/ui/mark.svg").headers["cache-control"] == "no-cache"


def test_what_a_browser_has_is_not_sent_again(browser: TestClient) -> None:
    """HEAD has GET's headers; the ETag gives 304."""
    for path in ("/ui/", "/ui/assets/main-1a2b3c4d.js", "/docs", "/docs/swagger-ui-bundle.js"):
        got, head = browser.get(path), browser.head(path)
        assert {**head.headers} == {**got.headers}, path
        assert head.content == b""
        again = browser.get(path, headers={"If-None-Match": f'W/"x", {got.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == got.headers["etag"]


@pytest.mark.parametrize(
    "path", ["/ui/assets/main-00000000.js", "/ui/assets/", "/ui/nothing.png", "/ui/assets/../../app.py", "/docs/x.js"]
)
def test_what_is_not_there_is_404(browser: TestClient, path: str) -> None:
    """A missing file is a problem, never the page; no path leaves the folder."""
    answer = browser.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert browser.post("/ui/").status_code == 405


def test_the_page_is_read_at_the_start(browser: TestClient, page: Path) -> None:
    """No request waits for the disk, not even the first."""
    shutil.rmtree(page)
    assert browser.get("/ui/").status_code == 200


def test_a_package_without_the_page_says_so(jobs: Jobs, door: DispatcherHere, tmp_path: Path) -> None:
    """In one line, at every place of the page; the API works."""
    settings = FarmSettings(model="tiny")
    app = create_app(
        settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia(), page=tmp_path / "no"
    )
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5)) as client:
        for path in ("/ui/", "/ui/queue", "/"):
            answer = client.get(path, headers={"Accept": "text/html"})
            assert (answer.status_code, answer.text.count("\n")) == (404, 1)
            assert "make web" in answer.text
        assert client.get("/v1/videos").status_code == 200


def test_no_script_from_elsewhere_runs(browser: TestClient) -> None:
    """Every answer forbids inline scripts, other hosts and frames; /docs names files of this farm only."""
    for path in ("/ui/", "/ui/assets/main-1a2b3c4d.js", "/docs", "/v1/videos", "/nowhere"):
        policy = browser.get(path).headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert (rules["default-src"], rules["frame-ancestors"]) == ("'self'", "'none'")
        assert not {"script-src", "connect-src"} & rules.keys()  # so default-src holds
        assert "unsafe" not in policy
        assert "http" not in policy
    docs = browser.get("/docs").text
    assert "//" not in docs
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', docs):
        assert browser.get(path).status_code == 200, path
    assert not re.search(r"<script(?![^>]*src=)", docs)
    assert browser.get("/redoc").status_code == 404


def test_the_package_has_the_page(http: TestClient) -> None:
    """The built page is part of this package: each file that it names is there, and it names no other host."""
    page = http.get("/ui/").text
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any(path.startswith("/ui/assets/") and path.endswith(".js") for path in named)
    assert [http.get(path).status_code for path in named] == [200] * len(named)
    assert not re.search(r"<script(?![^>]*src=)|<style|style=", page)
