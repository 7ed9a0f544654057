"""LoRAs from the HTTP field to the worker's engine: found by name, pinned by content, gone for the next video."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import save_file

from actors.worker.orders import OrderRunner
from actors.worker.spec import spec_of
from deploy.planner import EngineMedia, EnginePlanner
from farm.contract import Order
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.settings import FarmSettings
from framepack_engine import Lora, Models, Renderer
from framepack_engine.errors import LoraUnusable
from tests.imports import ROOT
from tests.unit.conftest import DispatcherHere, Hand

CAT = ROOT / "examples" / "cat.jpg"
HALVES = (("A", (2, 32)), ("B", (32, 2)))
KEY = "transformer.transformer_blocks.0.attn.to_q"


def write(path: Path, *, seed: int) -> str:
    """A LoRA for the tiny model; returns the file's sha256."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {f"{KEY}.lora_{half}.weight": torch.randn(shape, generator=generator) for half, shape in HALVES}
    save_file(tensors, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    """The farm's LoRA folder, with one in it."""
    folder = tmp_path / "loras"
    folder.mkdir()
    write(folder / "style.safetensors", seed=0)
    return folder


@pytest.fixture
def http(jobs: Jobs, door: DispatcherHere, loras: Path) -> Iterator[TestClient]:
    """The HTTP API of a farm with LoRAs."""
    planner = EnginePlanner(lora_dir=str(loras))
    settings = FarmSettings(model="tiny", lora_dir=str(loras))
    app = create_app(settings=settings, jobs=jobs, door=door, planner=planner, media=EngineMedia())
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


def post(http: TestClient, **fields: object) -> dict[str, object]:
    """Ask for a short, small video; the answer."""
    small = {"prompt": "a cat", "seconds": 0.1, "size": "64x64", "num_inference_steps": 2, "seed": 1}
    form = small | {"latent_window_size": 1} | {name: json.dumps(value) for name, value in fields.items()}
    answer: dict[str, object] = http.post(
        "/v1/videos", data=form, files={"input_reference": ("cat.jpg", CAT.read_bytes())}
    ).json()
    return answer


def test_a_lora_reaches_the_engine_and_leaves_it(
    http: TestClient, jobs: Jobs, hand: Hand, loras: Path, tiny_models: Models
) -> None:
    """Three videos on one worker: without, with and without a LoRA; the last one has the first one's bits."""
    digest = hashlib.sha256((loras / "style.safetensors").read_bytes()).hexdigest()
    renderer = Renderer(tiny_models, lora_dir=loras)
    runner = OrderRunner(jobs, hand.card, load=lambda *_: renderer)
    hand.card = hand.card.model_copy(update={"numeric_class": renderer.numeric_class})
    latents = []
    for use in ([], [{"name": "style", "weight": 0.5}], []):
        video = post(http, loras=use)
        request = video["request"]
        assert isinstance(request, dict)
        assert request["loras"] == [{**one, "sha256": digest} for one in use]
        while isinstance(order := hand.dispatcher.ask(hand.card), Order):
            assert spec_of(order.job.request, order.job.plan).loras == tuple(Lora("style", 0.5, digest) for _ in use)
            entry = runner.run(order, lambda _: None)
            hand.dispatcher.nudge(order.job.id)
            if order.key.stage == "section":
                latents.append(entry.event.artifacts["section"].sha256)
    assert latents[0] == latents[2] != latents[1]
    assert http.get(f"/v1/videos/{video['id']}").json()["status"] == "completed"


def test_a_file_that_changes_after_the_request_is_noticed(
    http: TestClient, jobs: Jobs, hand: Hand, loras: Path, tiny_models: Models
) -> None:
    """The sha256 taken with the request holds: the worker refuses another file under the same name."""
    post(http, loras=[{"name": "style"}])
    renderer = Renderer(tiny_models, lora_dir=loras)
    runner = OrderRunner(jobs, hand.card, load=lambda *_: renderer)
    hand.card = hand.card.model_copy(update={"numeric_class": renderer.numeric_class})
    write(loras / "style.safetensors", seed=1)
    encode = hand.take()
    runner.run(encode, lambda _: None)
    hand.dispatcher.nudge(encode.job.id)
    with pytest.raises(LoraUnusable, match=r"another file now: style\.safetensors"):
        runner.run(hand.take(), lambda _: None)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ({"name": "none"}, "no LoRA 'none' in the LoRA folder"),
        ({"name": "../style"}, "below the farm's LoRA folder"),
        ({"name": "/etc/passwd"}, "below the farm's LoRA folder"),
        ({"name": "someone/style"}, "framefarm models pull someone/style"),
        ({"name": "style", "sha256": "0" * 64}, "has sha256 .* not 0000"),
        ({"name": "style", "sha256": "abc"}, "pattern"),
        ({"name": "style", "weight": 9}, "need at most 4"),
    ],
)
def test_a_wrong_lora_is_refused_by_name(http: TestClient, use: dict[str, object], said: str) -> None:
    """Nothing is stored, and the field is named, for a LoRA that is not here, lies elsewhere, or is another."""
    problem = post(http, loras=[use])
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    error = problem["error"]
    assert isinstance(error, dict)
    assert str(error["param"]).startswith("loras")
    assert re.search(said, str(problem))
    assert http.get("/v1/videos").json()["data"] == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), 1.0])
def test_a_lora_with_nan_is_refused_when_the_video_is_asked_for(
    http: TestClient, loras: Path, dtype: torch.dtype, value: float
) -> None:
    """The worker would only find out in the middle of the video."""
    tensors = {f"{KEY}.lora_{half}.weight": torch.ones(shape) for half, shape in HALVES}
    name = f"{KEY}.lora_{HALVES[1][0]}.weight"
    tensors[name][-1, -1] = value
    save_file({key: tensor.to(dtype) for key, tensor in tensors.items()}, loras / "odd.safetensors")
    answer = post(http, loras=[{"name": "odd"}])
    if value == 1.0:
        assert answer["status"] == "queued"
    else:
        assert answer["detail"] == f"loras: LoRA 'odd' cannot be used: {name} of odd.safetensors holds NaN or infinity"


@pytest.mark.parametrize("data", [b"", b"junk", b"\xff" * 100, b"PK\3\4" + bytes(2000)])
def test_a_lora_that_is_no_safetensors_is_refused_when_the_video_is_asked_for(
    http: TestClient, loras: Path, data: bytes
) -> None:
    """A renamed pickle or a download that broke off."""
    (loras / "odd.safetensors").write_bytes(data)
    detail = "loras: LoRA 'odd' cannot be used: odd.safetensors is damaged, or is no safetensors file"
    assert post(http, loras=[{"name": "odd"}])["detail"] == detail
