"""Attention is a value: named, checked, pinned and recorded, independent of what else is importable or set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models import attention_dispatch
from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend
from torch.nn.attention import SDPBackend, sdpa_kernel

from actors.worker.device import describe_device
from farm.jobs.demand import fits, need_for
from farm.numeric_class import attention_of, parse_class
from farm.request import VideoRequest
from farm.settings import FarmSettings
from framepack_engine import RenderSpec, Sampler
from framepack_engine.conformance import CaseModel, case_conditioning, load_case_model
from framepack_engine.errors import AttentionUnavailable, InvalidSpec
from framepack_engine.planning.attention_choice import AttentionFacts, best_attention
from framepack_engine.planning.choices import ATTENTIONS, PRECISIONS
from framepack_engine.sampling import attention_trial
from framepack_engine.sampling.attention import attend, check_attention, pin_attention, usable_attentions
from framepack_engine.sampling.attention_trial import BOUND, device_attention, trial_fault
from framepack_engine.sampling.numeric import numeric_class
from tests.imports import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = ROOT / "tests" / "golden"
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
def case_model() -> CaseModel:
    """The parts that golden cases are made with."""
    return load_case_model(GOLDEN / "tiny_model")


@pytest.fixture(scope="module")
def sampler(case_model: CaseModel) -> Sampler:
    """A sampler with the case model."""
    return Sampler(*case_model)


def test_the_default_is_torchs_own_whatever_diffusers_is_told(
    case_model: CaseModel, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another backend active in the whole process every call still goes to native SDPA, and the bits stay."""
    cond = case_conditioning(GOLDEN / "i2v_true_cfg")
    wanted = sampler.section(SPEC, 0, cond, None).to_bytes()
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
        assert sampler.section(SPEC, 0, cond, None).to_bytes() == wanted
    blocks = len(case_model.transformer.transformer_blocks) + len(case_model.transformer.single_transformer_blocks)
    assert called == ["native"] * blocks * SPEC.num_inference_steps


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("cudnn", "needs a CUDA device"),
        ("flash", "pip install flash-attn"),
        ("flash-3", "Dao-AILab/flash-attention"),
        ("sage", "thu-ml/SageAttention"),
        ("xformers", "pip install xformers"),
    ],
)
def test_what_cannot_compute_here_is_refused_by_name(sampler: Sampler, name: str, package: str) -> None:
    """On a CPU only SDPA computes; the error says so, and which package the backend would need."""
    with pytest.raises(AttentionUnavailable, match=package) as caught:
        sampler.section(replace(SPEC, attention=name), 0, case_conditioning(GOLDEN / "i2v_true_cfg"), None)
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


@pytest.fixture
def cudnn_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, ...]]:
    """Arguments of torch's attention while cuDNN is the only kernel allowed; a CPU's own kernel answers."""
    real: Any = torch.nn.functional.scaled_dot_product_attention
    calls = list[tuple[torch.Tensor, ...]]()

    def spied(*views: torch.Tensor, **options: Any) -> Any:
        if not torch.backends.cuda.cudnn_sdp_enabled() or torch.backends.cuda.math_sdp_enabled():
            return real(*views, **options)
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
            made = real(*views, **options)
        calls.append((*views, made))
        return made

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spied)
    return calls


def test_cudnn_reads_the_tensors_where_they_lie(cudnn_calls: list[tuple[torch.Tensor, ...]]) -> None:
    """Query, key and value reach it as views, and its answer is given on as a view: nothing is copied."""
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn((1, 300, 2, 64), generator=generator).bfloat16() for _ in range(3)]
    made = attend("cudnn", *given)
    ((*views, answer),) = cudnn_calls
    for view, tensor in zip(views, given, strict=True):
        assert view.data_ptr() == tensor.data_ptr()
        assert (view.shape, view.stride()) == ((1, 2, 300, 64), (300 * 2 * 64, 64, 2 * 64, 1))
    assert made.data_ptr() == answer.data_ptr()
    assert torch.equal(made, attend("sdpa", *given))


def test_the_blocks_layout_is_one_that_cudnn_takes(cudnn_calls: list[tuple[torch.Tensor, ...]]) -> None:
    """Each block of the transformer gives tensors of tokens, heads, numbers, without gaps: the bits are torch's own."""
    spec, cond = replace(SPEC, num_inference_steps=1), case_conditioning(GOLDEN / "i2v_true_cfg")
    parts = load_case_model(GOLDEN / "tiny_model")
    parts.transformer.to(torch.bfloat16)
    wanted = Sampler(*parts).section(spec, 0, cond, None).latents
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("framepack_engine.sampling.attention.check_attention", lambda *_, **__: None)
        made = Sampler(*parts).section(replace(spec, attention="cudnn"), 0, cond, None).latents
    assert len(cudnn_calls) == len(parts.transformer.transformer_blocks) + len(
        parts.transformer.single_transformer_blocks
    )
    for *views, _ in cudnn_calls:
        for view in views:
            assert view.transpose(1, 2).is_contiguous()
    assert torch.equal(made, wanted)


def test_it_is_part_of_the_numeric_class(sampler: Sampler) -> None:
    """Two attentions are two classes; what a worker says of itself leaves it open."""
    assert len({sampler.numeric_class_of(replace(SPEC, attention=name)) for name in ATTENTIONS}) == len(ATTENTIONS)
    assert "-sdpa-" in sampler.numeric_class_of(SPEC)
    assert sampler.numeric_class_of(SPEC).replace("-sdpa", "") == sampler.numeric_class
    with pytest.raises(InvalidSpec, match="attention='eager'"):
        replace(SPEC, attention="eager")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_farm_understands_every_class(precision: str, compiled: bool) -> None:
    """Each class that the engine can write is taken apart into the device, the attention and the threads."""
    cpu = torch.device("cpu")
    own = parse_class(numeric_class(cpu, torch.bfloat16, precision=precision, compiled=compiled))
    assert (own.attention, own.threads) == (None, torch.get_num_threads())
    assert len(own.traits) == 2
    for name in ATTENTIONS:
        text = numeric_class(cpu, torch.bfloat16, attention=name, precision=precision, compiled=compiled)
        assert parse_class(text) == own._replace(attention=name)
        assert parse_class(text.partition("@")[0]) == own._replace(attention=name, traits=frozenset())


H100 = AttentionFacts(capability=(9, 0), cudnn=91_900)


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (H100, "cudnn"),
        (replace(H100, flash_3=True), "flash-3"),
        (replace(H100, flash_3=True, cudnn=0), "flash-3"),
        (replace(H100, cudnn=91_500), "sdpa"),  # wrong where the length is no multiple of 128
        (replace(H100, cudnn=91_501), "cudnn"),
        (replace(H100, head_dim=192), "sdpa"),
        (replace(H100, head_dim=192, flash_3=True), "flash-3"),
        (replace(H100, half=False, flash_3=True), "sdpa"),
        (replace(H100, capability=(8, 9), flash_3=True), "sdpa"),  # FlashAttention 3 is Hopper's
        (replace(H100, capability=(8, 0)), "sdpa"),
        (replace(H100, capability=(10, 0)), "sdpa"),  # torch's own takes cuDNN there
        (replace(H100, capability=(12, 0)), "sdpa"),
        (AttentionFacts(capability=None), "sdpa"),
    ],
)
def test_the_choice_by_device_is_a_pure_function(facts: AttentionFacts, wanted: str) -> None:
    """Hopper in half precision has two that are exact, deterministic and faster; everything else keeps torch's own."""
    assert best_attention(facts) == wanted


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A CPU that says it is an H100 with cuDNN 9.19, whose trial is a short one."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91_900)
    real = trial_fault

    def short(name: str, **where: Any) -> str:
        return real(name, **where | {"device": torch.device("cpu"), "tokens": 300, "heads": 2})

    monkeypatch.setattr(attention_trial, "trial_fault", short)
    return torch.device("cuda")


def changed(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let cuDNN's place in diffusers' registry be taken by torch's own on this CPU, its answer changed."""
    backends = attention_dispatch._AttentionBackendRegistry._backends
    native = backends[AttentionBackendName.NATIVE]
    monkeypatch.setitem(backends, AttentionBackendName._NATIVE_CUDNN, lambda **given: change(native(**given)))


def test_what_passes_its_trial_is_taken(hopper: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own numbers, under cuDNN's name: within the bound, the same twice."""
    changed(monkeypatch, lambda made: made)
    assert device_attention(hopper, torch.bfloat16) == "cudnn"
    assert device_attention(hopper, torch.float32) == "sdpa"


def zeroed_end(made: torch.Tensor) -> torch.Tensor:
    """The last queries are not written: what cuDNN did before 9.15.1 where 128 is no divisor."""
    made[:, -44:] = 0
    return made


def broken(_: torch.Tensor) -> torch.Tensor:
    """As torch raises it where no kernel fits."""
    raise RuntimeError("No available kernel. Aborting execution.")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (zeroed_end, "from a softmax in float32"),
        (lambda made: made * torch.nan, "nan from a softmax"),
        (lambda made: made + 1e-5 * torch.randn_like(made), "two calls gave different bits"),
        (lambda made: made * 1.06, "are 0.0"),
        (broken, "RuntimeError: No available kernel"),
    ],
)
def test_what_fails_its_trial_is_not_taken(
    hopper: torch.device, change: Any, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong, wavering or raising: torch's own is kept, and the log says why."""
    changed(monkeypatch, change)
    assert device_attention(hopper, torch.bfloat16) == "sdpa"
    assert why in caplog.text
    assert "attention_refused: cudnn" in caplog.text


def test_a_full_device_says_nothing_about_an_attention(hopper: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory in the trial is an error of its own: otherwise the numeric class would depend on what else runs."""

    def full(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    changed(monkeypatch, full)
    with pytest.raises(torch.OutOfMemoryError):
        device_attention(hopper, torch.bfloat16)


def test_after_one_that_fails_comes_the_next(hopper: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of FlashAttention 3 that cannot be called (there is none here) leaves cuDNN its turn."""
    changed(monkeypatch, lambda made: made)
    monkeypatch.setattr(attention_trial, "has_flash_3", lambda: True)
    assert device_attention(hopper, torch.bfloat16) == "cudnn"


def test_a_device_that_breaks_in_the_trial_is_not_used_further(
    hopper: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """CUDA's own errors stay in the process: it must end, and the log names the setting that leaves the trial out."""

    def lost(_: torch.Tensor) -> torch.Tensor:
        raise torch.AcceleratorError("an illegal memory access was encountered")

    changed(monkeypatch, lost)
    with pytest.raises(torch.AcceleratorError):
        device_attention(hopper, torch.bfloat16)
    assert "FARM_ATTENTION=sdpa" in caplog.text


def test_torch_s_own_passes_the_trial_here() -> None:
    """The bound is wide enough for bfloat16: on this CPU it is kept by a factor of three."""
    where: dict[str, Any] = {"device": torch.device("cpu"), "heads": 2, "head_dim": 128, "tokens": 1000}
    assert trial_fault("sdpa", dtype=torch.bfloat16, **where) == ""
    assert trial_fault("sdpa", dtype=torch.bfloat16, bound=BOUND / 3, **where) == ""


def test_a_video_keeps_the_attention_of_its_first_worker() -> None:
    """`auto` is nobody's before the first commit, then what the class says, not what another worker prefers."""
    request = VideoRequest(prompt="a cat", model="tiny")
    assert request.attention == "auto"
    assert need_for(request, "section", None).attention is None
    for name in ATTENTIONS:
        for pinned in (f"cuda-nvidia_h100-bfloat16-{name}", f"cpu-avx2-float32+int8-{name}-t4@amd,torch2.13.0"):
            assert attention_of(pinned) == name
            need = need_for(request, "section", pinned)
            assert need.attention == name
            assert need.numeric_class == parse_class(pinned)._replace(attention=None, threads=None)
            mixed = need_for(request.model_copy(update={"allow_mixed": True}), "section", pinned)
            assert (mixed.attention, mixed.numeric_class) == (None, None)
    assert attention_of("cuda-nvidia_h100-bfloat16+compiled") is None


def test_a_worker_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """FARM_ATTENTION names it, `auto` leaves it to the device; one that cannot compute here keeps the worker away."""
    settings = FarmSettings(cpu_threads=1)
    card = describe_device("w", node="n", settings=settings)
    assert (settings.attention, card.attention) == ("auto", "sdpa")
    assert fits(card, need_for(VideoRequest(prompt="a", model="tiny"), "section", f"{card.numeric_class}"))
    with pytest.raises(AttentionUnavailable, match="needs a CUDA device"):
        describe_device("w", node="n", settings=settings.replaced(attention="cudnn"))
