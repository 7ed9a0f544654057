"""A worker's own way to its device, from the order to the mp4. `make gpu` runs it on a GPU too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from actors.worker.device import Renderers, describe_device
from farm.numeric_class import attention_of
from farm.settings import FarmSettings
from tests.engine_worker import Worker, made
from tests.unit.conftest import Hand

pytestmark = pytest.mark.usefixtures("one_thread")
NEEDS_A_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use; with one: make gpu"),
    pytest.mark.filterwarnings("default"),  # a new warning must not hide what does not work
]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_A_GPU)])
def test_a_video_goes_through_the_farm(device: str, hand: Hand, http: TestClient, tiny_cache: Path) -> None:
    """A worker's own way to its device, model, plan and orders, encoders, mp4 and commits included."""
    if device == "cpu" and torch.cuda.is_available():
        pytest.skip("a worker here computes on the GPU")
    settings = FarmSettings(cache=str(tiny_cache), cpu_threads=1, device_gb=2.0 if device == "cpu" else None)
    hand.card = describe_device("w0.a", node="n", settings=settings)
    renderer = Renderers(settings).load("tiny")
    path = made(http, Worker(hand, renderer, name="w0.a"), model="tiny")
    video = http.get(path).json()
    assert video["numeric_class"].startswith(device)
    assert attention_of(video["numeric_class"]) == hand.card.attention
    assert http.get(f"{path}/content").content[4:8] == b"ftyp"
    renderer.close()
