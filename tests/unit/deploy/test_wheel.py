"""The package as people install it: built from a fresh clone, put into an environment of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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

#: uses the client in a process that has nothing but what it needs
ALONE = """
import importlib.util
import framefarm_client.archive
from framefarm_client import Farm, Unavailable
assert not [name for name in ("torch", "ray", "fastapi", "numpy", "farm") if importlib.util.find_spec(name)]
try:
    Farm("http://127.0.0.1:9", patience_s=0).models()
except Unavailable as err:
    print(str(err)[:15])
"""
#: a user's program
PROBE = """
from framefarm_client import AsyncFarm, Farm
farm = Farm()
reveal_type(farm.render("cat.jpg", "The cat looks up.", seconds=3).save("cat.mp4"))
job = farm.submit("cat.jpg", prompt="The cat looks up.")
reveal_type(job.pause())
for p in job.progress():
    reveal_type(p.percent)
for video in farm.map(["cat.jpg"], prompt="The cat looks up."):
    reveal_type(video)
async def main() -> None:
    async with AsyncFarm() as farm:
        video = await farm.render("cat.jpg", "The cat looks up.")
        reveal_type(video)
        async for p in video.progress():
            reveal_type(p)
farm.render("cat.jpg", "The cat looks up.", secnds=3)
"""


def run(*command: object, cwd: Path) -> str:
    """Run a command that must succeed, and return what it prints."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of this checkout."""
    folder = tmp_path_factory.mktemp("clone")
    run("git", "clone", "--quiet", ROOT, folder, cwd=folder)
    return folder


def built(project: Path, out: Path) -> Path:
    """Build a project as `python -m build` does: a source archive, and from that the wheel, which this returns."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=project)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    """The wheel of framepack-farm."""
    return built(clone, clone / "dist")


@pytest.fixture(scope="module")
def client_wheel(clone: Path) -> Path:
    """The wheel of framepack-farm-client."""
    return built(clone / "clients/python", clone / "client-dist")


def installed(wheel: Path, folder: Path) -> tuple[Path, Path]:
    """Make an environment with the wheel and nothing else; return its Python and its packages."""
    python = folder / "venv/bin/python"
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    return python, packages


def needs(name: str) -> set[str]:
    """The distributions that one of this environment needs, itself included; no extras."""
    found, coming = set[str](), [name]
    while coming:
        found.add(name := canonicalize_name(coming.pop()))
        wanted = [Requirement(text) for text in distribution(name).requires or []]
        now = [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
        coming += [each for each in now if canonicalize_name(each) not in found]
    return found


def test_the_wheel_serves_the_page(wheel: Path, tmp_path: Path) -> None:
    """Installed without Node and without this checkout, it answers /ui/ with each file that the page names."""
    python, packages = installed(wheel, tmp_path)
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
        *("actors", "deploy", "farm", "framefarm_client", "framepack_engine", "lab")
    }


@pytest.fixture(scope="module")
def alone(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the client, what it needs, and nothing else."""
    python, packages = installed(client_wheel, tmp_path_factory.mktemp("alone"))
    (metadata,) = packages.glob("framepack_farm_client-*.dist-info")
    asked = [Requirement(text) for text in PathDistribution(metadata).requires or [] if "extra" not in text]
    assert {each.name for each in asked} == {"httpx", "pydantic"}
    for name in set[str]().union(*(needs(each.name) for each in asked)):
        for top in {
            file.parts[0] for file in distribution(name).files or [] if file.parts[0] not in {"..", "__pycache__"}
        }:
            (packages / top).symlink_to(Path(sysconfig.get_path("purelib"), top))
    return python


def test_the_client_is_installed_alone(alone: Path, client_wheel: Path, wheel: Path, tmp_path: Path) -> None:
    """With what it needs and nothing else, it asks a farm and reads an archive."""
    assert run(alone, "-I", "-c", ALONE, cwd=tmp_path) == "no farm answers\n"
    assert wheel.name.split("-")[1] == client_wheel.name.split("-")[1]  # one version


@pytest.mark.long  # mypy reads all that the client needs; `make lint` reads the client's own types
def test_mypy_knows_the_client_s_types(alone: Path, tmp_path: Path) -> None:
    """A user's program in mypy's strict mode: each value has its type, and a wrong argument is an error."""
    (tmp_path / "probe.py").write_text(PROBE)
    strict = ("--strict", "--python-executable", str(alone), "--cache-dir", "cache")
    mypy = [sys.executable, "-m", "mypy", *strict, "probe.py"]
    done = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    shown = re.findall(
        r'probe.py:\d+: (?:note: Revealed type is "(?:\w+\.)*(\w+)"|error: (Unexpected keyword))', done.stdout
    )
    expected = [*("Path", "Video", "int", "Video", "AsyncVideo", "Progress"), "Unexpected keyword"]
    assert ["".join(each) for each in shown] == expected, done.stdout + done.stderr
    assert "Found 1 error in 1 file" in done.stdout
