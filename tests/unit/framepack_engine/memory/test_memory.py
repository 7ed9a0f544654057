"""The planner: sizes counted from the architecture, a ladder that falls, and a table that says what is true."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.budget import LiveBytes
from framepack_engine.memory.hoist import Hoist, Table
from framepack_engine.memory.ladder import (
    FORWARD_COPIES,
    GIB,
    MemoryPlan,
    Workload,
    choose_plan,
    ladder,
    size_of,
    streamed_blocks,
    usable_bytes,
)
from framepack_engine.memory.model_count import count_model
from framepack_engine.models.precision import Int8Product, apply_precision
from framepack_engine.models.shelf import Models
from framepack_engine.models.weights import OFFICIAL, weights_of
from framepack_engine.planning.choices import PRECISIONS
from lab.bench.plan_table import plan_table
from tests.imports import ROOT

SIZE = size_of("framepack-i2v")
USUAL = Workload()
TABLE = ROOT / "docs" / "explanation" / "memory-plans.md"


@pytest.fixture(scope="module")
def official() -> Any:
    """FramePack's parts by their published settings, on the meta device: shapes without numbers."""
    return parts_of_framepack()


def parts_of_framepack(**blocks: int) -> Any:
    """A new set of them; blocks: other numbers than the published ones."""
    import transformers
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoFramepackTransformer3DModel

    llama = {"vocab_size": 128320, "hidden_size": 4096, "intermediate_size": 14336, "num_key_value_heads": 8}
    clip = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    siglip = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    with torch.device("meta"):
        transformer = HunyuanVideoFramepackTransformer3DModel(**OFFICIAL, **blocks)
        encoders = {
            "text_encoder": transformers.LlamaModel(transformers.LlamaConfig(**llama, num_hidden_layers=32)),
            "text_encoder_2": transformers.CLIPTextModel(transformers.CLIPTextConfig(**clip, vocab_size=49408)),
            "image_encoder": transformers.SiglipVisionModel(
                transformers.SiglipVisionConfig(**siglip, image_size=384, patch_size=14)
            ),
        }
        vae = AutoencoderKLHunyuanVideo().to(torch.float16)
    for encoder in encoders.values():
        encoder.to(torch.float16)
    for name, part in transformer.named_children():
        part.to(torch.float32 if name == "proj_out" else torch.bfloat16)
    transformer.proj_out.register_forward_pre_hook(lambda _, args: (args[0].float(),))
    return SimpleNamespace(transformer=transformer, vae=vae, **encoders)


def test_the_big_model_is_as_large_as_its_architecture(official: Any) -> None:
    """Every size that plans are made of is the meta model's own."""
    assert count_model(**vars(official)) == SIZE


@pytest.mark.parametrize("precision", ["fp8", "int4"])
def test_the_big_model_is_as_large_in_fewer_bits(precision: str) -> None:
    """One block of each class packed on the meta device, and a forward of them: all as the plans of 60 blocks say."""
    parts, work = parts_of_framepack(num_layers=1, num_single_layers=1), Workload(height=320, width=320)
    apply_precision(parts.transformer, precision)
    counted = count_model(parts.transformer, vae=parts.vae)
    size = size_of("framepack-i2v", precision)
    assert counted.block_bytes == (size.block_bytes[0], size.block_bytes[-1])
    assert (counted.rest_bytes, counted.largest_hoisted_bytes) == (size.rest_bytes, size.largest_hoisted_bytes)
    double, single = (
        sum(t.nbytes for name, child in block.named_children() if "norm" in name for t in weights_of([child]))
        for block in (parts.transformer.transformer_blocks[0], parts.transformer.single_transformer_blocks[0])
    )
    assert size.hoisted_bytes - counted.hoisted_bytes == 19 * double + 39 * single
    plan = ladder(counted, work)[1]
    weights = sum(counted.block_bytes) + counted.rest_bytes + counted.vae_bytes
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert 1.0 <= (plan.section_bytes - weights) / forward_bytes(parts, work, monkeypatch) < 1.2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_tiny_model_is_as_large_in_each_precision(precision: str, tiny_models: Models) -> None:
    """The same of the model that tests run."""
    parts = replace(tiny_models, transformer=copy.deepcopy(tiny_models.transformer))
    apply_precision(parts.transformer, precision)
    assert count_model(**parts.modules) == size_of("tiny", precision)


def test_hoisting_takes_the_loop_from_26_to_18_gb() -> None:
    """29.5 % of the weights are not needed inside the step loop: 25.75 GB become 18.15 in bfloat16."""
    loop = SIZE.transformer_bytes - SIZE.hoisted_bytes
    assert round(SIZE.transformer_bytes / 1e9, 2) == 25.75
    assert round(loop / 1e9, 2) == 18.15
    assert round(SIZE.hoisted_bytes / SIZE.transformer_bytes, 3) == 0.295


def forward_bytes(official: Any, work: Workload, monkeypatch: pytest.MonkeyPatch) -> int:
    """Peak of what a hoisted forward of the big model makes, counted tensor by tensor without a number computed."""
    from diffusers.models.transformers import transformer_hunyuan_video

    def attention(query: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.empty_like(query)  # meta's own would make the matrix of scores, which no kernel of ours does

    monkeypatch.setattr(transformer_hunyuan_video, "dispatch_attention_fn", attention)
    options: dict[str, Any] = {"dtype": torch.bfloat16, "device": "meta"}
    hoist, text = Hoist(official.transformer), 256

    def latents(count: int) -> torch.Tensor:
        return torch.empty(1, 16, count, work.height // 8, work.width // 8, **options)

    inputs: dict[str, Any] = {"hidden_states": latents(work.window), "indices_latents": torch.arange(work.window)}
    for name, count in (("clean", 2), ("history_2x", 2), ("history_4x", 16)):
        inputs |= {f"latents_{name}": latents(count), f"indices_latents_{name}": torch.arange(count)}
    unused = dict.fromkeys(("timestep", "guidance", "encoder_hidden_states", "pooled_projections", "image_embeds"))
    width = sum(linear.out_features for linear in hoist.modules() if isinstance(linear, torch.nn.Linear))
    row, refined, image = (torch.empty(shape, **options) for shape in ((width,), (1, text, 3072), (1, 729, 3072)))
    with torch.no_grad(), hoist.at_work():
        hoist.show(Table((row,), (refined,), image), 0, torch.device("meta"))
        with LiveBytes() as count:
            official.transformer(**inputs, **unused, encoder_attention_mask=torch.ones(1, text, dtype=torch.long))
    peak: int = count.peak
    return peak


@pytest.mark.parametrize("shape", [(608, 640, 9), (416, 960, 9), (320, 320, 9), (608, 640, 33)])
def test_a_forward_takes_what_the_plan_says(
    official: Any, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prediction is never below the counted peak of the real architecture, nor 8 % above it."""
    work = Workload(height=shape[0], width=shape[1], window=shape[2])
    predicted = FORWARD_COPIES * work.tokens(SIZE) * SIZE.dim * 2
    assert 1.0 <= predicted / forward_bytes(official, work, monkeypatch) < 1.08


def test_the_ladder_falls() -> None:
    """Each rung takes less than the one before, in a section or in a decode, and says so in other words."""
    plans = ladder(SIZE, USUAL)
    assert [plan.rung for plan in plans] == sorted({plan.rung for plan in plans})
    for larger, smaller in pairwise(plans):
        assert smaller.section_bytes < larger.section_bytes or smaller.decode_bytes < larger.decode_bytes
    assert len({plan.words for plan in plans}) == len(plans)
    assert plans[-1].streamed == plans[-1].blocks == 60
    assert plans[-1].streamed_bytes == sum(SIZE.block_bytes)


GIBS = st.floats(2, 200)


@given(GIBS, GIBS, st.sampled_from(["framewise", "tiled"]))
def test_more_memory_is_never_a_smaller_plan(one: float, other: float, decode: str) -> None:
    """A larger device has a plan wherever a smaller one has, at least as high on the ladder; and it fits."""
    work = Workload(decode=decode)

    def plan(gib: float) -> MemoryPlan | None:
        try:
            return choose_plan(SIZE, work, device_bytes=int(gib * GIB), host_bytes=64 * GIB)
        except DeviceTooSmall:
            return None

    small, large = plan(min(one, other)), plan(max(one, other))
    if small is not None:
        assert large is not None
        assert small.peak_bytes <= usable_bytes(int(min(one, other) * GIB))
        assert (large.decodes, -large.rung) >= (small.decodes, -small.rung)


@given(st.floats(8, 100), st.floats(0, 60))
def test_what_is_left_to_others_is_left(gib: float, preserve: float) -> None:
    """preserve_gb is never touched by a plan's peak; where nothing fits, the error says what would."""
    device, preserve_bytes = int(gib * GIB), int(preserve * GIB)
    memory = {"device_bytes": device, "host_bytes": 64 * GIB, "preserve_bytes": preserve_bytes}
    least = min(max(plan.section_bytes, plan.encode_bytes) for plan in ladder(SIZE, USUAL))
    if least > usable_bytes(device, preserve_bytes=preserve_bytes):
        with pytest.raises(DeviceTooSmall, match="needs"):
            choose_plan(SIZE, USUAL, **memory)
    else:
        assert choose_plan(SIZE, USUAL, **memory).peak_bytes <= device - preserve_bytes


def test_short_machines_read_from_the_file() -> None:
    """Where the machine's memory does not hold the streamed blocks, they are mapped; the plan says so."""
    plan = choose_plan(SIZE, USUAL, device_bytes=6 * GIB, host_bytes=16 * GIB)
    assert plan.mapped
    assert "from file" in plan.words
    assert not choose_plan(SIZE, USUAL, device_bytes=6 * GIB, host_bytes=64 * GIB).mapped


@given(st.integers(1, 60))
def test_streamed_blocks_are_spread(count: int) -> None:
    """So many different blocks, in order, and no two gaps between them differ by more than one block."""
    chosen = streamed_blocks(count, 60)
    gaps = {later - earlier for earlier, later in pairwise(chosen)}
    assert len(chosen) == count
    assert 0 <= chosen[0] <= chosen[-1] < 60
    assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


def test_the_table_in_the_docs_is_the_planner_s_own() -> None:
    """docs/explanation/memory-plans.md shows what the planner answers, for every device it names, and for laptops."""
    written = TABLE.read_text(encoding="utf-8")
    assert plan_table() in written
    assert plan_table((6, 8), host_gib=16) in written


def test_the_table_says_what_a_machine_cannot_hold() -> None:
    """A plan that there is not is a row as well, with its reason."""
    rows = [row.split(" | ") for row in plan_table((6, 16), host_gib=16).splitlines()[2:]]
    refused = {(row[0], row[1]): row[3] for row in rows if row[3].startswith("none: ")}
    assert refused.keys() == {(f"| {gib} GiB", precision) for gib in (6, 16) for precision in ("fp8", "int8")}
    assert all("GiB of the machine's memory, which has 16.0" in why for why in refused.values())
    assert {len(row) for row in rows} == {8}


def test_a_compiled_int8_product_counts_its_whole_answer() -> None:
    """int32 numbers of every token: 0.9 GB at 640x608. Eager products work in pieces, others have no int32."""
    for precision in PRECISIONS:
        eager, compiled = (
            ladder(size_of("framepack-i2v", precision, compiled=compiled), USUAL) for compiled in (False, True)
        )
        more = {after.section_bytes - before.section_bytes for before, after in zip(eager, compiled, strict=True)}
        assert more == ({USUAL.tokens(SIZE) * 12_288 * 4} if precision == "int8" else {0}), precision
    assert round(USUAL.tokens(SIZE) * 12_288 * 4 / 1e9, 1) == 0.9


def test_a_compiled_int8_product_has_its_whole_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `Int8Product` computes inside a graph, counted on the meta device; eager, two pieces of it never meet."""
    peaks, tokens, wide = list[int](), 4096, 512
    with torch.device("meta"):
        layer, x = torch.nn.Linear(64, wide, dtype=torch.bfloat16), torch.empty(tokens, 64, dtype=torch.bfloat16)
    product = Int8Product.packed(layer, layer.weight.data)
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        with torch.no_grad(), LiveBytes() as count:
            product(x)
        peaks.append(count.peak)
    answer = tokens * wide * 2
    assert peaks[1] >= tokens * wide * 4 + answer
    assert peaks[0] < peaks[1]
