"""Where weights lie changes no bit: resident, hoisted, streamed and read from a file; and running out of memory."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from framepack_engine import Renderer, RenderSpec, Sampler, SectionState, StepState
from framepack_engine.conformance import CaseModel, case_conditioning, load_case_model, run_conformance
from framepack_engine.errors import DeviceTooSmall, OutOfMemory
from framepack_engine.memory.budget import Budget
from framepack_engine.memory.ladder import GIB, RESERVE_BYTES, MemoryPlan, Workload, ladder
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.placement import Placement
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.streaming import Guest
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.precision import apply_precision
from framepack_engine.models.shelf import Models
from framepack_engine.models.weights import weights_of
from framepack_engine.planning.prompts import TimedPrompt
from tests.imports import ROOT
from tests.plan_books import book_from

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = ROOT / "tests" / "golden"
COND = case_conditioning(GOLDEN / "i2v_true_cfg")
SPEC = RenderSpec(
    kind="i2v",
    sections=2,
    height=80,
    width=112,
    seed=5,
    prompt="",
    latent_window_size=1,
    num_inference_steps=3,
)
SPECS = {
    "plain": SPEC,
    "true cfg": replace(SPEC, true_cfg_scale=2.0),
    "f1": replace(SPEC, kind="f1"),
    "teacache": replace(SPEC, cache="teacache", cache_threshold=1.0, true_cfg_scale=2.0),
    "first_block": replace(SPEC, cache="first_block", cache_threshold=1.0),
    "magcache": replace(SPEC, cache="magcache", cache_threshold=0.3, cache_ratios=(1.0, 1.1, 0.9)),
    "taylorseer": replace(SPEC, cache="taylorseer", cache_threshold=3),
}


@pytest.fixture(scope="module")
def case_model() -> Any:
    """The parts that golden cases are made with."""
    return load_case_model(GOLDEN / "tiny_model")


@pytest.fixture(scope="module")
def plain(case_model: Any) -> Sampler:
    """A renderer whose model simply lies there."""
    return Sampler(*copy.deepcopy(case_model))


def book_at(models: Any, rung: int, *, mapped: bool = False, counted: bool = False) -> PlanBook:
    """A book with room for all that gives plans from `rung` on."""
    size = count_model(models.transformer, vae=models.vae)
    return book_from(rung, size, SPEC, mapped=mapped, counted=counted)


def rungs_of(models: Any) -> list[MemoryPlan]:
    """The ladder of a model at the size of the tests."""
    return ladder(count_model(models.transformer, vae=models.vae), workload_of(SPEC))


def test_every_rung_of_every_kind_of_video_has_the_same_bits(plain: Sampler, case_model: Any) -> None:
    """A section and its decode, with each cache and each way of guidance, on each plan of the ladder."""
    wanted = {name: plain.section(spec, 0, COND, None) for name, spec in SPECS.items()}
    second = plain.section(SPEC, 1, COND, wanted["plain"])
    latents = {0: wanted["plain"].latents, 1: second.latents}
    frames = plain.decode(SPEC, 1, COND, latents)
    plans = rungs_of(case_model)
    assert {(plan.keeps, bool(plan.streamed)) for plan in plans} == {
        ("all", False),
        ("transformer", False),
        ("nothing", False),
        ("nothing", True),
    }
    for plan in (*plans[:3], plans[-1]):
        for mapped in (False, True) if plan.streamed else (False,):
            renderer = Sampler(*case_model, book=book_at(case_model, plan.rung, mapped=mapped))
            for name, spec in SPECS.items() if plan == plans[-1] and not mapped else [("plain", SPEC)]:
                made = renderer.section(spec, 0, COND, None)
                assert made.to_bytes() == wanted[name].to_bytes(), (plan.words, name)
            assert renderer.section(SPEC, 1, COND, wanted["plain"]).to_bytes() == second.to_bytes()
            assert torch.equal(renderer.decode(SPEC, 1, COND, latents), frames)
            assert renderer.tenancy is not None
            assert renderer.tenancy.plan is not None
            assert (renderer.tenancy.plan.rung, renderer.tenancy.plan.mapped) == (plan.rung, mapped)
            renderer.close()


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_half_precision_has_the_same_bits_on_every_plan(case_model: Any, precision: str) -> None:
    """As a GPU computes: in bfloat16, with whole and with packed weights, hoisted, streamed and read from the file."""
    models, spec = copy.deepcopy(case_model), replace(SPEC, num_inference_steps=2)
    models.transformer.to(torch.bfloat16)
    apply_precision(models.transformer, precision)
    at_home = Sampler(*models)
    assert "-bfloat16" in at_home.numeric_class
    wanted, plans = at_home.section(spec, 0, COND, None), rungs_of(models)
    assert plans[-1].streamed == plans[-1].blocks
    ways = [(1, False), (2, False), (plans[-1].rung, False)]
    ways += [(plans[-1].rung, True)] if precision == "bf16" else []  # what is packed lies in no file
    for rung, mapped in ways:
        renderer = Sampler(*models, book=book_at(models, rung, mapped=mapped))
        assert renderer.section(spec, 0, COND, None).to_bytes() == wanted.to_bytes(), (rung, mapped)
        assert renderer.tenancy is not None
        assert renderer.tenancy.plan is not None
        assert (renderer.tenancy.plan.rung, renderer.tenancy.plan.mapped) == (rung, mapped)
        renderer.close()


def test_golden_cases_pass_hoisted_and_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference's own numbers, with every block streamed and everything hoisted."""
    monkeypatch.setattr(
        "framepack_engine.conformance.Sampler",
        lambda *parts: Sampler(*parts, book=streaming_book(CaseModel(*parts))),
    )
    results = list(run_conformance(GOLDEN, ["i2v_1_section"]))
    assert [result.passed for result in results] == [True], results


def streaming_book(models: Any) -> PlanBook:
    """A book whose every plan streams all blocks."""
    size = count_model(models.transformer, vae=models.vae)
    last = ladder(size, Workload())[-1].rung

    class Streaming(PlanBook):
        def plan(self, work: Workload, *, preserve_bytes: int | None = None, below: int = -1) -> MemoryPlan:
            return super().plan(work, preserve_bytes=preserve_bytes, below=max(below, last - 1))

    return Streaming(size=size, device_bytes=GIB << 4, host_bytes=GIB << 4, counted=False)


def test_a_job_s_tables_are_made_once(case_model: Any) -> None:
    """One table a distinct prompt, for all its steps and sections; another guidance scale is another table."""
    spec = replace(SPEC, sections=4, true_cfg_scale=2.0, prompts=(TimedPrompt(at_s=0.25, text="b"),))
    timed = replace(COND, timed=((COND.prompt_embeds.flip(1), COND.pooled_prompt_embeds.flip(1)),))
    renderer = Sampler(*case_model, book=book_at(case_model, 1))
    states: list[SectionState] = []
    for index in range(4):
        states.append(renderer.section(spec, index, timed, states[-1] if states else None))
    hoist = renderer._transformer.hoist
    assert hoist is not None
    assert hoist.made == 3  # two prompts and the negative one
    renderer.section(replace(spec, guidance_scale=3.0), 0, timed, None)
    assert hoist.made == 5
    renderer.close()


def test_hoisted_weights_are_away(case_model: Any) -> None:
    """While steps are made, the device holds the loop's weights and not one byte of the hoisted ones."""
    size = count_model(case_model.transformer, vae=case_model.vae)
    loop = sum(size.block_bytes) + size.rest_bytes
    renderer = Sampler(*case_model, book=book_at(case_model, 2))
    assert renderer.tenancy is not None
    budget, held = renderer.tenancy.budget, list[int]()
    renderer.section(SPEC, 0, COND, None, on_step=lambda _: held.append(budget.held))
    assert held == [loop] * 3
    renderer.close()
    assert budget.held == 0


def test_a_plan_that_keeps_all_brings_what_lies_elsewhere(tiny_models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that were loaded into the machine's memory come to the device once; a part that is kept off it stays."""
    came = list[torch.Tensor]()

    class Booked(Guest):
        """Says what comes: torch lets no CPU tensor's data become another device's but a GPU's."""

        def bring(self) -> None:
            if not self.here:
                self._budget.hold(self.bytes)
                self.here = True
                came.extend(tensor for tensor, _ in self._home)

    monkeypatch.setattr("framepack_engine.memory.placement.Guest", Booked)
    models = replace(tiny_models, elsewhere=frozenset({"text_encoder"}))
    wanted = weights_of([models.transformer, models.vae, models.text_encoder_2, models.image_encoder])
    budget = Budget(torch.device("meta"))
    placement = Placement(models.movable, rungs_of(models)[0], budget=budget)
    placed = replace(models, places=placement)
    for stage in ("section", "decode", "encode"):
        with placement.stage(stage), placed.visiting("image_encoder") as device:
            assert device.type == "meta"
            assert placed.device_of("text_encoder").type == "cpu"
        assert {id(tensor) for tensor in came} == {id(tensor) for tensor in wanted}
        assert len(came) == len(wanted)
        assert budget.held == sum(tensor.nbytes for tensor in wanted)
    placement.close()
    assert budget.held == 0


def cramped(models: Any, room: int) -> PlanBook:
    """A book that believes forwards to be nearly free, on a device of `room` usable bytes."""
    size = replace(count_model(models.transformer, vae=models.vae), dim=1, heads=0, vae_channels=0)
    return PlanBook(size=size, device_bytes=room + RESERVE_BYTES, host_bytes=GIB << 4)


@pytest.fixture(scope="module")
def taken(case_model: Any) -> dict[int, int]:
    """Bytes that rungs really take in a section, as the budget counts them."""
    found, plans = {}, rungs_of(case_model)
    for plan in (*plans[:2], plans[-1]):
        renderer = Sampler(*case_model, book=book_at(case_model, plan.rung, counted=True))
        renderer.section(replace(SPEC, num_inference_steps=2), 0, COND, None)
        assert renderer.tenancy is not None
        found[plan.rung] = renderer.tenancy.budget.peak
        renderer.close()
    return found


def test_predictions_hold(case_model: Any, taken: dict[int, int]) -> None:
    """No section takes more than its plan said."""
    for plan in rungs_of(case_model):
        assert taken.get(plan.rung, 0) <= plan.section_bytes, plan.words


def test_out_of_memory_takes_the_next_smaller_plan_and_the_same_bits(
    plain: Sampler, case_model: Any, taken: dict[int, int]
) -> None:
    """A section that outgrows its plan ends on a smaller one, bit for bit, and the next one begins there."""
    assert taken[0] > taken[1]
    renderer = Sampler(*case_model, book=cramped(case_model, (taken[0] + taken[1]) // 2))
    tenancy = renderer.tenancy
    assert tenancy is not None
    made = renderer.section(SPEC, 0, COND, None)
    assert made.to_bytes() == plain.section(SPEC, 0, COND, None).to_bytes()
    assert tenancy.stepped_down == 1
    assert tenancy.plan is not None
    assert tenancy.plan.rung == 1
    assert tenancy.book.remembered.startswith("112x80 w=1")
    renderer.section(replace(SPEC, num_inference_steps=2), 0, COND, None)
    assert tenancy.stepped_down == 1  # remembered: it does not run out again
    renderer.close()


def test_a_section_goes_on_behind_its_last_step(plain: Sampler, case_model: Any) -> None:
    """Memory that runs out in the middle repeats no finished step: torch's own error, from another tenant's grip."""
    renderer = Sampler(*case_model, book=book_at(case_model, 0, counted=True))
    tenancy = renderer.tenancy
    assert tenancy is not None
    seen: list[int] = []

    def stepped(state: StepState) -> None:
        seen.append(state.step)
        if state.step == 2 and tenancy.stepped_down == 0 and tenancy.budget.cap_bytes is not None:
            tenancy.budget.cap_bytes = tenancy.budget.in_use  # another process has taken the rest

    made = renderer.section(SPEC, 0, COND, None, on_step=stepped)
    assert seen == [1, 2, 3]
    assert tenancy.stepped_down == 1
    assert made.to_bytes() == plain.section(SPEC, 0, COND, None).to_bytes()
    renderer.close()


def test_without_a_smaller_plan_it_says_so(case_model: Any, taken: dict[int, int]) -> None:
    """When the last rung runs out too, the error is ours, names the plan, and what would take less."""
    renderer = Sampler(*case_model, book=cramped(case_model, min(taken.values()) - 1_000_000))
    with pytest.raises(OutOfMemory, match="decode=tiled") as caught:
        renderer.section(SPEC, 0, COND, None)
    assert caught.value.code == "out_of_memory"
    renderer.close()


NO_ENGINE = RuntimeError("GET was unable to find an engine to execute this computation")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no room"), NO_ENGINE])
def test_a_decode_that_no_plan_helps_costs_no_plan(case_model: Any, error: RuntimeError) -> None:
    """All streamed plans decode alike: the decode fails by name, and what makes sections is as it was."""
    renderer = Sampler(*case_model, book=book_at(case_model, rungs_of(case_model)[-2].rung))
    tenancy = renderer.tenancy
    assert tenancy is not None
    before, tried = tenancy.book.remembered, list[MemoryPlan | None]()

    def run_out(_: object) -> None:
        tried.append(tenancy.plan)
        raise error

    for _ in range(3):
        with pytest.raises(OutOfMemory, match="decode=tiled"):
            tenancy.fitted("decode", workload_of(SPEC), run_out)
    assert len(tried) == 3
    assert tenancy.book.remembered == before
    tried.clear()
    with pytest.raises(OutOfMemory):  # a section's plans differ
        tenancy.fitted("section", workload_of(SPEC), run_out)
    assert [plan.rung for plan in tried if plan] == [plan.rung for plan in rungs_of(case_model)[-2:]]
    renderer.close()


def test_what_is_no_lack_of_memory_is_passed_on(case_model: Any) -> None:
    """Another RuntimeError costs no plan."""
    renderer = Sampler(*case_model, book=book_at(case_model, 0))
    tenancy = renderer.tenancy
    assert tenancy is not None

    def fail(_: object) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        tenancy.fitted("decode", workload_of(SPEC), fail)
    assert tenancy.stepped_down == 0
    renderer.close()


def test_no_plan_left_says_so(case_model: Any) -> None:
    """Where all plans ran out, the message names no need of nothing."""
    book = book_at(case_model, rungs_of(case_model)[-1].rung + 1)
    with pytest.raises(DeviceTooSmall, match="no plan is left"):
        book.plan(workload_of(SPEC))


def rendered(renderer: Renderer, spec: RenderSpec, photo: Image.Image) -> tuple[bytes, bytes]:
    """The conditioning and the first section."""
    conditioning = renderer.encode(spec, {"start": photo})
    return conditioning.to_bytes(), renderer.section(spec, 0, conditioning, None).to_bytes()


def test_encoders_visit_and_leave(tiny_models: Models) -> None:
    """A whole video's start on a plan where every part comes and goes: the same embeddings, and no encoder stays on the
    device after an encode, the first one or one between sections.
    """
    spec = replace(SPEC, height=64, width=64, prompt="a cat", true_cfg_scale=2.0)
    photo = Image.new("RGB", (64, 64), "teal")
    wanted = rendered(Renderer(tiny_models), spec, photo)
    size = count_model(**tiny_models.modules)
    for rung in (1, ladder(size, workload_of(spec))[-1].rung):
        renderer = Renderer(tiny_models, book=book_from(rung, size, spec, counted=True))
        assert renderer.tenancy is not None
        budget = renderer.tenancy.budget
        loop, vae = (sum(size.block_bytes) + size.rest_bytes, size.vae_bytes) if rung == 1 else (0, 0)
        renderer.encode(spec, {"start": photo})
        assert budget.held == vae
        assert rendered(renderer, spec, photo) == wanted
        renderer.encode(replace(spec, prompt="a dog"), {"start": photo})
        assert budget.held == loop + vae
        renderer.close()
        assert budget.held == 0
    assert rendered(Renderer(tiny_models), spec, photo) == wanted
