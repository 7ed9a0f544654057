"""The model inside the package: how it comes in, who knows of it, and that nobody claims it before."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deploy import cli
from deploy.node import local
from farm.settings import FarmSettings
from framepack_engine.errors import EngineError
from framepack_engine.frames import provenance
from framepack_engine.memory.ladder import size_of
from framepack_engine.memory.model_count import count_model
from framepack_engine.models import catalog
from framepack_engine.models.catalog import (
    ABOUT,
    CPU_MODEL,
    FOLDER,
    FRAMEPACK_F1,
    FRAMEPACK_I2V,
    MODELS,
    f1_of,
    read_shipped,
    revision_of,
    shipped_entries,
)
from framepack_engine.models.shelf import ModelShelf, load_models
from framepack_engine.models.tiny import ensure_tiny
from lab.training import ship as shipping
from lab.training.recipe import RECIPES
from lab.training.ship import ship

WEIGHTS = "diffusion_pytorch_model.safetensors"
Out = pytest.CaptureFixture[str]


@pytest.fixture
def run(tiny_cache: Path, tmp_path: Path) -> Path:
    """The folder that a run leaves: all parts, and one transformer's weights in both folders."""
    model = shutil.copytree(ensure_tiny(tiny_cache), tmp_path / "run" / "model")
    shutil.copy(model / FRAMEPACK_I2V / WEIGHTS, model / FRAMEPACK_F1 / WEIGHTS)
    return model


@pytest.fixture
def shipped(run: Path, tmp_path: Path) -> Path:
    """A package's folder with that model in it."""
    ship(run, RECIPES["128"], into=tmp_path / "package" / "pocket")
    return tmp_path / "package" / "pocket"


@pytest.fixture
def known(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, catalog.ModelEntry]:
    """The catalogue of such a package."""
    entries = {entry.name: entry for entry in shipped_entries(read_shipped(shipped), shipped)}
    monkeypatch.setattr(catalog, "MODELS", {**MODELS, **entries})
    monkeypatch.setattr(provenance, "MODELS", {**MODELS, **entries})
    return entries


def test_a_package_says_pocket_only_where_its_weights_are() -> None:
    """The name, its F1 sister and the default of a machine without a GPU come with the folder, and go with it."""
    there = read_shipped() is not None
    assert there == (FOLDER / FRAMEPACK_I2V / WEIGHTS).is_file()
    assert {"pocket" in MODELS, "pocket-f1" in MODELS, CPU_MODEL == "pocket"} == {there}
    assert there or CPU_MODEL == "tiny"


def test_what_this_package_holds_is_whole() -> None:
    """Its files are those that were shipped, and few megabytes."""
    about = read_shipped()
    if about is None:
        pytest.skip("no weights of pocket in framepack_engine/pocket yet")
    assert about.revision == revision_of(FOLDER)
    assert about.size == size_of("pocket-f1") == count_model(**load_models("pocket").modules)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= shipping.LARGEST_BYTES


def test_a_wheel_holds_what_this_package_holds(tmp_path: Path) -> None:
    """Built from a copy, without a network: the same files with the same bytes."""
    root, source = FOLDER.parents[1], tmp_path / "source"
    for package in ("framepack_engine", "farm", "actors", "deploy"):
        shutil.copytree(root / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / file, source)
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        held = {name: packed.read(name) for name in packed.namelist() if name.startswith("framepack_engine/pocket/")}
    here = {path.relative_to(root).as_posix(): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    assert held == here


def test_one_transformer_serves_both_kinds(run: Path, known: dict[str, catalog.ModelEntry]) -> None:
    """The package holds its weights once; both names load them, and a process has them once."""
    assert not list(Path(known["pocket"].path).rglob(f"{FRAMEPACK_F1}/*"))
    shelf = ModelShelf()
    i2v, f1 = shelf.get(known["pocket"]), shelf.get(known["pocket-f1"])
    assert (i2v.kind, i2v.name, f1.kind, f1.name) == ("i2v", "pocket", "f1", "pocket-f1")
    assert i2v.transformer is f1.transformer
    trained = load_file(run / FRAMEPACK_I2V / WEIGHTS)
    assert all(torch.equal(trained[key], weight) for key, weight in i2v.transformer.state_dict().items())
    about = read_shipped(Path(known["pocket"].path))
    assert about is not None
    assert about.size == count_model(**i2v.modules)
    assert (known["pocket"].resolution, f1_of("pocket", known)) == (128, "pocket-f1")
    assert known["pocket-f1"].needs_image


def test_another_model_is_another_revision(run: Path, known: dict[str, catalog.ModelEntry]) -> None:
    """It is in what a video says of itself; a run that is shipped over another replaces all of it."""
    folder = Path(known["pocket"].path)
    before = provenance.model_facts("pocket-f1")
    assert before == {"name": "pocket-f1", "origin": "shipped", "revisions": {"pocket": revision_of(folder)}}
    (folder / "left-over").touch()
    file = run / FRAMEPACK_I2V / WEIGHTS
    save_file({key: weight + 1 for key, weight in load_file(file).items()}, file)
    shutil.copy(file, run / FRAMEPACK_F1 / WEIGHTS)
    about = ship(run, RECIPES["128"], into=folder)
    assert about.revision == revision_of(folder) != before["revisions"]["pocket"]
    assert not (folder / "left-over").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["pocket"]


@pytest.mark.parametrize("fault", ["large", "two", "half", "damaged"])
def test_what_cannot_be_shipped_leaves_the_package_as_it_is(
    fault: str, run: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too large, two transformers, a stage that is missing, weights cut short: named, and nothing changes."""
    words = {
        "large": r"MB; a package has room for 0",
        "two": "differ",
        "half": "all stages",
        "damaged": "transformer in",
    }
    if fault == "large":
        monkeypatch.setattr(shipping, "LARGEST_BYTES", 100_000)
    elif fault == "two":
        file = run / FRAMEPACK_F1 / WEIGHTS
        save_file({key: weight + 1 for key, weight in load_file(file).items()}, file)
    elif fault == "half":
        shutil.rmtree(run / FRAMEPACK_I2V)
    else:
        (run / FRAMEPACK_I2V / WEIGHTS).write_bytes(b"half")
    before = revision_of(shipped)
    with pytest.raises(EngineError, match=words[fault]):
        ship(run, RECIPES["128"], into=shipped)
    assert revision_of(shipped) == before
    assert json.loads((shipped / ABOUT).read_text())["revision"] == before
    assert [path.name for path in shipped.parent.iterdir()] == ["pocket"]


def test_the_command_ships_and_says_where(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """`train ship` prints the folder; a model that cannot be shipped, or a size that is none, is exit 2."""
    monkeypatch.setattr("framepack_engine.models.catalog.FOLDER", tmp_path / "here")
    assert cli.main(["train", "ship", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "here")
    assert read_shipped(tmp_path / "here") is not None
    assert cli.main(["train", "ship", str(tmp_path)]) == 2
    assert "all stages" in " ".join(capsys.readouterr().err.split())
    assert cli.main(["train", "ship", str(run), "--size", "512"]) == 2


def test_the_default_is_the_package_s_own_where_no_gpu_is(
    known: dict[str, catalog.ModelEntry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """It is said, with what to expect; a GPU brings the 13B model as before, and a model that is named stays."""
    settings = FarmSettings(storage=str(tmp_path), port=0, workers="1")
    monkeypatch.setattr(local, "CPU_MODEL", "pocket")
    monkeypatch.setattr(local, "chosen_gpus", lambda _settings: [])
    assert local.resolved(settings).model == "pocket"
    assert capsys.readouterr().err == f"default model: pocket (no GPU was found). {known['pocket'].honest}\n"
    assert local.resolved(settings.replaced(model="tiny")).model == "tiny"
    monkeypatch.setattr(local, "chosen_gpus", lambda _settings: ["GPU-0"])
    assert local.resolved(settings).model == "framepack-i2v"


@pytest.mark.usefixtures("known")
def test_every_command_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    """It is listed and complete, there is nothing to pull, it cannot be removed, and its name is taken."""
    monkeypatch.setenv("FARM_STORAGE", str(tmp_path / "storage"))
    assert cli.main(["models", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["data"]}
    assert [(rows[name]["kind"], rows[name]["here"]) for name in ("pocket", "pocket-f1")] == [
        ("i2v", "complete"),
        ("f1", "complete"),
    ]
    assert cli.main(["models", "pull", "pocket"]) == 0
    assert cli.main(["models", "rm", "pocket"]) == 2
    assert "is part of framepack-farm" in capsys.readouterr().err
    monkeypatch.setenv("FARM_MODELS", "pocket=i2v:/data/mine")
    assert cli.main(["models"]) == 2
    assert "an unused name" in capsys.readouterr().err
