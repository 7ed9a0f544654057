"""Downloads for real, from a hub on loopback: killed and gone on with, damaged and noticed, removed with care."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from safetensors.torch import save_file

from farm.store.s3 import S3Store
from framepack_engine.models.catalog import FRAMEPACK_F1, FRAMEPACK_I2V, HUNYUAN, REDUX
from framepack_engine.models.shelf import Models, load_models
from framepack_engine.models.tiny import ensure_tiny
from framepack_engine.sampling.lora.files import find_lora
from tests.clean_env import clean_env
from tests.hub_server import HubServer, hub
from tests.patience import patient
from tests.s3_servers import BUCKET, KEYS

ROOT = Path(__file__).parents[2]
LARGE = 25 << 20  #: more than two of the pieces that the hub's client writes
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server(tiny_cache: Path, tmp_path: Path) -> Iterator[HubServer]:
    """The official repositories, with the tiny models' weights and one large file more."""
    root = tmp_path / "hub"
    for repo in (HUNYUAN, REDUX, FRAMEPACK_I2V, FRAMEPACK_F1):
        shutil.copytree(ensure_tiny(tiny_cache) / repo, root / repo)
    (root / FRAMEPACK_I2V / "large.safetensors").write_bytes(random.Random(0).randbytes(LARGE))
    (root / HUNYUAN / "transformer").mkdir()
    (root / HUNYUAN / "transformer" / "big.safetensors").write_bytes(b"not for us")
    save_file({"a": torch.ones(1)}, root / "lllyasviel" / "a.safetensors")
    (root / "someone" / "style").mkdir(parents=True)
    save_file({"a": torch.ones(1)}, root / "someone" / "style" / "style.safetensors")
    with hub(root) as serving:
        yield serving


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty HF_HOME."""
    return tmp_path / "hf"


@pytest.fixture
def environment(server: HubServer, cache: Path, tmp_path: Path) -> dict[str, str]:
    """Variables that point the hub's client at the server, and at nothing of this machine's user."""
    farm = {"FARM_STORAGE": str(tmp_path / "storage"), "FARM_CACHE": str(tmp_path / "made")}
    return clean_env("HF_") | farm | {"HF_ENDPOINT": server.url, "HF_HOME": str(cache), "NO_PROXY": "*"}


@pytest.fixture
def models(environment: dict[str, str]) -> Run:
    """`framefarm models …`."""

    def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", "models", *argv],
            env=environment | env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=patient(120),
        )

    return run


def blobs(cache: Path, repo: str) -> list[Path]:
    """Return the files that the cache keeps of a repository."""
    return sorted((cache / "hub" / f"models--{repo.replace('/', '--')}" / "blobs").glob("*"))


def test_a_killed_pull_goes_on_where_it_was(
    server: HubServer, models: Run, environment: dict[str, str], cache: Path, tiny_models: Models
) -> None:
    """A SIGKILL in the middle of a large file; the same command asks for the rest of it, and the model then loads."""
    server.stall = ("large.safetensors", 22 << 20)
    command = [sys.executable, "-m", "deploy.cli", "models", "pull", "framepack-i2v"]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert server.stalled.wait(patient(60)), process.stderr
        process.kill()
        assert process.stderr
        said = process.stderr.read()
    assert f"downloading {FRAMEPACK_I2V} at " in said.split("%")[0]
    assert str(cache / "hub") in said
    (partial,) = (path for path in blobs(cache, FRAMEPACK_I2V) if path.name.endswith(".incomplete"))
    kept = partial.stat().st_size
    assert kept >= 10 << 20
    half = models("list", "--json")
    states = {row["id"]: row["here"] for row in json.loads(half.stdout)["data"]}
    assert states["framepack-i2v"] in {"partial", "none"}

    server.stall, server.asked = None, []
    done = models("pull", "framepack-i2v")
    assert done.returncode == 0, done.stderr
    assert "of it missing" in done.stderr
    assert [first for name, first in server.asked if name == "large.safetensors"] == [kept]
    assert not [name for name, _ in server.asked if "big" in name]
    server.asked = []
    assert json.loads(models("pull", "framepack-i2v", "--json").stdout) == {"model": "framepack-i2v", "complete": True}
    assert models("verify", "framepack-i2v", HF_HUB_OFFLINE="1").returncode == 0
    assert server.asked == []

    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        loaded = load_models("framepack-i2v")
    for key, value in tiny_models.transformer.state_dict().items():
        assert torch.equal(loaded.transformer.state_dict()[key], value)


def test_a_model_goes_through_a_store_of_ones_own(
    server: HubServer, models: Run, cache: Path, tmp_path: Path, ministack_endpoint: str
) -> None:
    """Pushed once, it comes to a machine that reaches no hub, file by file with its sha256; damage there is refused."""
    home, place = tmp_path / "elsewhere", f"s3://{BUCKET}/{uuid4().hex}"
    s3 = {**KEYS, "FARM_S3_ENDPOINT": ministack_endpoint}
    early = models("push", "framepack-i2v", place, **s3)
    assert (early.returncode, "models pull framepack-i2v" in early.stderr) == (2, True)
    assert models("pull", "framepack-i2v").returncode == 0
    pushed = models("push", "framepack-i2v", place, **s3)
    assert pushed.returncode == 0, pushed.stderr
    server.asked = []
    away = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    got = models("pull", "framepack-i2v", place, "--json", **s3, **away)
    assert got.returncode == 0, got.stderr
    assert json.loads(got.stdout) == {"model": "framepack-i2v", "complete": True}
    assert models("verify", "framepack-i2v", **away).returncode == 0
    assert server.asked == []
    for repo in (HUNYUAN, REDUX, FRAMEPACK_I2V):
        assert [path.name for path in blobs(home, repo)] == [path.name for path in blobs(cache, repo)] != []

    other = models("pull", "somebody/loras/b.safetensors", place, **s3, **away)
    assert other.returncode == 2
    assert "the store has no b.safetensors of somebody/loras at main" in other.stderr

    large = max(blobs(home, FRAMEPACK_I2V), key=lambda path: path.stat().st_size)
    large.unlink()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        store = S3Store(place, endpoint=ministack_endpoint)
        store.delete(f"blobs/{large.name}")
        assert store.put_if_absent(f"blobs/{large.name}", b"other bytes")
    wrong = models("pull", "framepack-i2v", place, **s3, **away)
    assert (wrong.returncode, large.exists()) == (2, False)
    assert "large.safetensors in the store is damaged" in wrong.stderr


def test_damage_is_noticed_and_mended(server: HubServer, models: Run, cache: Path) -> None:
    """Other bytes than announced get no name in the cache; bytes that changed later are found, and fetched again."""
    server.damage = "model.safetensors"
    wrong = models("pull", "framepack-f1")
    assert wrong.returncode == 2
    assert "model.safetensors is not what the hub announced" in wrong.stderr
    server.damage = ""
    assert models("pull", "framepack-f1").returncode == 0

    weights = max(blobs(cache, FRAMEPACK_F1), key=lambda path: path.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    missing = next(iter(cache.glob("hub/*redux*/snapshots/*/feature_extractor/preprocessor_config.json")))
    missing.unlink()
    found = models("verify", "framepack-f1", "--json", HF_HUB_OFFLINE="1")
    assert found.returncode == 1
    faults = {Path(fault["file"]).name: fault["state"] for fault in json.loads(found.stdout)["faults"]}
    assert faults == {"diffusion_pytorch_model.safetensors": "damaged", "preprocessor_config.json": "missing"}
    assert "verify framepack-f1 --fix" in found.stderr
    refused = models("verify", "framepack-f1", "--fix", HF_HUB_OFFLINE="1")
    assert (refused.returncode, "HF_HUB_OFFLINE" in refused.stderr) == (2, True)
    assert models("verify", "framepack-f1", "--fix").returncode == 0
    assert models("verify", "framepack-f1").stdout == ""


def test_rm_keeps_what_another_model_needs(models: Run, cache: Path) -> None:
    """The parts that both models share go with the last of them; nothing is left of either then."""
    for name in ("framepack-f1", "framepack-i2v"):
        assert models("pull", name).returncode == 0
    first = models("rm", "framepack-i2v", "--json")
    assert first.returncode == 0
    told = json.loads(first.stdout)
    assert (told["freed_bytes"] > 0, set(told["kept"])) == (True, {HUNYUAN, REDUX})
    assert f"kept, since another model needs it: {HUNYUAN}, {REDUX}" in first.stderr
    assert blobs(cache, FRAMEPACK_I2V) == []
    assert models("verify", "framepack-f1").returncode == 0
    assert models("rm", "framepack-f1").returncode == 0
    assert list(cache.glob("hub/models--*")) == []


def test_a_lora_is_pulled_by_its_hub_name(models: Run, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the operator fetches; after that a request may name it."""
    from huggingface_hub import constants

    assert models("pull", "someone/style").returncode == 0
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    assert find_lora("someone/style", None).name == "style.safetensors"
    assert find_lora("someone/style/style.safetensors", None) == find_lora("someone/style", None)
    assert models("verify", "someone/style").returncode == 0
    assert models("rm", "someone/style").returncode == 0
    unknown = models("pull", "someone/nothing")
    assert unknown.returncode == 2
    assert "someone/nothing at main cannot be fetched" in unknown.stderr
