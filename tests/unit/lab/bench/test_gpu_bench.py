"""framefarm bench gpu on the CPU: the same code, with the small model; counts, bytes and bits are real."""

from __future__ import annotations

import contextlib
import io
import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.cuda._utils import _get_device_index
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from deploy import cli
from framepack_engine.memory.cuda_share import CONTEXT_BYTES
from framepack_engine.memory.ladder import GIB, Workload, size_of
from framepack_engine.models.shelf import Models
from framepack_engine.planning.spec import RenderSpec
from lab.bench.device.cases import CAPS_GIB, Case, usual_cases
from lab.bench.device.copy_watch import CopyWatch
from lab.bench.device.machine import Machine, capped, look_at
from lab.bench.device.models import maker
from lab.bench.device.row import REFERENCE_TFLOP, Row, forward_flops
from lab.bench.device.section import measure, with_rates
from lab.bench.device.site import Site
from lab.bench.device.train import stages
from lab.bench.engine import small_spec
from lab.bench.gpu.measured_rows import MeasuredRows
from lab.bench.gpu.options import GpuOptions
from lab.bench.gpu.rows import cases_of, rows_of
from lab.bench.gpu.rows_file import RowsFile
from lab.bench.random_model import PROMPT_TOKENS, RandomParts, fill, random_conditioning
from tests.imports import ROOT
from tests.small_recipe import SMALLEST

pytestmark = pytest.mark.usefixtures("one_thread")

Out = pytest.CaptureFixture[str]


#: of the bench with all its rows; tests/unit/lab/test_bare_doors.py runs it with one
of_every_row = pytest.mark.long


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> dict[str, Any]:
    """One run of the bench in its own processes, without torch.compile and training."""
    flags = ["--model", "tiny", "--device", "cpu", "--window", "1", "--steps", "3", "--no-compile", "--json"]
    flags += ["--out", str(tmp_path_factory.mktemp("bench"))]
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARM_CACHE", str(tiny_cache))
        patch.setenv("OMP_NUM_THREADS", "1")
        options = GpuOptions(model="tiny", device="cpu", window=1, steps=3, compiled=False)
        wanted = [row for row in rows_of(options, cases_of(options)) if row not in {"train", "flash", "flash-3"}]
        assert cli.main(["bench", "gpu", *flags, *(word for row in wanted for word in ("--rows", row))]) == 0
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@pytest.fixture(scope="module")
def rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its rows by name; the capped ones are named cap0, cap0-sync, cap1 …"""
    found: dict[str, dict[str, Any]] = {}
    for row in report["rows"]:
        size, dash, how = row["row"].partition("-")
        caps = [name for name in found if name.startswith("cap") and "-" not in name]
        if size.endswith("mib"):
            found[f"cap{len(caps) - bool(dash)}{dash}{how}"] = row
        else:
            found[row["row"]] = row
    return found


@of_every_row
def test_every_exact_row_has_the_stock_forward_s_bits(rows: dict[str, dict[str, Any]]) -> None:
    """However weights are held: resident, hoisted, streamed, copied module by module; caches and few bits are off."""
    assert {row["error"] for row in rows.values()} == {""}
    assert rows["stock"]["off"] is None
    for name in ("resident", "hoisted", "cap0", "cap0-sync", "cap1", "cap1-sync"):
        assert rows[name]["off"] == 0.0, name
    assert 0 < rows["int8"]["off"] < rows["int4"]["off"]
    assert rows["hoisted"]["forwards"] == rows["hoisted"]["steps"] == 3
    assert 2 <= rows["cache"]["forwards"] <= 3


@of_every_row
def test_capped_rows_stream_by_their_plans(rows: dict[str, dict[str, Any]]) -> None:
    """Every row within its plan's prediction; the smallest device copies every block's bytes in each step."""
    assert rows["cap0"]["copied_gb"] == 0.0
    assert rows["cap1"]["copied_gb"] * 1e9 == pytest.approx(sum(size_of("tiny").blocks) * 4, rel=1e-3)
    assert "4 of 4 blocks streamed" in rows["cap1"]["plan"]
    for name in ("resident", "hoisted", "int8", "int4", "cap0", "cap0-fp8", "cap1", "cap1-fp8", "cap1-int4"):
        assert 0 < rows[name]["peak_gib"] <= rows[name]["predicted_gib"], name
    assert rows["cap1"]["copy_gb_s"] > 0
    assert rows["cap0"]["copy_gb_s"] is None


@of_every_row
def test_the_baseline_copies_what_does_not_fit(rows: dict[str, dict[str, Any]], tiny_models: Models) -> None:
    """Module by module, what is not resident: more than the plan beside it, whose hoisted weights never come."""
    for name in ("cap0", "cap1"):
        assert rows[f"{name}-sync"]["copied_gb"] > rows[name]["copied_gb"]
        assert rows[f"{name}-sync"]["predicted_gib"] is None
    whole = sum(parameter.nbytes for parameter in tiny_models.transformer.parameters())
    assert rows["cap1-sync"]["copied_gb"] * 1e9 <= whole


@of_every_row
def test_the_other_rows_say_what_they_are_for(report: dict[str, Any], rows: dict[str, dict[str, Any]]) -> None:
    """Facts at the model's shapes, kernels of a forward, decodes in each mode; and what the machine is."""
    facts = {fact["part"]: fact for fact in report["facts"]}
    for kind in ("float32", "float8 rowwise", "float8 rowwise, fast accumulation", "int8"):
        assert sum(name.startswith(f"{kind} 104x32 ->") for name in facts) == 2, kind
    assert facts["sdpa chooses"]["kernel"]
    assert facts["attention sdpa, 104 tokens"]["ms"] > 0
    assert facts["copy from pageable memory"]["rate"] > 0
    assert sum(kernel["share"] for kernel in report["profile"]) <= 1.0
    assert any("scaled_dot_product" in kernel["part"] for kernel in report["profile"])
    decodes = {decode["part"]: decode for decode in report["decode"]}
    assert {name.partition(",")[0] for name in decodes} == {"framewise", "tiled 256", "tiled 192", "whole"}
    for decode in decodes.values():
        assert decode["frames"] == 9
        assert 0 < decode["peak_gib"] <= decode["predicted_gib"]
    assert "CUDA device" in rows["cudnn"]["skipped"]
    assert rows["stock"]["host_peak_gib"] > 0.1
    assert report["machine"]["torch"] == torch.__version__


def test_each_training_stage_has_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps and loss of each, with the smallest recipe."""
    monkeypatch.setattr("lab.training.recipe.recipe_of", lambda _: SMALLEST)
    machine, spec = look_here()
    site = Site(machine=machine, model="tiny", make=maker("tiny", machine.device), spec=spec, out=tmp_path)
    found = {row["part"]: row for row in stages(site)}
    assert list(found) == ["text", "vae", "dit"]
    assert all(row["steps"] == 2 and row["loss"] > 0 for row in found.values())


def test_plans_count_with_the_host_memory_that_is_given(tmp_path: Path) -> None:
    """--host-gb stands for the machine's own, which small virtual machines report wrongly."""
    options = GpuOptions(model="tiny", device="cpu", host_gb=3.5, out=tmp_path)
    assert options.host_bytes == int(3.5 * GIB)
    machine, spec = look_here()
    row, _ = measure(
        Case(name="b", rung=1),
        maker("tiny", machine.device),
        spec,
        machine=replace(machine, host_bytes=options.host_bytes),
        home_bytes=4 * GIB,
    )
    assert row.error == "the model's home takes 4.0 GiB of the machine's 3.5"


def look_here() -> tuple[Machine, RenderSpec]:
    """The CPU at hand, and a small section."""
    machine = look_at(torch.device("cpu"), known={"matmul_tflops": 1.0, "link_gb_s": 1.0})
    return machine, replace(small_spec("i2v", 1, steps=3), latent_window_size=1)


def test_the_baseline_copies_a_model_in_half_precision(tiny_models: Models) -> None:
    """As on a GPU: the last layer, which the engine computes in float32, comes in float32."""
    machine, spec = look_here()

    def make(_home: torch.device) -> RandomParts:
        return RandomParts(deepcopy(tiny_models.transformer).to(torch.bfloat16), tiny_models.vae, image_tokens=16)

    row, latents = measure(Case(name="s", way="sync", cap_bytes=1), make, spec, machine=machine)
    assert (row.error, latents is None) == ("", False)


@pytest.mark.parametrize(("device", "number"), [("cuda", 2), ("cuda:1", 1)])
def test_the_cap_is_on_the_device_that_computes(device: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named with its number or without, as torch reads its own argument; less CUDA's context, as on a worker."""
    seen = list[tuple[float, int]]()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 * GIB))
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda share, where: seen.append((share, _get_device_index(where))),
    )
    with capped(torch.device(device), 4 * GIB):
        assert seen == [((4 * GIB - CONTEXT_BYTES) / (8 * GIB), number)]
    assert seen[1:] == [(1.0, number)]


def test_a_row_that_fails_is_told() -> None:
    """A failure of any kind counts; a home that this machine does not have is not even tried."""
    machine, spec = look_here()

    def make(_home: torch.device) -> RandomParts:
        raise RuntimeError("no kernel\nfor you")

    row, latents = measure(Case(name="a"), make, spec, machine=machine)
    assert (row.error, latents) == ("RuntimeError: no kernel", None)
    row, _ = measure(Case(name="b", rung=1), make, spec, machine=machine, home_bytes=1 << 60)
    assert "the model's home takes" in row.error


def test_a_machine_that_could_not_be_measured_costs_no_other_row(
    tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row `machine` was killed, so it has no rates: the next process measures them itself."""
    monkeypatch.setenv("FARM_CACHE", str(tiny_cache))
    RowsFile(tmp_path / "rows.jsonl").append({"row": "machine", "error": "the process ended with SIGKILL"})
    rows = MeasuredRows(GpuOptions(model="tiny", device="cpu", cap_gb=(6.0,), out=tmp_path))
    (line,) = rows.lines("machine")
    assert line["matmul_tflops"] > 0
    assert "error" not in line


def test_the_data_sheet_of_another_card_is_not_taken() -> None:
    """NVL cards have figures of their own, which are not known here."""
    machine, _ = look_here()
    names = ("NVIDIA H200", "NVIDIA H200 NVL", "NVIDIA H100 NVL", "NVIDIA H100 PCIe")
    assert [replace(machine, name=name).data_sheet_tflops for name in names] == [989.4, None, None, 756.0]


def test_the_utilisation_is_of_the_data_sheet() -> None:
    """A forward of 494.1 TFLOP in 0.8 s is 62.4 % of an H200's 989.4 TFLOP/s, and 88.2 % of a product's 700."""
    machine = Machine(
        torch.device("cuda"), "NVIDIA H200", 141 << 30, matmul_tflops=700.0, link_gb_s=50.0, host_bytes=64 << 30
    )
    usual = replace(small_spec("i2v", 1, steps=3), height=608, width=640)
    row = with_rates(Row(row="resident", s_per_forward=0.8), size_of("framepack-i2v"), usual, machine)
    assert row.mfu == pytest.approx(0.624, abs=5e-4)
    assert row.of_matmul == pytest.approx(0.882, abs=5e-4)


def test_the_page_has_a_line_for_each_row() -> None:
    """docs/reference/measurements.md names what the command prints, no row more and none less."""
    page = (ROOT / "docs" / "reference" / "measurements.md").read_text(encoding="utf-8")
    table = page.partition("## On a GPU")[2].partition("| row |")[2].partition("\n\n")[0]
    named = [name for line in table.splitlines() for name in re.findall(r"`(.+?)`", line)]
    assert named == [case.name for case in usual_cases([int(gib * GIB) for gib in CAPS_GIB])]


@of_every_row
def test_on_the_cpu_no_copy_is_hidden(rows: dict[str, dict[str, Any]]) -> None:
    """A busy device hides almost no copies, and without copies the share is unknown."""
    assert rows["resident"]["hidden"] is None
    assert rows["cap1"]["hidden"] < 0.5


def test_without_a_gpu_it_says_so(capsys: Out) -> None:
    """Exit 1, and the way that works here."""
    if not torch.cuda.is_available():
        assert cli.main(["bench", "gpu"]) == 1
        assert "--model tiny --device cpu" in capsys.readouterr().err


def test_a_forward_s_operations_are_those_of_its_matrices() -> None:
    """494.1 TFLOP at 640x608 with a prompt of 32 tokens; twice the pixels are more than twice that."""
    size = size_of("framepack-i2v")
    usual = forward_flops(size, Workload(), text_tokens=PROMPT_TOKENS)
    assert usual / 1e12 == pytest.approx(REFERENCE_TFLOP, rel=1e-3)
    assert forward_flops(size, Workload(height=1216), text_tokens=PROMPT_TOKENS) > 2 * usual


def attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Of shapes (batch, heads, tokens, width)."""
    return int(sdpa_flop_count(query, key, value))


def test_torch_counts_the_same_operations(tiny_models: Models) -> None:
    """In the small model's blocks, with a prompt of 32 tokens: products of matrices and attention."""
    from framepack_engine import Sampler

    spec = small_spec("i2v", 1, steps=1)
    parts = RandomParts(tiny_models.transformer, tiny_models.vae, image_tokens=16)
    work = Workload(height=64, width=64)
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}  # torch counts CUDA's alone
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        Sampler(parts.transformer, parts.vae).section(spec, 0, random_conditioning(parts, height=64, width=64), None)
    counted = counter.get_flop_counts()
    blocks = sum(
        sum(found.values())
        for name, found in counted.items()
        if name.split(".")[-2:-1] in (["transformer_blocks"], ["single_transformer_blocks"])
    )
    assert forward_flops(parts.size(), work, text_tokens=32) == pytest.approx(blocks, rel=0.03)


def test_random_weights_fill_a_model_of_no_numbers() -> None:
    """Every parameter of the architecture, of the scale that keeps activations finite, at home and in its precision."""
    with torch.device("meta"):
        model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.LayerNorm(64))
    fill(model, torch.Generator().manual_seed(1), dtype=torch.bfloat16, home=torch.device("cpu"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(torch.randn(512, 64, dtype=torch.bfloat16)).float().std() == pytest.approx(1.0, rel=0.1)
    with torch.device("meta"):
        batch = torch.nn.BatchNorm1d(4)
    with pytest.raises(ValueError, match="running_mean"):
        fill(batch, torch.Generator(), dtype=torch.float32, home=torch.device("cpu"))


def test_a_watch_tells_waits_from_copies() -> None:
    """A copy beside which nobody waited is hidden, one that was waited for is not."""
    watch = CopyWatch(torch.device("cpu"))
    assert watch.copied_s == 0.0
    with watch.copying():
        torch.zeros(1000).sum()
    assert watch.copies == 1
    assert watch.hidden == pytest.approx(1.0)
    watch.forget()
    with watch.waiting(), watch.copying():
        torch.zeros(1000).sum()
    assert watch.hidden == 0.0
