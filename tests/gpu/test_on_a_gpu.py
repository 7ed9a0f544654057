"""Tests that need a GPU, in one run of a few minutes: `make gpu`. The same bodies run on the CPU where they can.

Each way of holding, storing and computing the model is a test of its own, so that one run finds all that is broken.
Where the suite has a CPU form already, only the CUDA form is here.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torch import Tensor

from framepack_engine import Lora, ModelShelf, Renderer, RenderSpec, Sampler, SectionState, StepState, load_models
from framepack_engine.memory.cuda_share import CONTEXT_BYTES
from framepack_engine.memory.ladder import GIB, RESERVE_BYTES, ladder
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.precision import apply_precision
from framepack_engine.models.weights import load_part, weights_of
from framepack_engine.planning.choices import PRECISIONS
from framepack_engine.sampling.attention import usable_attentions
from framepack_engine.sampling.attention_trial import device_attention, trial_fault
from framepack_engine.sampling.numeric import default_dtype
from lab.bench.device.cases import Case
from lab.bench.device.machine import capped, look_at
from lab.bench.device.section import measure
from lab.bench.gpu.options import GpuOptions
from lab.bench.gpu.supervisor import run_bench
from lab.bench.random_model import RandomParts, random_conditioning
from lab.training.data.clips import ClipMaker
from lab.training.loop import Run
from lab.training.pocket import train_pocket
from lab.training.recipe import StageNumbers
from tests.gpu_site import PLANS, SMALL, SPECS, WORKSPACES, Site, Watched, lies_there, make_site, model_of, plan_named
from tests.imports import ROOT
from tests.lora_file import write_lora
from tests.small_recipe import SMALLEST

pytestmark = pytest.mark.usefixtures("one_thread")
NEEDS_A_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use; with one: make gpu"),
    pytest.mark.filterwarnings("default"),  # a new warning must not hide what does not work
]
CUDA = pytest.param("cuda", marks=NEEDS_A_GPU)
on_both = pytest.mark.parametrize("device", ["cpu", CUDA])
on_cuda = pytest.mark.parametrize("device", [CUDA])


@pytest.fixture(autouse=True)
def left_as_found() -> Iterator[None]:
    """On a GPU no test's memory, limit or graphs are another's."""
    yield
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.compiler.reset()
        gc.collect()
        torch.cuda.empty_cache()


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, Site]]:
    """By device, made when first asked for."""
    found: dict[str, Site] = {}
    yield found
    found.clear()


@pytest.fixture
def site(device: str, sites: dict[str, Site]) -> Site:
    """That of the test's device."""
    if device not in sites:
        sites[device] = make_site(device)
    return sites[device]


def copied_by_step(renderer: Sampler, site: Site, spec: RenderSpec) -> tuple[SectionState, list[int]]:
    """A section, and the bytes of weights that had come to the device after each step."""
    copied = list[int]()

    def stepped(_: StepState) -> None:
        assert renderer.tenancy is not None
        copied.append(renderer.tenancy.budget.brought)

    return renderer.section(spec, 0, site.conditioning, None, on_step=stepped), copied


@pytest.mark.parametrize(
    ("device", "name"),
    [
        *(("cpu", name) for name in ("keeps all", "mapped")),  # the others: test_placement.py
        *(pytest.param("cuda", name, marks=NEEDS_A_GPU) for name in PLANS),
    ],
)
def test_each_plan_keeps_bits_and_promises(name: str, site: Site, tmp_path: Path) -> None:
    """A section and a decode: the plain bits, no byte more than predicted, each forward copies what it must."""
    plan, parts, before = plan_named(name, site), site.parts, lies_there(site.device)
    if plan.mapped:  # weights that really lie in a file
        parts.transformer.save_pretrained(tmp_path)
        on_disk = load_part("transformer", tmp_path, device=site.device, dtype=None, home="cpu")
        parts = RandomParts(on_disk, parts.vae, parts.image_tokens)
    renderer = site.renderer(plan, parts=parts, counted=True)
    tenancy, watched = renderer.tenancy, Watched(renderer)
    assert tenancy is not None
    state, copied = copied_by_step(renderer, site, site.spec)
    assert state.to_bytes() == site.wanted.to_bytes()
    assert tenancy.plan is not None
    assert (tenancy.plan.rung, tenancy.plan.mapped, tenancy.stepped_down) == (plan.rung, plan.mapped, 0)
    assert watched.peak(before=before) <= plan.section_bytes
    assert copied[-1] - copied[-2] == plan.streamed_bytes
    if plan.streamed and not plan.mapped and site.device == "cuda":
        blocks = [*parts.transformer.transformer_blocks, *parts.transformer.single_transformer_blocks]
        homes = [tensor for tensor in weights_of(blocks) if tensor.device.type == "cpu"]
        assert homes
        assert all(tensor.is_pinned() for tensor in homes)
    watched = Watched(renderer)
    frames = renderer.decode(site.spec, 1, site.conditioning, site.latents)
    assert torch.equal(frames, site.frames)
    assert watched.peak(before=before) <= plan.decode_bytes
    renderer.close()
    assert lies_there(site.device) - before <= WORKSPACES  # nothing else stays


@on_both
def test_the_same_again_is_the_same(site: Site) -> None:
    """Two forwards, two decodes of one renderer, no bit apart; and not by giving everything the same answer."""
    renderer = site.renderer(plan_named("keeps transformer", site))
    for _ in range(2):
        assert renderer.section(site.spec, 0, site.conditioning, None).to_bytes() == site.wanted.to_bytes()
        assert torch.equal(renderer.decode(site.spec, 1, site.conditioning, site.latents), site.frames)
        renderer._decoder._warm = None
    other = renderer.section(replace(site.spec, seed=6), 0, site.conditioning, None)
    assert not torch.equal(other.latents, site.wanted.latents)
    renderer.close()


class Interrupted(Exception):
    """The exception that a worker raises to stop."""


@on_both
def test_an_interrupted_section_ends_in_the_same_bits(site: Site) -> None:
    """Stopped after each of its steps, the state through bytes, gone on with on another plan."""
    for after in range(1, site.spec.num_inference_steps):
        kept = list[bytes]()

        def stop(state: StepState, after: int = after, kept: list[bytes] = kept) -> None:
            if state.step == after:
                kept.append(state.to_bytes())
                raise Interrupted

        first, second = (site.renderer(plan_named(name, site)) for name in ("all streamed", "keeps transformer"))
        with pytest.raises(Interrupted):
            first.section(site.spec, 0, site.conditioning, None, on_step=stop)
        first.close()
        state = StepState.from_bytes(kept[0])
        assert second.section(site.spec, 0, site.conditioning, None, resume=state).to_bytes() == site.wanted.to_bytes()
        second.close()


CACHES: dict[str, dict[str, Any]] = {
    "teacache": {"cache_threshold": 1.0},
    "first_block": {"cache_threshold": 1.0},
    "magcache": {"cache_threshold": 0.3, "cache_ratios": (1.0, 1.1, 0.9, 1.0, 1.0)},
    "taylorseer": {"cache_threshold": 3},
}


@pytest.mark.parametrize(
    ("device", "cache"),
    [("cpu", "teacache"), *(pytest.param("cuda", cache, marks=NEEDS_A_GPU) for cache in CACHES)],
)
def test_each_cache_and_true_cfg_are_equal_on_a_streamed_plan(cache: str, site: Site) -> None:
    """Streaming does not copy skipped blocks, and gives the resident plan's bits, with two guidance branches."""
    spec = replace(site.spec, cache=cache, true_cfg_scale=2.0, num_inference_steps=5, **CACHES[cache])
    conditioning = replace(
        site.conditioning,
        negative_prompt_embeds=site.conditioning.prompt_embeds.flip(1),
        negative_pooled_prompt_embeds=site.conditioning.pooled_prompt_embeds.flip(1),
    )
    states = []
    for name in ("keeps all", "all streamed"):
        renderer = site.renderer(plan_named(name, site))
        states.append(renderer.section(spec, 0, conditioning, None))
        renderer.close()
    assert states[0].to_bytes() == states[1].to_bytes()
    assert sum(states[0].forwards) < 10


@on_both
@pytest.mark.parametrize("decode", ["framewise", "tiled", "whole"])
def test_each_decode_is_equal_and_within_its_plan(decode: str, site: Site) -> None:
    """Each mode on a plan of its own size: twice the same frames, no byte more than predicted."""
    spec = replace(site.spec, decode=decode, decode_tile_px=128 if decode == "tiled" else None)
    if decode == "whole":  # both sections' frames at once
        height, width, window = min(64, spec.height), min(64, spec.width), min(3, spec.latent_window_size)
        spec = replace(spec, height=height, width=width, latent_window_size=window)
    height, width = spec.latent_size
    latents = {
        n: tensor[:, :, : spec.latent_window_size, :height, :width].contiguous() for n, tensor in site.latents.items()
    }
    start = site.conditioning.start_latent[..., :height, :width].contiguous()
    conditioning = replace(site.conditioning, start_latent=start)
    before = lies_there(site.device)
    plan = ladder(site.parts.size(), workload_of(spec))[2]
    assert plan.keeps == "nothing"
    renderer = replace(site, spec=spec).renderer(plan, counted=True)
    watched = Watched(renderer)
    frames = renderer.decode(spec, 1, conditioning, latents)
    assert watched.peak(before=before) <= plan.decode_bytes
    renderer._decoder._warm = None
    assert torch.equal(renderer.decode(spec, 1, conditioning, latents), frames)
    assert frames.shape == (8 * spec.latent_window_size + 1, spec.height, spec.width, 3)
    renderer.close()


@on_both
def test_a_lora_acts_alike_on_every_plan(site: Site, tmp_path: Path) -> None:
    """Beside weights that stay and beside weights that come and go; and it acts."""
    spec, states = replace(site.spec, loras=(write_lora(tmp_path, "one", site.parts.transformer, seed=1),)), []
    for name in ("keeps all", "keeps transformer", "all streamed"):
        renderer = site.renderer(plan_named(name, site), lora_dir=tmp_path)
        states.append(renderer.section(spec, 0, site.conditioning, None))
        renderer.close()
    assert states[0].to_bytes() == states[1].to_bytes() == states[2].to_bytes()
    assert not torch.equal(states[0].latents, site.wanted.latents)


@on_both
def test_memory_that_runs_out_leads_to_the_next_plan(site: Site) -> None:
    """A plan that predicted too little under a real limit: a smaller one, the same bits, and it is remembered."""
    peaks = dict[str, int]()
    for name in ("keeps all", "keeps transformer"):
        before, renderer = lies_there(site.device), site.renderer(plan_named(name, site), counted=True)
        watched = Watched(renderer)
        renderer.section(site.spec, 0, site.conditioning, None)
        peaks[name] = watched.peak(before=before)
        renderer.close()
    room = sum(peaks.values()) // 2
    assert peaks["keeps transformer"] < room < peaks["keeps all"]
    hopeful = replace(site.parts.size(), dim=1, heads=0, vae_channels=0)  # forwards are believed to be nearly free
    device_bytes = room + RESERVE_BYTES if site.device == "cpu" else GIB << 8
    book = PlanBook(size=hopeful, device_bytes=device_bytes, host_bytes=GIB << 10, counted=site.device == "cpu")
    renderer = Sampler(site.parts.transformer, site.parts.vae, device=site.device, book=book)
    context = CONTEXT_BYTES if site.device == "cuda" else 0  # a device of that size has it, too
    with capped(torch.device(site.device), lies_there(site.device) + room + context):
        state = renderer.section(site.spec, 0, site.conditioning, None)
    assert state.to_bytes() == site.wanted.to_bytes()
    tenancy = renderer.tenancy
    assert tenancy is not None
    assert tenancy.plan is not None
    assert tenancy.stepped_down >= 1
    assert tenancy.plan.keeps != "all"
    assert "ran out of memory" in tenancy.book.remembered
    renderer.close()


@on_both
def test_each_attention_that_is_here_computes(site: Site) -> None:
    """Near torch's own, and a class of its own; the one that is chosen for this device has passed its trial."""
    device, dtype = torch.device(site.device), default_dtype(torch.device(site.device))
    usable = set(usable_attentions(device=device, dtype=dtype))
    assert device_attention(device, dtype) in usable
    if "cudnn" in usable and (torch.backends.cudnn.version() or 0) < 91_501:
        usable.remove("cudnn")  # it could be wrong here: see attention_choice
    renderer, classes = site.renderer(plan_named("keeps transformer", site)), set[str]()
    for name in usable:
        spec = replace(site.spec, attention=name)
        state = renderer.section(spec, 0, site.conditioning, None)
        assert float((state.latents - site.wanted.latents).norm() / site.wanted.latents.norm()) < 0.1, name
        classes.add(renderer.numeric_class_of(spec))
        if name != "sage":  # which is not exact
            tokens = 18_261 if site.device == "cuda" else 300
            assert not trial_fault(name, device=device, dtype=dtype, heads=2, head_dim=128, tokens=tokens), name
    assert len(classes) == len(usable)
    renderer.close()


def rows(device: str, *cases: Case) -> list[tuple[str, Tensor]]:
    """The cases by `bench gpu`'s own measuring: within their plans, no error; their plans and latents."""
    here = torch.device(device)
    machine = look_at(here, known={"matmul_tflops": 1.0, "link_gb_s": 1.0})
    found = []
    for case in cases:
        row, latents = measure(case, lambda home: model_of(device, home=str(home)), SPECS[device], machine=machine)
        assert not row.error, (case, row.error)
        assert latents is not None
        assert row.peak_gib is not None
        assert row.predicted_gib is not None
        held = row.peak_gib if row.reserved_gib is None else row.reserved_gib  # a cap acts on what is reserved
        assert held <= row.predicted_gib + RESERVE_BYTES / GIB, case  # which is for libraries' workspaces
        found.append((row.plan or "", latents))
    return found


def last_rung(device: str, precision: str = "bf16") -> int:
    """The number of the plan that streams most."""
    parts = model_of(device)
    apply_precision(parts.transformer, precision, device=device)
    return len(ladder(parts.size(), workload_of(SPECS[device]))) - 1


def skip_unless_float8(precision: str) -> None:
    """Of Ada, Hopper and later."""
    if precision == "fp8-dynamic" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU multiplies no float8")


@on_cuda
@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_each_precision_is_equal_on_every_plan(device: str, precision: str) -> None:
    """Hoisted and with all blocks streamed: equal bits, within the plan. CPU form: test_precision.py."""
    skip_unless_float8(precision)
    last = last_rung(device, precision)
    cases = (Case(name=str(rung), rung=rung, precision=precision) for rung in (0, 1, last))
    (_, resident), (_, hoisted), (plan, streamed) = rows(device, *cases)
    assert torch.equal(resident, hoisted)
    assert torch.equal(hoisted, streamed)
    assert plan.startswith(precision)
    assert "streamed" in plan


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cpu", "int8"), *(pytest.param("cuda", precision, marks=NEEDS_A_GPU) for precision in PRECISIONS[1:])],
)
def test_a_prompt_of_three_tokens_is_enough(device: str, precision: str) -> None:
    """Products in few bits have least sizes on a GPU; a negative prompt is shorter still."""
    if device == "cuda":
        skip_unless_float8(precision)
    parts = model_of(device, home=device)
    apply_precision(parts.transformer, precision)
    spec = replace(SMALL, true_cfg_scale=2.0)
    whole = random_conditioning(parts, height=spec.height, width=spec.width)
    short = replace(
        whole,
        prompt_embeds=whole.prompt_embeds[:, :3],
        negative_prompt_embeds=whole.prompt_embeds[:, 3:4],
        negative_pooled_prompt_embeds=whole.pooled_prompt_embeds.flip(1),
    )
    state = Sampler(parts.transformer, parts.vae, device=device).section(spec, 0, short, None)
    assert not torch.equal(
        state.latents, Sampler(parts.transformer, parts.vae, device=device).section(SMALL, 0, whole, None).latents
    )


@on_cuda
@pytest.mark.parametrize("precision", ["bf16", "int8", "fp8-dynamic"])
def test_compiled_blocks_are_equal_on_every_plan(device: str, precision: str) -> None:
    """As Triton makes them: resident, hoisted, streamed. CPU form, traced but not made: test_kernels.py."""
    skip_unless_float8(precision)
    rungs = (0, 1, last_rung(device, precision)) if precision == "bf16" else (1,)
    cases = (Case(name=str(rung), rung=rung, precision=precision, kernels="compiled") for rung in rungs)
    latents = [made for _, made in rows(device, *cases)]
    assert all(torch.equal(latents[0], other) for other in latents)


@on_cuda
def test_bench_gpu_measures_each_row(
    device: str, tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bench gpu` itself, with the small model: no row fails. CPU form: test_gpu_bench.py."""
    monkeypatch.setenv("FARM_CACHE", str(tiny_cache))
    monkeypatch.chdir(ROOT)
    options = GpuOptions(model="tiny", device=device, window=1, steps=3, compiled=False, out=tmp_path)
    found = run_bench(options, say=lambda _: None)
    assert {row["row"]: row["error"] for row in found["rows"] if row["error"]} == {}
    assert all("error" not in decode for decode in found["decode"])


@on_cuda
def test_the_small_model_makes_what_it_makes_on_the_cpu(device: str, tiny_cache: Path) -> None:
    """In float32: latents within 2 %, which leaves room for TF32 and for no mistake."""
    made = dict[str, SectionState]()
    for where in ("cpu", device):
        models = load_models("tiny", device=where, dtype=torch.float32, cache_dir=tiny_cache)
        parts = RandomParts(models.transformer, models.vae, image_tokens=16)
        conditioning = random_conditioning(parts, height=SMALL.height, width=SMALL.width)
        made[where] = Renderer(models, device=where).section(SMALL, 0, conditioning, None)
    wanted = made["cpu"].latents
    assert float((made[device].latents - wanted).norm() / wanted.norm()) < 0.02


@on_cuda
def test_encoders_come_and_go(device: str, tiny_cache: Path, photo: Path) -> None:
    """Where every part visits: the embeddings and the section of the resident model. CPU form: test_placement.py."""
    spec = replace(SMALL, height=64, width=64, prompt="a cat", true_cfg_scale=2.0)
    picture = Image.open(photo)

    def rendered(renderer: Renderer) -> tuple[bytes, bytes]:
        conditioning = renderer.encode(spec, {"start": picture})
        return conditioning.to_bytes(), renderer.section(spec, 0, conditioning, None).to_bytes()

    wanted = rendered(Renderer(load_models("tiny", device=device, cache_dir=tiny_cache), device=device))
    models = ModelShelf(device=device, home="cpu", cache_dir=tiny_cache).get("tiny")
    size = count_model(models.transformer, vae=models.vae)
    plans = ladder(size, workload_of(spec))
    for plan in (plans[1], plans[2], plans[-1]):
        book = PlanBook(size=size, device_bytes=GIB << 8, host_bytes=GIB << 10, counted=False)
        book.too_large(workload_of(spec), replace(plan, rung=plan.rung - 1))
        renderer = Renderer(models, device=device, book=book)
        assert rendered(renderer) == wanted, plan.words
        renderer.close()


@contextlib.contextmanager
def another_accelerate() -> Iterator[None]:
    """It keeps one device and one precision a process otherwise."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@on_both
def test_a_lora_is_trained(device: str, tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step by the command's own function, in bfloat16 beside its base; the file acts on the same device."""
    pytest.importorskip("av", reason="clips are read and written with PyAV")
    from framepack_engine.frames.video import encode_clip
    from lab.training.lora.stage import LoraNumbers, train_lora

    monkeypatch.setenv("FARM_CACHE", str(tiny_cache))
    folder = tmp_path / "clips"
    folder.mkdir()
    clip = ClipMaker(seed=1, photo_share=0).clip(0, height=64, width=64, frames=9, motion="pan_left")
    encode_clip(((clip.frames + 1) * 127.5).to(torch.uint8).permute(1, 2, 3, 0).numpy(), folder / "a.mp4", crf=10)
    (folder / "a.txt").write_text("Pan left.")
    stage = StageNumbers(steps=2, rate=5e-2, warmup=1, save_every=100, average=0.0)
    numbers = LoraNumbers(rank=2, alpha=2, window=2, stage=stage)
    with another_accelerate():
        run = Run(folder=tmp_path / "run", device=device, precision="bf16")
        train_lora(folder, tmp_path / "mine.safetensors", numbers, run, model="tiny", resolution=64)
    models = load_models("tiny", device=device, cache_dir=tiny_cache)
    parts = RandomParts(models.transformer, models.vae, image_tokens=16)
    conditioning = random_conditioning(parts, height=SMALL.height, width=SMALL.width)
    renderer = Renderer(models, device=device, lora_dir=tmp_path)
    plain = renderer.section(SMALL, 0, conditioning, None)
    changed = renderer.section(replace(SMALL, loras=(Lora("mine"),)), 0, conditioning, None)
    assert not torch.equal(changed.latents, plain.latents)


@on_cuda
def test_each_training_stage_makes_a_step(device: str, tmp_path: Path) -> None:
    """The pocket model, shrunk, in bfloat16; the transformer compiled, too; what comes out renders there.

    CPU form: test_training_pocket.py.
    """
    for stage in ("text", "vae", "dit"):
        with another_accelerate():
            train_pocket(SMALLEST, stage, Run(folder=tmp_path, device=device, precision="bf16", steps=1))
    with another_accelerate():
        run = Run(folder=tmp_path, device=device, precision="bf16", steps=2, compiled=True, resume=True)
        train_pocket(SMALLEST, "dit", run)
    models = load_models(str(tmp_path / "model"), kind="i2v", device=device)
    spec = replace(SMALL, height=64, width=64, latent_window_size=2, sections=1)
    parts = RandomParts(models.transformer, models.vae, image_tokens=16)
    conditioning = random_conditioning(parts, height=64, width=64)
    frames = torch.cat([clip for _, clip in Renderer(models, device=device).clips(spec, conditioning)])
    assert frames.shape == (9, 64, 64, 3)
