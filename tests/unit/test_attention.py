"""Attention is a value: named, checked, pinned and recorded, whatever else is importable or set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models import attention_dispatch
from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend

from framepack_engine import Renderer, RenderSpec
from framepack_engine.attention import check_attention, pin_attention, usable_attentions
from framepack_engine.conformance import case_conditioning, load_case_model
from framepack_engine.errors import AttentionUnavailable, InvalidSpec
from framepack_engine.spec import ATTENTIONS

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = RenderSpec(
    kind="i2v",
    sections=1,
    height=80,
    width=112,
    seed=5,
    prompt="",
    latent_window_size=1,
    num_inference_steps=2,
)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    """A renderer with the case model."""
    return Renderer(load_case_model(GOLDEN / "tiny_model"))


def test_the_default_is_torchs_own_whatever_diffusers_is_told(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another backend active in the whole process every call still goes to native SDPA, and the bits stay."""
    cond = case_conditioning(GOLDEN / "i2v_true_cfg")
    wanted = renderer.section(SPEC, 0, cond, None).to_bytes()
    backends = attention_dispatch._AttentionBackendRegistry._backends
    called: list[str] = []

    def spied(name: AttentionBackendName, real: Any) -> Any:
        def call(**kwargs: Any) -> Any:
            called.append(name.value)
            return real(**kwargs)

        return call

    for name, real in list(backends.items()):
        monkeypatch.setitem(backends, name, spied(name, real))
    with attention_backend("_native_math"):
        assert renderer.section(SPEC, 0, cond, None).to_bytes() == wanted
    blocks = len(renderer.models.transformer.transformer_blocks) + len(
        renderer.models.transformer.single_transformer_blocks
    )
    assert called == ["native"] * blocks * SPEC.num_inference_steps


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("cudnn", "CUDA devices only"),
        ("flash", "pip install flash-attn"),
        ("flash-3", "Dao-AILab/flash-attention"),
        ("sage", "thu-ml/SageAttention"),
        ("xformers", "pip install xformers"),
    ],
)
def test_what_cannot_compute_here_is_refused_by_name(renderer: Renderer, name: str, package: str) -> None:
    """On a CPU only SDPA computes; the error says so, and which package the backend would need."""
    with pytest.raises(AttentionUnavailable, match=package) as caught:
        renderer.section(replace(SPEC, attention=name), 0, case_conditioning(GOLDEN / "i2v_true_cfg"), None)
    assert caught.value.facts["attention"] == name
    assert usable_attentions(device=torch.device("cpu"), dtype=torch.float32) == ("sdpa",)


@pytest.mark.parametrize("name", ["flash", "flash-3", "sage", "xformers"])
def test_a_missing_package_is_named(name: str) -> None:
    """On a GPU, where the package is not installed: the error names it and how to install it."""
    with pytest.raises(AttentionUnavailable, match=r"needs the package .* To install it: "):
        check_attention(name, device=torch.device("cuda"), dtype=torch.bfloat16)


@pytest.mark.parametrize("name", ["cudnn", "flash", "flash-3", "sage"])
def test_half_precision_kernels_say_so(name: str) -> None:
    """A float32 transformer has SDPA and xformers."""
    with pytest.raises(AttentionUnavailable, match="bfloat16 or float16"):
        check_attention(name, device=torch.device("cuda"), dtype=torch.float32)


def test_cudnn_needs_no_package() -> None:
    """It comes with torch: on a GPU in half precision it is taken, and pinned on the blocks alone."""
    check_attention("cudnn", device=torch.device("cuda"), dtype=torch.bfloat16)
    model = load_case_model(GOLDEN / "tiny_model").transformer
    pin_attention(model, "cudnn", device=torch.device("cuda"), dtype=torch.bfloat16)
    assert model.transformer_blocks[0].attn.processor._attention_backend == AttentionBackendName._NATIVE_CUDNN
    assert attention_dispatch._AttentionBackendRegistry.get_active_backend()[0] == AttentionBackendName.NATIVE


def test_it_is_part_of_the_numeric_class(renderer: Renderer) -> None:
    """Two attentions are two classes; what a worker says of itself leaves it open."""
    assert len({renderer.numeric_class_of(replace(SPEC, attention=name)) for name in ATTENTIONS}) == len(ATTENTIONS)
    assert "-sdpa-" in renderer.numeric_class_of(SPEC)
    assert renderer.numeric_class_of(SPEC).replace("-sdpa", "") == renderer.numeric_class
    with pytest.raises(InvalidSpec, match="attention='eager'"):
        replace(SPEC, attention="eager")
