"""The package as people install it: built from a fresh clone, put into an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.imports import ROOT

#: asks the application of the installed package, in a process that sees nothing of this checkout
ASK = """
import json, re, sys
from pathlib import Path
from fastapi.testclient import TestClient
import farm
from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.settings import FarmSettings
from farm.store import FolderStore
app = create_app(settings=FarmSettings(), jobs=Jobs(FolderStore(Path("storage"))), door=None, planner=EnginePlanner(),
                 media=EngineMedia())
http = TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5))
paths = ["/ui/", "/docs", "/docs/swagger-ui-bundle.js", *re.findall(r'(?:src|href)="([^"]+)"', http.get("/ui/").text)]
print(json.dumps([farm.__file__, {path: http.get(path).status_code for path in paths}]))
"""


def run(*command: object, cwd: Path) -> str:
    """Run a command that must succeed, and return what it prints."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m build` makes of a fresh clone: a source archive, and from that the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run("git", "clone", "--quiet", ROOT, "clone", cwd=folder)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", cwd=folder / "clone")
    (made,) = (folder / "dist").glob("*.whl")
    return made


def test_the_wheel_serves_the_page(wheel: Path, tmp_path: Path) -> None:
    """Installed without Node and without this checkout, it answers /ui/ with each file that the page names."""
    python = tmp_path / "venv/bin/python"
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))  # torch and all else; no .pth file there counts

    place, statuses = json.loads(run(python, "-I", "-c", ASK, cwd=tmp_path))
    assert Path(place).is_relative_to(packages)
    assert [path for path, status in statuses.items() if status != 200] == []
    assert any(path.startswith("/ui/assets/") and path.endswith(".js") for path in statuses)


def test_the_wheel_holds_no_sources_of_the_page_and_no_tests(wheel: Path) -> None:
    """Only what runs: the built page, not web/."""
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        *("actors", "deploy", "farm", "framepack_engine", "lab")
    }
