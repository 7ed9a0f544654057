"""A video's options are on the model while its section is made, and gone afterwards without a trace.

A worker's models outlive its videos; a video's leftovers, such as hooks, would be copied, compiled or packed with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from framepack_engine import Conditioning, Lora, Models, Renderer, RenderSpec
from framepack_engine.memory.ladder import GIB, MemoryPlan, ladder
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.compiled import compile_blocks
from framepack_engine.models.precision import apply_precision
from framepack_engine.models.shelf import load_models
from framepack_engine.sampling.transformer import Transformer
from lab.bench.random_model import RandomParts, random_conditioning
from tests.lora_file import write_lora

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = RenderSpec(
    kind="i2v", sections=2, height=32, width=48, seed=5, prompt="", latent_window_size=1, num_inference_steps=2
)
CACHED = {
    "teacache": replace(PLAIN, cache="teacache"),
    "first_block": replace(PLAIN, cache="first_block"),
    "magcache": replace(PLAIN, cache="magcache", cache_ratios=(1.0, 1.0)),
    "taylorseer": replace(PLAIN, cache="taylorseer"),
}
LORA = replace(PLAIN, loras=(Lora("one"),))
MISSING = object()


@pytest.fixture(scope="module")
def models(tiny_cache: Path) -> Models:
    """A model of our own, made ready by a renderer: what that changes for good is done."""
    models = load_models("tiny", cache_dir=tiny_cache)
    Renderer(models)
    return models


@pytest.fixture(scope="module")
def conditioning(models: Models) -> Conditioning:
    """Made-up embeddings."""
    return random_conditioning(RandomParts(models.transformer, models.vae, image_tokens=16), height=32, width=48)


@pytest.fixture(scope="module")
def loras(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a LoRA on every Linear of the transformer."""
    folder = tmp_path_factory.mktemp("loras")
    write_lora(folder, "one", models.transformer, seed=1)
    return folder


def state_of(models: Models) -> dict[tuple[str, ...], object]:
    """All that the parts' modules have and their classes do not say: parts, weights, hooks, attributes, marks."""

    def found() -> Iterator[tuple[tuple[str, ...], object]]:
        for part in ("transformer", "vae", "text_encoder", "text_encoder_2", "image_encoder"):
            for name, module in getattr(models, part).named_modules(prefix=part):
                for key, value in vars(module).items():
                    if isinstance(value, dict):
                        yield from (((name, key, str(inner)), what) for inner, what in value.items())
                    elif getattr(type(module), key, MISSING) is not value:
                        yield (name, key), value

    return dict(found())


def changed(models: Models, before: dict[tuple[str, ...], object]) -> list[tuple[str, ...]]:
    """Return the names that came, went, or are another object since."""
    after = state_of(models)
    return sorted(key for key in before | after if before.get(key, MISSING) is not after.get(key, MISSING))


def values_of(models: Models) -> list[torch.Tensor]:
    """Copies of the transformer's weights."""
    return [tensor.detach().clone() for tensor in models.transformer.state_dict().values()]


@pytest.mark.parametrize("name", [*CACHED, "lora", "cfg"])
def test_a_video_leaves_nothing(models: Models, conditioning: Conditioning, loras: Path, name: str) -> None:
    """Each step cache, a LoRA, a second guidance branch: on the model while steps are made, not afterwards."""
    spec = (CACHED | {"lora": LORA, "cfg": replace(CACHED["first_block"], true_cfg_scale=2.0)})[name]
    twin = replace(
        conditioning,
        negative_prompt_embeds=conditioning.prompt_embeds,
        negative_pooled_prompt_embeds=conditioning.pooled_prompt_embeds,
    )
    before, renderer, during = state_of(models), Renderer(models, lora_dir=loras), list[int]()
    renderer.section(spec, 0, twin, None, on_step=lambda _: during.append(len(changed(models, before))))
    renderer.close()
    assert min(during) > 0
    assert changed(models, before) == []


def test_a_video_that_stops_leaves_nothing(models: Models, conditioning: Conditioning, loras: Path) -> None:
    """Also where it ends between two steps."""

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    before, renderer = state_of(models), Renderer(models, lora_dir=loras)
    for spec in CACHED.values():
        with pytest.raises(KeyboardInterrupt):
            renderer.section(replace(spec, loras=LORA.loras), 0, conditioning, None, on_step=stop)
    renderer.close()
    assert changed(models, before) == []


def plans(models: Models) -> list[MemoryPlan]:
    """Those of the small model, largest first."""
    return ladder(count_model(**models.modules), workload_of(PLAIN))


@pytest.mark.parametrize("mapped", [False, True])
def test_a_plan_leaves_nothing(models: Models, conditioning: Conditioning, loras: Path, mapped: bool) -> None:
    """Hoisted, streamed, read from a file, with a cache and a LoRA: the same weights lie in the same parameters."""
    before, values = state_of(models), values_of(models)
    size, found = count_model(**models.modules), plans(models)
    for plan in (found[1], found[-1]):
        book = PlanBook(size=size, device_bytes=GIB << 4, host_bytes=GIB if mapped else GIB << 4, counted=False)
        book.too_large(workload_of(PLAIN), replace(plan, rung=plan.rung - 1))
        renderer = Renderer(models, lora_dir=loras, book=book)
        for spec in (LORA, CACHED["teacache"]):
            renderer.section(spec, 0, conditioning, None)
        assert renderer.tenancy is not None
        assert renderer.tenancy.plan is not None
        assert (renderer.tenancy.plan.rung, renderer.tenancy.plan.mapped) == (plan.rung, mapped)
        renderer.close()
        assert changed(models, before) == []
        assert all(torch.equal(now, then) for now, then in zip(values_of(models), values, strict=True))


def test_compiled_blocks_stay_compiled(models: Models) -> None:
    """Hooks come over their compiled forward and go again."""
    own = replace(models, transformer=deepcopy(models.transformer))
    compile_blocks(own.transformer, backend="eager")
    before, transformer = state_of(own), Transformer(own.transformer)
    for spec in CACHED.values():
        with transformer.prepared(spec):
            assert changed(own, before)
        assert changed(own, before) == []


def first_section(models: Models, transformer: Any, conditioning: Conditioning) -> bytes:
    """Made with that transformer."""
    return Renderer(replace(models, transformer=transformer)).section(PLAIN, 0, conditioning, None).to_bytes()


def test_a_copy_of_a_used_model_computes_with_its_own_weights(
    models: Models, conditioning: Conditioning, tiny_cache: Path
) -> None:
    """Packed, a copy gives the bits of a model that no video has used; the model itself stays whole."""
    renderer = Renderer(models)
    plain = renderer.section(PLAIN, 0, conditioning, None).to_bytes()
    for spec in CACHED.values():
        renderer.section(spec, 0, conditioning, None)
    copy, fresh = deepcopy(models.transformer), load_models("tiny", cache_dir=tiny_cache).transformer
    for transformer in (copy, fresh):
        apply_precision(transformer, "int4")
    assert first_section(models, copy, conditioning) == first_section(models, fresh, conditioning) != plain
    assert first_section(models, models.transformer, conditioning) == plain
