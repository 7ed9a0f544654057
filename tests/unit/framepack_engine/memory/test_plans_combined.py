"""Memory plans with what videos bring along: LoRAs on weights that come and go, and a video's own preserve_gb."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.worker.device import Renderers
from farm.settings import FarmSettings
from framepack_engine import Conditioning, Lora, Models, Renderer, RenderSpec
from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.ladder import GIB, RESERVE_BYTES, ladder, size_of
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from lab.bench.random_model import RandomParts, random_conditioning
from tests.lora_file import write_lora

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = RenderSpec(
    kind="i2v", sections=2, height=32, width=48, seed=5, prompt="", latent_window_size=2, num_inference_steps=3
)


@pytest.fixture(scope="module")
def conditioning(tiny_models: Models) -> Conditioning:
    """Made-up embeddings."""
    parts = RandomParts(tiny_models.transformer, tiny_models.vae, image_tokens=16)
    return random_conditioning(parts, height=32, width=48)


@pytest.mark.parametrize("mapped", [False, True])
def test_loras_act_alike_on_every_plan(
    tiny_models: Models, conditioning: Conditioning, tmp_path: Path, mapped: bool
) -> None:
    """Hoisted, streamed and read from a file: one LoRA, then another, then none, and each time the plain bits."""
    videos = [
        replace(SPEC, loras=(write_lora(tmp_path, "one", tiny_models.transformer, seed=1),)),
        replace(SPEC, loras=(write_lora(tmp_path, "two", tiny_models.transformer, seed=2), Lora("one", weight=-0.5))),
        SPEC,
    ]
    plain = Renderer(tiny_models, lora_dir=tmp_path)
    wanted = [plain.section(video, 0, conditioning, None).to_bytes() for video in videos]
    assert len(set(wanted)) == 3
    size = count_model(**tiny_models.modules)
    for plan in ladder(size, workload_of(SPEC))[1:]:
        book = PlanBook(size=size, device_bytes=GIB << 4, host_bytes=GIB if mapped else GIB << 4, counted=False)
        book.too_large(workload_of(SPEC), replace(plan, rung=plan.rung - 1))
        renderer = Renderer(tiny_models, lora_dir=tmp_path, book=book)
        assert [renderer.section(video, 0, conditioning, None).to_bytes() for video in videos] == wanted
        tenancy = renderer.tenancy
        assert tenancy is not None
        assert tenancy.plan is not None
        assert (tenancy.plan.rung, tenancy.plan.mapped) == (plan.rung, mapped)
        renderer.close()
        assert tenancy.budget.held == 0


def test_a_lora_that_comes_between_two_steps_of_memory_is_not_lost(
    tiny_models: Models, conditioning: Conditioning, tmp_path: Path
) -> None:
    """Memory that runs out takes the weights home and back; the LoRA acts on the smaller plan as before."""
    video = replace(SPEC, loras=(write_lora(tmp_path, "one", tiny_models.transformer, seed=1),))
    wanted = Renderer(tiny_models, lora_dir=tmp_path).section(video, 0, conditioning, None).to_bytes()
    book = PlanBook(size=count_model(**tiny_models.modules), device_bytes=GIB << 4, host_bytes=GIB << 4)
    renderer = Renderer(tiny_models, lora_dir=tmp_path, book=book)
    tenancy = renderer.tenancy
    assert tenancy is not None

    def squeeze(_: object) -> None:
        if tenancy.stepped_down == 0 and tenancy.budget.cap_bytes is not None:
            tenancy.budget.cap_bytes = tenancy.budget.in_use  # another process has taken the rest

    assert renderer.section(video, 0, conditioning, None, on_step=squeeze).to_bytes() == wanted
    assert tenancy.stepped_down == 1
    renderer.close()


def test_a_video_s_own_preserve_gb_is_kept_to(tiny_cache: str, conditioning: Conditioning, tiny_models: Models) -> None:
    """The job's figure wins over the worker's: a smaller plan, never a byte beyond, the same bits; 0 gives all back."""
    size, work = size_of("tiny"), workload_of(SPEC)
    plans = ladder(size, work)
    device = max(plans[0].section_bytes, plans[0].encode_bytes) + RESERVE_BYTES
    small = max(plans[-1].section_bytes, plans[-1].encode_bytes) + RESERVE_BYTES
    settings = FarmSettings(device_gb=device / GIB, cache=str(tiny_cache), cpu_threads=1)
    renderers, seen = Renderers(settings), dict[float | None, tuple[int, int, bytes]]()
    for preserve_gb in (None, (device - small) / GIB, 0.0):
        renderer = renderers.load("tiny", preserve_gb)
        tenancy = renderer.tenancy
        assert tenancy is not None
        made = renderer.section(SPEC, 0, conditioning, None).to_bytes()
        assert tenancy.plan is not None
        room = device - int((preserve_gb or 0) * GIB) - RESERVE_BYTES
        assert tenancy.budget.peak <= room + 1
        seen[preserve_gb] = tenancy.plan.rung, tenancy.stepped_down, made
        renderer.close()
    rungs = [rung for rung, _, _ in seen.values()]
    assert rungs[0] == rungs[2] == 0 < rungs[1]
    assert {stepped for _, stepped, _ in seen.values()} == {0}
    assert {made for _, _, made in seen.values()} == {
        Renderer(tiny_models).section(SPEC, 0, conditioning, None).to_bytes()
    }


def test_what_cannot_be_preserved_is_refused(tiny_cache: str, conditioning: Conditioning) -> None:
    """Nothing is computed in memory that was promised to others: the error names preserve_gb."""
    renderer = Renderers(FarmSettings(device_gb=2.0, cache=str(tiny_cache))).load("tiny", 1.9)
    with pytest.raises(DeviceTooSmall, match="preserve_gb"):
        renderer.section(SPEC, 0, conditioning, None)
    assert renderer.tenancy is not None
    assert renderer.tenancy.budget.peak == 0
