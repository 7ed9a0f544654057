"""framefarm bench gpu on the CPU: the same code, with the small model; counts, bytes and bits are real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from deploy import cli
from framepack_engine.copy_watch import CopyWatch
from framepack_engine.flops import REFERENCE_TFLOP, forward_flops
from framepack_engine.memory import Workload, size_of
from framepack_engine.models import Models
from framepack_engine.random_model import PROMPT_TOKENS, RandomParts, fill, random_conditioning

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On shared cores more threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    """One run of the whole bench, by row; the capped ones are named cap0, cap0-sync, cap1 … from large to small."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        flags = ["--model", "tiny", "--device", "cpu", "--window", "1", "--steps", "3", "--json"]
        assert cli.main(["bench", "gpu", *flags]) == 0
    found = [(row["row"], row) for row in json.loads(out.getvalue())["rows"]]
    names = [name for name, _ in found[:4]]
    return dict(found[:4]) | {
        f"cap{number // 2}{'-sync' if number % 2 else ''}": row
        for number, (name, row) in enumerate(found[4:])
        if name not in names
    }


def test_every_row_but_the_cache_s_has_the_stock_forward_s_bits(rows: dict[str, dict[str, Any]]) -> None:
    """However weights are held: resident, hoisted, streamed, copied module by module."""
    assert [row["error"] for row in rows.values()] == [""] * len(rows)
    assert rows["stock"]["off"] is None
    for name in rows.keys() - {"stock", "cache"}:
        assert rows[name]["off"] == 0.0, name
    assert rows["hoisted"]["forwards"] == rows["hoisted"]["steps"] == 3
    assert 2 <= rows["cache"]["forwards"] <= 3


def test_capped_rows_stream_by_their_plans(rows: dict[str, dict[str, Any]], tiny_models: Models) -> None:
    """Every row within its plan's prediction; the smallest device copies every block's bytes in each step."""
    plans = [rows["cap0"], rows["cap1"]]
    assert plans[0]["copied_gb"] == 0.0
    assert plans[1]["copied_gb"] * 1e9 == pytest.approx(sum(size_of("tiny").blocks) * 4, rel=1e-3)
    assert "4 of 4 blocks streamed" in plans[1]["plan"]
    for row in (rows["resident"], rows["hoisted"], *plans):
        assert 0 < row["peak_gib"] <= row["predicted_gib"], row["row"]


def test_the_baseline_copies_what_does_not_fit(rows: dict[str, dict[str, Any]], tiny_models: Models) -> None:
    """Module by module, what is not resident: more than the plan beside it, whose hoisted weights never come."""
    for number in range(2):
        plan, sync = rows[f"cap{number}"], rows[f"cap{number}-sync"]
        assert sync["copied_gb"] > plan["copied_gb"]
        assert sync["predicted_gib"] is None
    whole = sum(parameter.nbytes for parameter in tiny_models.transformer.parameters())
    assert rows["cap1-sync"]["copied_gb"] * 1e9 <= whole


def test_on_the_cpu_no_copy_is_hidden(rows: dict[str, dict[str, Any]]) -> None:
    """Who computes copies: the share of hidden copies is as good as none, and unknown where nothing is copied."""
    assert rows["resident"]["hidden"] is None
    assert rows["cap1"]["hidden"] < 0.5


def test_without_a_gpu_it_says_so(capsys: Out) -> None:
    """Exit 1, and the way that works here; rows and sizes that are none are refused by name."""
    if not torch.cuda.is_available():
        assert cli.main(["bench", "gpu"]) == 1
        assert "--model tiny --device cpu" in capsys.readouterr().err
    assert cli.main(["bench", "gpu", "--device", "cpu"]) == 2
    flags = ["bench", "gpu", "--model", "tiny", "--device", "cpu"]
    assert cli.main([*flags, "--rows", "fast"]) == 2
    assert "there are stock, resident" in capsys.readouterr().err
    assert cli.main([*flags, "--size", "65x64"]) == 2
    assert "multiple of 16" in capsys.readouterr().err


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
    from framepack_engine import Renderer
    from framepack_engine.bench import small_spec

    spec = small_spec("i2v", 1, steps=1)
    parts = RandomParts(tiny_models.transformer, tiny_models.vae, image_tokens=16)
    work = Workload(height=64, width=64)
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}  # torch counts CUDA's alone
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        Renderer(parts).section(spec, 0, random_conditioning(parts, height=64, width=64), None)
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
