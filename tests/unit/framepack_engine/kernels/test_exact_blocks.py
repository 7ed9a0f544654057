"""Blocks with fused kernels: the bits of diffusers' blocks, on every plan, with caches and LoRAs."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from actors.worker.device import describe_device
from deploy.settings import Settings
from farm.errors import ConfigError
from farm.settings import FarmSettings
from framepack_engine import Renderer, RenderSpec
from framepack_engine.errors import KernelsUnavailable
from framepack_engine.kernels import blocks
from framepack_engine.kernels.guard import Guarded
from framepack_engine.memory.ladder import GIB, ladder
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.shelf import Models, load_models
from framepack_engine.planning.spec import Lora
from tests.unit.framepack_engine.kernels.small_model import inputs, small_model

pytestmark = pytest.mark.usefixtures("one_thread")
SPEC = RenderSpec(
    kind="i2v", sections=2, height=64, width=96, seed=5, prompt="a cat", latent_window_size=1, num_inference_steps=3
)
NAMES = ("modulate", "add_gated", "join_gelu", "join_heads")


@pytest.fixture(autouse=True)
def kernels_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton cannot compute here, so its kernels are given up and their eager chains compute; GELU is torch's own."""
    monkeypatch.setattr(blocks, "DEVICES", {"cpu"})
    for name in NAMES:
        monkeypatch.setattr(blocks, name, Guarded(name))


def given_up() -> set[str]:
    """The kernels that the CPU cannot compute, after they were tried."""
    return {name for name in NAMES if getattr(blocks, name).given_up}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_forward_has_the_bits_of_diffusers(dtype: torch.dtype) -> None:
    """Heads of FramePack's size. While gradients are taken the blocks are diffusers' own, and no kernel is tried."""
    model = small_model(dtype)
    with torch.no_grad():
        wanted = model(**inputs(dtype))[0]
    blocks.compute_exactly(model)
    assert torch.equal(model(**inputs(dtype))[0], wanted)
    assert given_up() == set()
    with torch.no_grad():
        assert torch.equal(model(**inputs(dtype))[0], wanted)
    assert given_up() == {"modulate", "add_gated", "join_heads"}
    assert blocks.join_gelu.equal


def test_a_cpu_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU the blocks are diffusers' own, and Triton is not asked for."""
    monkeypatch.setattr(blocks, "DEVICES", {"cuda"})
    monkeypatch.setattr(blocks, "find_spec", lambda _name: None)
    blocks.check_exact(torch.device("cpu"))
    model = small_model(torch.bfloat16)
    with torch.no_grad():
        wanted = model(**inputs(torch.bfloat16))[0]
        blocks.compute_exactly(model)
        assert torch.equal(model(**inputs(torch.bfloat16))[0], wanted)
    assert given_up() == set()


def test_a_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker says so before it loads a model."""
    monkeypatch.setattr(blocks, "find_spec", lambda _name: None)
    with pytest.raises(KernelsUnavailable, match="Install triton, or leave FARM_KERNELS out"):
        describe_device("w", node="n", settings=FarmSettings(kernels="exact", cpu_threads=1))


def test_exact_is_in_the_class_of_eager() -> None:
    """A worker with exact kernels may go on with a video of one without; the lists of names agree."""
    eager, exact = (
        describe_device("w", node="n", settings=FarmSettings(kernels=kernels, cpu_threads=1)).numeric_class
        for kernels in ("eager", "exact")
    )
    assert eager == exact
    with pytest.raises(ConfigError, match="FARM_KERNELS='fast': need one of eager, exact, compiled"):
        Settings(kernels="fast")


def test_the_former_setting_names_the_new_one() -> None:
    """FARM_COMPILE in an older env file is an error that says what to write."""
    with pytest.raises(ConfigError, match="FARM_COMPILE is now FARM_KERNELS: write FARM_KERNELS=compiled"):
        FarmSettings.from_env({"FARM_COMPILE": "1"})


def test_an_unknown_name_is_refused() -> None:
    """With those that are known."""
    with pytest.raises(KernelsUnavailable, match="known are eager, exact, compiled"):
        load_models("tiny", kernels="fast")


@pytest.fixture
def exact_models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """A tiny model loaded with exact kernels, whose small heads count as FramePack's."""
    monkeypatch.setattr(blocks, "_HEAD", 16)
    return load_models("tiny", kernels="exact")


def section(models: Models, spec: RenderSpec, *, rung: int | None = None, lora_dir: Path | None = None) -> bytes:
    """All bytes of a first section; rung: of the memory plan, None for no plan."""
    book = None
    if rung is not None:
        book = PlanBook(size=count_model(**models.modules), device_bytes=GIB << 4, host_bytes=GIB << 4, counted=False)
        for plan in ladder(book.size, workload_of(spec)):
            if plan.rung < rung:
                book.too_large(workload_of(spec), plan)
    renderer = Renderer(models, book=book, lora_dir=lora_dir)
    made = renderer.section(spec, 0, renderer.encode(spec, {"start": Image.new("RGB", (64, 64), "teal")}), None)
    if rung is not None:
        assert renderer.tenancy is not None
        assert renderer.tenancy.plan is not None
        assert renderer.tenancy.plan.rung == rung
        renderer.close()
    return made.to_bytes()


def test_bits_are_eager_s_on_every_plan(tiny_models: Models, exact_models: Models) -> None:
    """Resident, hoisted and with all blocks streamed; with step caches and true CFG."""
    wanted = section(tiny_models, SPEC)
    plans = ladder(count_model(**exact_models.modules), workload_of(SPEC))
    for plan in (plans[0], plans[1], plans[-1]):
        assert section(exact_models, SPEC, rung=plan.rung) == wanted, plan.words
    assert blocks.join_gelu.equal
    for spec in (
        replace(SPEC, cache="teacache", cache_threshold=1.0),
        replace(SPEC, cache="first_block", cache_threshold=1.0),
        replace(SPEC, true_cfg_scale=2.0, height=96, width=64),
    ):
        assert section(exact_models, spec) == section(tiny_models, spec), spec


@pytest.fixture
def lora_dir(tmp_path: Path) -> Path:
    """A LoRA that acts on both classes of blocks, on a matrix before and one behind their fused chains."""
    from safetensors.torch import save_file

    layers = {"transformer_blocks.0.attn.to_q": 32, "single_transformer_blocks.0.proj_mlp": 64}
    generator, weights = torch.Generator().manual_seed(1), dict[str, Any]()
    for layer, width in layers.items():
        weights[f"transformer.{layer}.lora_A.weight"] = torch.randn((2, 32), generator=generator)
        weights[f"transformer.{layer}.lora_B.weight"] = torch.randn((width, 2), generator=generator)
    save_file(weights, tmp_path / "style.safetensors")
    return tmp_path


def test_a_lora_acts_on_exact_blocks(tiny_models: Models, exact_models: Models, lora_dir: Path) -> None:
    """With the bits that it gives on eager blocks, streamed as well."""
    spec = replace(SPEC, loras=(Lora("style"),))
    plain = replace(tiny_models, transformer=copy.deepcopy(tiny_models.transformer))
    wanted = section(plain, spec, lora_dir=lora_dir)
    assert wanted != section(tiny_models, SPEC)
    last = ladder(count_model(**exact_models.modules), workload_of(spec))[-1]
    assert section(exact_models, spec, rung=last.rung, lora_dir=lora_dir) == wanted
