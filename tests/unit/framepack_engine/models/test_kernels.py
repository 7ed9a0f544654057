"""Compiled blocks: one graph a class for everything that is rendered, and the same bits wherever weights lie."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch._dynamo.utils import counters
from torch._inductor import metrics
from torch._inductor.utils import fresh_cache
from torch.utils._python_dispatch import TorchDispatchMode

from actors.worker.device import describe_device
from farm.settings import FarmSettings
from framepack_engine import Renderer, RenderSpec, SectionState
from framepack_engine.errors import KernelsUnavailable
from framepack_engine.memory.ladder import GIB, ladder
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.compiled import compile_blocks, is_compiled
from framepack_engine.models.precision import Int8Product, apply_precision
from framepack_engine.models.shelf import Models
from framepack_engine.planning.choices import PRECISIONS
from tests.plan_books import book_from

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = RenderSpec(
    kind="i2v", sections=2, height=64, width=96, seed=5, prompt="a cat", latent_window_size=1, num_inference_steps=3
)
#: every precision; `make test` has the whole weights and one kind of packed ones
SHORT = [name if name in {"bf16", "int8"} else pytest.param(name, marks=pytest.mark.long) for name in PRECISIONS]
PHOTO = Image.new("RGB", (64, 64), "teal")


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    """Drop the blocks that other tests compiled."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def packed_copy(models: Models, precision: str) -> Models:
    """The models with a transformer of their own, in `precision`."""
    transformer = copy.deepcopy(models.transformer)
    apply_precision(transformer, precision)
    return replace(models, transformer=transformer)


def compiled_copy(models: Models, precision: str = "bf16") -> Models:
    """The models with a transformer of their own, compiled by dynamo alone: graphs and their guards, no C++."""
    models = packed_copy(models, precision)
    compile_blocks(models.transformer, backend="eager")
    return models


def book_at(models: Any, spec: RenderSpec, rung: int) -> PlanBook:
    """A book with room for all that gives plans from `rung` on."""
    return book_from(rung, count_model(models.transformer, vae=models.vae), spec, counted=False)


def section_state(renderer: Renderer, spec: RenderSpec) -> SectionState:
    """The first section of a video."""
    return renderer.section(spec, 0, renderer.encode(spec, {"start": PHOTO}), None)


def section(renderer: Renderer, spec: RenderSpec = SPEC) -> bytes:
    """All bytes of it."""
    return section_state(renderer, spec).to_bytes()


LONG = "a dog that runs along the beach, and another prompt of another length"
SPECS = {
    "first": SPEC,
    "size": replace(SPEC, height=96, width=64),
    "window": replace(SPEC, latent_window_size=3),
    "prompt": replace(SPEC, prompt=LONG),
    "true cfg": replace(SPEC, true_cfg_scale=2.0),
    "teacache": replace(SPEC, cache="teacache", cache_threshold=1.0),
    "first_block": replace(SPEC, cache="first_block", cache_threshold=1.0),
}
PACKED_SPECS = {"first": SPEC, "all else": replace(SPEC, height=96, width=64, latent_window_size=3, prompt=LONG)}


@pytest.mark.parametrize("precision", SHORT)
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo's own, of torchao
def test_nothing_is_compiled_twice(tiny_models: Models, precision: str) -> None:
    """Two graphs, one for each class of blocks, serve all blocks, sizes, windows, prompts, branches, step caches and
    plans. No answer differs from what eager blocks say, resident, hoisted or with all blocks streamed.
    """
    ours = compiled_copy(tiny_models, precision)
    plain, renderer = Renderer(packed_copy(tiny_models, precision)), Renderer(ours)
    assert "compiled" in renderer.numeric_class
    assert "compiled" not in plain.numeric_class
    wanted = section(plain)
    for name, spec in (SPECS if precision == "bf16" else PACKED_SPECS).items():
        assert section(renderer, spec) == (wanted if spec is SPEC else section(plain, spec)), name
        assert counters["stats"]["unique_graphs"] == 2, name
    plans = ladder(count_model(ours.transformer, vae=ours.vae), workload_of(SPEC))
    for plan in (plans[0], plans[1], plans[-1]):
        renderer = Renderer(ours, book=book_at(ours, SPEC, plan.rung))
        assert section(renderer) == wanted, plan.words
        assert renderer.tenancy is not None
        assert renderer.tenancy.plan is not None
        assert renderer.tenancy.plan.rung == plan.rung
        renderer.close()
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo's own, of torchao
def test_one_graph_multiplies_few_rows_and_many() -> None:
    """CUDA's int8 product takes 17 rows or more; an input that has fewer is no reason to compile again."""
    layer = torch.nn.Linear(32, 16).requires_grad_(requires_grad=False)
    eager = Int8Product.packed(layer, layer.weight.data)
    compiled = torch.compile(eager, fullgraph=True, backend="eager")
    for rows in (5, 16, 17, 40):
        x = torch.randn(1, rows, 32, generator=torch.Generator().manual_seed(rows))
        torch._dynamo.mark_dynamic(x, 1)
        assert torch.equal(compiled(x), eager(x)), rows
    assert counters["stats"]["unique_graphs"] == 1


@pytest.fixture
def inductor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Inductor with nothing of other days at hand, which compiles in this process; what it says of its work."""
    monkeypatch.setattr(torch._inductor.config, "compile_threads", 1)
    monkeypatch.setattr(torch._inductor.config.cpp, "vec_isa_ok", True)  # else it compiles a trial for each kind of CPU
    with fresh_cache(dir=str(tmp_path)):
        metrics.reset()
        yield metrics


class Counted(TorchDispatchMode):
    """Counts operations that write a tensor, but for those that stay calls of a library: products and attention."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do everything that is asked."""
        library = ("addmm", "mm", "_scaled_dot_product")
        self.count += not func.is_view and not func.overloadpacket.__name__.startswith(library)
        return func(*args, **(kwargs or {}))


def eager_operations(models: Models) -> int:
    """Of one block of each class."""
    firsts = models.transformer.transformer_blocks[0], models.transformer.single_transformer_blocks[0]
    seen = dict[Any, Any]()
    hooks = [block.register_forward_pre_hook(lambda block, args: seen.update({block: args})) for block in firsts]
    section(Renderer(models))
    for hook in hooks:
        hook.remove()
    counted = Counted()
    with torch.no_grad(), counted:
        for block, args in seen.items():
            block(*args)
    return counted.count


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, where Inductor is imported
@pytest.mark.long  # the graphs are those of the tests above, which compile no C++
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler on the CPU")
def test_inductor_s_kernels(tiny_models: Models, inductor: Any) -> None:
    """Blocks really compiled, to C++: two graphs and fewer kernels than eager blocks have operations; equal bits on
    each plan, for another size and another prompt as well, and near what eager blocks say.
    """
    specs = [SPECS[name] for name in ("first", "size", "prompt")]
    plain, models = Renderer(tiny_models), packed_copy(tiny_models, "bf16")
    compile_blocks(models.transformer)
    wanted = [section_state(Renderer(models), spec) for spec in specs]
    for state, spec in zip(wanted, specs, strict=True):
        near = section_state(plain, spec).latents
        assert float((state.latents - near).norm() / near.norm()) < 1e-4
    plans = ladder(count_model(models.transformer, vae=models.vae), workload_of(SPEC))
    for plan in (plans[0], plans[1], plans[-1]):
        for state, spec in zip(wanted, specs, strict=True):
            renderer = Renderer(models, book=book_at(models, spec, plan.rung))
            assert section(renderer, spec) == state.to_bytes(), plan.words
            renderer.close()
    assert counters["stats"]["unique_graphs"] == 2
    assert 0 < inductor.generated_kernel_count < eager_operations(tiny_models)


def test_compiling_twice_is_as_good_as_once(tiny_models: Models) -> None:
    """The blocks' forward is wrapped once."""
    models = compiled_copy(tiny_models)
    forwards = [block.forward for block in models.transformer.transformer_blocks]
    compile_blocks(models.transformer, backend="eager")
    assert [block.forward for block in models.transformer.transformer_blocks] == forwards
    assert is_compiled(models.transformer)
    assert not is_compiled(tiny_models.transformer)


def test_a_lora_acts_on_compiled_blocks(tiny_models: Models, tmp_path: Path) -> None:
    """Its videos are computed eagerly: the same bits as without compilation, and compiled again after it."""
    from safetensors.torch import save_file

    from framepack_engine.planning.spec import Lora

    name = "transformer_blocks.0.attn.to_q"
    generator = torch.Generator().manual_seed(1)
    weights = {
        f"transformer.{name}.lora_{half}.weight": torch.randn(shape, generator=generator)
        for half, shape in (("A", (2, 32)), ("B", (32, 2)))
    }
    save_file(weights, tmp_path / "style.safetensors")
    spec = replace(SPEC, loras=(Lora("style"),))
    plain = Renderer(tiny_models, lora_dir=tmp_path)
    ours = Renderer(compiled_copy(tiny_models), lora_dir=tmp_path)
    without = section(ours)
    assert section(ours, spec) == section(plain, spec)
    plain.unload_loras()
    assert section(ours) == without == section(plain)
    assert section(plain, spec) != without
    plain.unload_loras()


def test_counting_each_tensor_and_compiling_exclude_each_other(tiny_models: Models) -> None:
    """A CPU that plays a device of a given size refuses compiled blocks, at the start and by the settings' names."""
    models = compiled_copy(tiny_models)
    book = PlanBook(
        size=count_model(models.transformer, vae=models.vae), device_bytes=GIB << 4, host_bytes=GIB << 4, counted=True
    )
    with pytest.raises(KernelsUnavailable, match="FARM_DEVICE_GB"):
        Renderer(models, book=book)
    if not torch.cuda.is_available():
        with pytest.raises(KernelsUnavailable, match="FARM_KERNELS"):
            describe_device("w", node="n", settings=FarmSettings(kernels="compiled", device_gb=4.0, cpu_threads=1))
