"""Precision: how far each is from the whole weights, that plans change no bit of it, and that videos never mix it."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from actors.worker.device import Renderers, describe_device
from deploy import cli
from deploy.settings import Settings
from farm.errors import ConfigError
from farm.jobs.demand import fits, need_for
from farm.request import VideoRequest
from farm.settings import FarmSettings
from framepack_engine import Renderer, RenderSpec, Sampler, SectionState, StepState
from framepack_engine.conformance import case_conditioning, load_case_model
from framepack_engine.errors import DeviceTooSmall, PrecisionUnavailable
from framepack_engine.memory.ladder import GIB, Workload, choose_plan, ladder, size_of
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.precision import (
    Float8,
    Float8Product,
    Int8,
    Int8Product,
    NormalFloat4,
    Packed,
    apply_precision,
    check_precision,
    precision_of,
)
from framepack_engine.models.shelf import Models
from framepack_engine.planning.choices import PRECISIONS
from framepack_engine.planning.spec import Lora
from framepack_engine.sampling.numeric import numeric_class
from lab.bench.engine import small_spec
from lab.bench.precision import block_errors, section_errors
from tests.imports import ROOT
from tests.plan_books import book_from

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = ROOT / "tests" / "golden"
COND = case_conditioning(GOLDEN / "i2v_true_cfg")
#: every precision but the first, which packs nothing; `make test` has the smallest and one that multiplies in few bits
PACKED = [name if name in {"int8", "int4"} else pytest.param(name, marks=pytest.mark.long) for name in PRECISIONS[1:]]
CPU = torch.device("cpu")
SPEC = RenderSpec(
    kind="i2v", sections=2, height=80, width=112, seed=5, prompt="", latent_window_size=1, num_inference_steps=3
)


def off(near: Tensor, wanted: Tensor) -> float:
    """RMS of the difference over RMS of what it should be."""
    return float((near - wanted).norm() / wanted.norm())


def drawn(seed: int, rows: int, columns: int, scale: float) -> tuple[nn.Linear, Tensor]:
    """A Linear of normal weights and an input for it."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(columns, rows).requires_grad_(requires_grad=False)
    layer.weight.data = scale * torch.randn(rows, columns, generator=generator)
    layer.bias.data = scale * torch.randn(rows, generator=generator)
    return layer, torch.randn(2, 40, columns, generator=generator)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([32, 96, 256]), st.sampled_from([32, 64, 192]), st.floats(1e-4, 10.0))
def test_more_bits_are_nearer(seed: int, rows: int, columns: int, scale: float) -> None:
    """A layer's answer: int8 is nearer than fp8, fp8 than 4 bits, and 4 bits are within 15 %, at every scale.

    Multiplying in few bits adds to the error of storing in them, and does not double it for int8.
    """
    layer, x = drawn(seed, rows, columns, scale)
    wanted, error = layer(x), dict[type[Packed], float]()
    for kind in (Int8, Float8, NormalFloat4, Int8Product, Float8Product):
        made = kind.packed(layer, layer.weight.data)
        assert made(x).shape == wanted.shape
        error[kind] = off(made(x), wanted)
    assert 0 < error[Int8] < 0.01
    assert 0.01 < error[Float8] < 0.035
    assert 0.05 < error[NormalFloat4] < 0.15
    assert error[Int8] < error[Int8Product] < 2 * error[Int8] + 0.005
    assert error[Float8] < error[Float8Product] < 2 * error[Float8]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_are_torchao_s_own(dtype: torch.dtype) -> None:
    """We unpack the same values as torchao: NF4 to the bit, 8 bits up to the rounding of the scale."""
    from torchao.quantization import Float8Tensor, Int8Tensor, PerRow
    from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import to_nf4

    layer, _ = drawn(3, 128, 256, 0.02)
    matrix = layer.weight.data.to(dtype)
    assert torch.equal(NormalFloat4.packed(layer, matrix).unpacked(dtype), to_nf4(matrix).get_original_weight())
    for ours, theirs in (
        (Int8.packed(layer, matrix), Int8Tensor.from_hp(matrix, PerRow())),
        (Float8.packed(layer, matrix), Float8Tensor.from_hp(matrix, granularity=PerRow())),
    ):
        torch.testing.assert_close(ours.unpacked(dtype), theirs.dequantize(), rtol=2**-7, atol=0)


def test_long_inputs_are_multiplied_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are rounded one by one, so that pieces of any length give the same bits."""
    layer, x = drawn(4, 64, 96, 1.0)
    for kind in (Int8Product, Float8Product):
        made = kind.packed(layer, layer.weight.data)
        whole = made(x)
        monkeypatch.setattr("framepack_engine.models.precision._ROWS", 7)
        assert torch.equal(made(x), whole)
        monkeypatch.undo()


@pytest.mark.parametrize("rows", [1, 6, 16, 17, 40])
def test_a_short_prompt_has_rows_enough_for_cuda(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its int8 product refuses 16 rows and fewer, which many prompts have; ours gives the bits of a longer input."""
    layer, x = drawn(5, 64, 96, 1.0)
    made, real = Int8Product.packed(layer, layer.weight.data), torch._int_mm
    whole = made(x[0])

    def as_cuda_has_it(left: Tensor, right: Tensor) -> Tensor:
        if left.shape[0] <= 16:
            raise RuntimeError(f"self.size(0) needs to be greater than 16, but got {left.shape[0]}")
        return real(left, right)

    monkeypatch.setattr(torch, "_int_mm", as_cuda_has_it)
    assert torch.equal(made(x[0, :rows]), whole[:rows])


@given(st.integers(17, 50_000))
def test_no_piece_is_too_short_for_cuda(count: int) -> None:
    """Its int8 product takes 17 rows or more, and so does each piece of an input that has them; none is longer than
    what the plan counts with.
    """
    lengths = list[int]()

    class Noted(Int8Product):
        def _product(self, rows: Tensor) -> Tensor:
            lengths.append(len(rows))
            return torch.zeros(len(rows), 1)

    Noted(nn.Linear(1, 1))(torch.zeros(1, count, 1))
    assert sum(lengths) == count
    assert 17 <= min(lengths) <= max(lengths) <= 2048


def test_a_section_is_as_near_as_its_bits_allow(tiny_models: Models) -> None:
    """Whole sections of the small model, in float32 and as GPUs compute: 8 bits are nearer than 4, 4 are within 10 %.
    A forward in bfloat16 is nearer to float32 than one of fp8; the model itself stays whole.
    """
    errors = {found.precision: found for found in section_errors(tiny_models, small_spec("i2v", 1, steps=4))}
    assert tuple(errors) == PRECISIONS
    for measure in ("forward", "section", "forward_bf16", "section_bf16"):
        values = [getattr(errors[name], measure) for name in ("int8", "fp8", "int4")]
        assert all(nearer < farther for nearer, farther in pairwise((0.0, *values, 0.1))), (measure, values)
    assert 0 < (errors["bf16"].forward or 0.0) < (errors["fp8"].forward or 0.0)
    assert precision_of(tiny_models.transformer) == "bf16"
    assert tiny_models.transformer.dtype == torch.float32
    assert not any(isinstance(module, Packed) for module in tiny_models.transformer.modules())


def test_blocks_of_a_width_are_as_near_as_their_bits_allow() -> None:
    """Run `bench precision --full-width` 256 wide: bfloat16 is nearest, then int8, 8 floating bits, 4 bits."""
    errors = {found.precision: found for found in block_errors(width=256)}
    assert tuple(errors) == PRECISIONS
    for measure in ("double", "single"):
        values = [getattr(errors[name], measure) for name in ("bf16", "int8", "fp8", "int4")]
        assert all(nearer < farther for nearer, farther in pairwise((0.0, *values, 0.2))), (measure, values)


@pytest.mark.long  # prints what the two tests above measure
def test_the_bench_prints_each_precision_s_error(
    tiny_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`framefarm bench precision`: a row each, nearer with more bits."""
    monkeypatch.setenv("FARM_CACHE", str(tiny_cache))
    assert cli.main(["bench", "precision", "--json"]) == 0
    rows = {row["precision"]: row for row in json.loads(capsys.readouterr().out)}
    assert tuple(rows) == PRECISIONS
    assert rows["int8"]["section"] < rows["fp8"]["section"] < rows["int4"]["section"] < 0.1


@pytest.fixture(scope="module")
def case_model() -> Any:
    """The parts that golden cases are made with."""
    return load_case_model(GOLDEN / "tiny_model")


@pytest.fixture(scope="module", params=PACKED)
def packed_model(request: pytest.FixtureRequest, case_model: Any) -> Any:
    """The same in each precision."""
    model = copy.deepcopy(case_model)
    apply_precision(model.transformer, request.param)
    return model


def book_at(models: Any, rung: int, *, counted: bool = False) -> PlanBook:
    """A book with room for all that gives plans from `rung` on."""
    return book_from(rung, count_model(models.transformer, vae=models.vae), SPEC, counted=counted)


def watched_section(renderer: Sampler, spec: RenderSpec) -> tuple[SectionState, list[int]]:
    """The first section, and the bytes that had come to the device after each of its steps."""
    brought = list[int]()

    def stepped(_: StepState) -> None:
        assert renderer.tenancy is not None
        brought.append(renderer.tenancy.budget.brought)

    return renderer.section(spec, 0, COND, None, on_step=stepped), brought


def test_every_plan_has_the_same_bits(packed_model: Any) -> None:
    """Hoisted, one stage at a time and with all blocks streamed: bit for bit what the packed model gives at home.

    Each section's peak is within its plan's prediction, and a forward copies the packed bytes, no more.
    """
    spec = replace(SPEC, true_cfg_scale=2.0)
    wanted = Sampler(*packed_model).section(spec, 0, COND, None).to_bytes()
    size, plans = (
        count_model(packed_model.transformer, vae=packed_model.vae),
        ladder(count_model(packed_model.transformer, vae=packed_model.vae), workload_of(spec)),
    )
    for plan in (*plans[1:3], plans[-1]):
        renderer = Sampler(*packed_model, book=book_at(packed_model, plan.rung, counted=True))
        tenancy = renderer.tenancy
        assert tenancy is not None
        made, brought = watched_section(renderer, spec)
        assert made.to_bytes() == wanted, plan.words
        assert tenancy.plan is not None
        assert (tenancy.plan.rung, tenancy.plan.precision) == (plan.rung, size.precision)
        assert tenancy.plan.words.startswith(f"{size.precision}, hoisted")
        assert tenancy.budget.peak <= plan.section_bytes, plan.words
        if plan.streamed:
            assert brought[-1] - brought[-2] == 2 * plan.streamed_bytes == 2 * sum(size.block_bytes)
        renderer.close()


def test_a_lora_acts_beside_packed_weights(packed_model: Any, tmp_path: Path) -> None:
    """On a block's matrix and on its adaLN, which no longer have a dtype to follow; the packed bits are left alone."""
    layers = {name: part for name, part in packed_model.transformer.named_modules() if isinstance(part, Packed)}
    generator, weights = torch.Generator().manual_seed(1), dict[str, Tensor]()
    for name in ("transformer_blocks.0.attn.to_q", "single_transformer_blocks.1.norm.linear"):
        for half, shape in (("A", (2, layers[name].in_features)), ("B", (layers[name].out_features, 2))):
            weights[f"transformer.{name}.lora_{half}.weight"] = torch.randn(shape, generator=generator)
    save_file(weights, tmp_path / "style.safetensors")
    renderer, with_lora = Sampler(*packed_model, lora_dir=tmp_path), replace(SPEC, loras=(Lora("style"),))
    without = renderer.section(SPEC, 0, COND, None).to_bytes()
    made = renderer.section(with_lora, 0, COND, None).to_bytes()
    assert made != without
    assert renderer.section(SPEC, 0, COND, None).to_bytes() == without
    last = ladder(count_model(packed_model.transformer, vae=packed_model.vae), workload_of(SPEC))[-1].rung
    streamed = Sampler(*packed_model, lora_dir=tmp_path, book=book_at(packed_model, last))
    assert streamed.section(with_lora, 0, COND, None).to_bytes() == made
    streamed.close()


def test_packed_models_are_small(packed_model: Any, case_model: Any) -> None:
    """8 bits are below a third of float32, 4 below a fifth; the size is the catalogue's."""
    size, whole = (
        count_model(packed_model.transformer, vae=packed_model.vae),
        count_model(case_model.transformer, vae=case_model.vae),
    )
    assert size.blocks == whole.blocks
    assert sum(size.block_bytes) < sum(whole.block_bytes) / (5 if size.precision == "int4" else 3)
    assert size.hoisted_bytes < whole.hoisted_bytes


def test_a_precision_is_for_good(packed_model: Any) -> None:
    """The same again changes nothing; another is refused, since the whole weights are gone."""
    here = precision_of(packed_model.transformer)
    before = packed_model.transformer.transformer_blocks[0].attn.to_q
    apply_precision(packed_model.transformer, here)
    assert packed_model.transformer.transformer_blocks[0].attn.to_q is before
    with pytest.raises(PrecisionUnavailable, match="load it again"):
        apply_precision(packed_model.transformer, "bf16")


def test_what_is_missing_is_named(case_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torchao the error says how to get it; an unknown precision is refused with those that are known."""
    with pytest.raises(PrecisionUnavailable, match="known are bf16, fp8"):
        apply_precision(case_model.transformer, "int2")
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(PrecisionUnavailable, match=r"framepack-farm\[precision\]"):
        apply_precision(case_model.transformer, "fp8")
    assert precision_of(case_model.transformer) == "bf16"


@pytest.mark.parametrize("precision", ["fp8-dynamic", "fp8-fast", "int8"])
def test_a_product_that_this_torch_lacks_is_named(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product with a scale a row is tried before the weights are packed: torch 2.11 lacks it on a CPU."""

    def lacking(*_args: Any, **_options: Any) -> Tensor:
        raise RuntimeError("Only per-tensor scaling is supported\nand more")

    check_precision(precision, device=CPU)
    monkeypatch.setattr(torch, "_scaled_mm", lacking)
    monkeypatch.setattr(torch, "_int_mm", lacking)
    with pytest.raises(PrecisionUnavailable, match=rf"{precision} cannot .* on cpu .*: Only per-tensor scaling"):
        check_precision(precision, device=CPU)
    check_precision("fp8", device=CPU)


def test_fast_accumulation_is_a_precision_of_its_own(case_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only fp8-fast asks for it, with the bytes of fp8-dynamic, and its videos are of another numeric class."""
    asked, real = list[tuple[str, bool]](), torch._scaled_mm
    sections, classes = dict[str, bytes](), set[str]()
    for name in ("fp8-dynamic", "fp8-fast"):

        def noted(*args: Any, name: str = name, **options: Any) -> Tensor:
            asked.append((name, options["use_fast_accum"]))
            return real(*args, **options)

        model = copy.deepcopy(case_model)
        apply_precision(model.transformer, name)
        monkeypatch.setattr(torch, "_scaled_mm", noted)
        renderer = Sampler(*model)
        sections[name] = renderer.section(SPEC, 0, COND, None).to_bytes()
        classes.add(renderer.numeric_class)
        monkeypatch.undo()
    assert set(asked) == {("fp8-dynamic", False), ("fp8-fast", True)}
    assert sections["fp8-dynamic"] == sections["fp8-fast"]  # on a CPU, which has no other accumulator
    assert len(classes) == 2


def test_the_farm_knows_the_engine_s_precisions() -> None:
    """The setting takes exactly them; what it does not know is an error that names it."""
    assert [Settings(precision=name).precision for name in PRECISIONS] == list(PRECISIONS)
    with pytest.raises(ConfigError, match="FARM_PRECISION='int2': need one of bf16, fp8"):
        Settings(precision="int2")


def test_fewer_bits_are_a_higher_plan() -> None:
    """Of the 13B model at 640x608: 8 bits stay on the device with 12 GiB where bf16 streams, 4 bits with 8."""
    work = Workload(decode="tiled", tile_px=256)

    def streamed(gib: int, precision: str) -> int:
        size = size_of("framepack-i2v", precision)
        return choose_plan(size, work, device_bytes=gib * GIB, host_bytes=64 * GIB).streamed

    assert [streamed(gib, "fp8") == 0 for gib in (8, 12, 16)] == [False, True, True]
    assert [streamed(gib, "int4") == 0 for gib in (6, 8, 12)] == [False, True, True]
    assert streamed(16, "bf16") > 0


def test_packed_weights_need_a_home() -> None:
    """They lie in no file: a machine whose memory does not hold them is told so; on a large device it needs none."""
    size, work = size_of("framepack-i2v", "fp8"), Workload(decode="tiled", tile_px=256)
    with pytest.raises(DeviceTooSmall, match=r"precision=fp8 needs 16\.4 GiB of the machine's memory"):
        choose_plan(size, work, device_bytes=12 * GIB, host_bytes=16 * GIB)
    assert choose_plan(size, work, device_bytes=80 * GIB, host_bytes=16 * GIB).keeps == "all"
    assert not choose_plan(size, work, device_bytes=8 * GIB, host_bytes=64 * GIB).mapped


def test_a_worker_of_that_precision(tiny_cache: Path) -> None:
    """FARM_PRECISION reaches the card, the model and the video's numeric class, and nobody else may go on with it."""
    settings = FarmSettings(precision="int8", cpu_threads=1, cache=str(tiny_cache), device_gb=2.0)
    card = describe_device("w", node="n", settings=settings)
    renderer = Renderers(settings).load("tiny")
    renderer.section(replace(SPEC, height=64, width=64), 0, replace_start(renderer), None)
    assert renderer.tenancy is not None
    assert renderer.tenancy.plan is not None
    assert renderer.tenancy.plan.words.startswith("int8, ")
    assert renderer.numeric_class == card.numeric_class
    assert card.numeric_class != numeric_class(CPU, torch.float32)
    whole = describe_device("v", node="n", settings=FarmSettings(cpu_threads=1))
    pinned = renderer.numeric_class_of(SPEC)
    need = need_for(VideoRequest(prompt="a", model="tiny"), "section", pinned)
    assert fits(card, need)
    assert not fits(whole, need)
    renderer.close()


def replace_start(renderer: Renderer) -> Any:
    """Conditioning for 64x64 px."""
    from PIL import Image

    return renderer.encode(replace(SPEC, height=64, width=64, prompt="a"), {"start": Image.new("RGB", (64, 64))})
