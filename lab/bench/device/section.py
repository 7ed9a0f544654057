"""One section by the farm's own renderer, on the device at hand: a section row.

Counts, bits and bytes are the same on any device; times mean something on a GPU. Each row makes a model of its own, so
that nothing of an earlier row is in its memory.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from framepack_engine.kernels.blocks import compute_exactly
from framepack_engine.memory.budget import LiveBytes
from framepack_engine.memory.ladder import GIB, ladder, usable_bytes
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.compiled import compile_blocks
from framepack_engine.models.model_size import ModelSize
from framepack_engine.models.precision import apply_precision
from framepack_engine.models.weights import weights_of
from framepack_engine.pipeline import Sampler
from framepack_engine.planning.spec import RenderSpec
from lab.bench.device.cases import Case
from lab.bench.device.copy_watch import CopyWatch, watched_copier
from lab.bench.device.machine import Machine, capped, clean, finish
from lab.bench.device.models import Make
from lab.bench.device.row import Row, forward_flops
from lab.bench.device.sync_copies import SyncCopies
from lab.bench.random_model import PROMPT_TOKENS, RandomParts, random_conditioning

_USUAL_STEPS = 25
_FRAMES_A_LATENT = 4
_HOST = torch.device("cpu")


def measure(
    case: Case, make: Make, spec: RenderSpec, *, machine: Machine, stock: Tensor | None = None, home_bytes: int = 0
) -> tuple[Row, Tensor | None]:
    """Render one section by `case`, after one of two steps that does not count.

    spec: its first step does not count either. stock: the latents of the stock forward, to compare with. home_bytes:
    what the model takes of the host's memory if it is not all on the device.
    Returns: the row and the latents; None if it could not be measured, and the row says why.
    """
    device = machine.device
    clean(device)
    resident = case.way == "stock" or (case.cap_bytes is None and not case.rung)
    if not resident and home_bytes > machine.host_bytes:
        short = f"the model's home takes {home_bytes / GIB:.1f} GiB of the machine's {machine.host_bytes / GIB:.1f}"
        return Row(row=case.name, error=short), None
    spec = replace(spec, cache=case.cache, attention=case.attention or spec.attention)
    try:
        with _held(case, make(device if resident else _HOST), spec, machine) as held:
            return _measured(case, held, spec, machine=machine, stock=stock)
    except Exception as err:  # noqa: BLE001 - border: the error is the row
        short = f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
    clean(device)  # not inside of `except`: its traceback holds every tensor
    return Row(row=case.name, error=short), None


@dataclass(slots=True, kw_only=True)
class _Held:
    """A renderer that holds its model in the way of a case. count: watches the CPU's memory if no budget does."""

    parts: RandomParts
    size: ModelSize
    renderer: Sampler
    sync: SyncCopies | None = None
    count: LiveBytes | None = None

    def copied(self) -> int:
        """Bytes of weights that came to the device so far."""
        if self.sync is not None:
            return self.sync.copied
        return 0 if self.renderer.tenancy is None else self.renderer.tenancy.budget.brought

    def watching(self) -> AbstractContextManager[Any]:
        return self.count or nullcontext()

    def begin_peak(self) -> None:
        if self.renderer.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.renderer.device)
        if self.count is not None:
            self.count.peak = self.count.live
        if self.renderer.tenancy is not None:
            self.renderer.tenancy.budget.peak = 0

    def peak(self) -> int:
        """Bytes of tensors at most since then."""
        if self.renderer.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.renderer.device)
        if self.count is not None:
            return self.count.peak
        return 0 if self.renderer.tenancy is None else self.renderer.tenancy.budget.peak

    def reserved(self) -> int | None:
        """Bytes that torch's allocator held at most since then; None on a CPU."""
        on_gpu = self.renderer.device.type == "cuda"
        return torch.cuda.max_memory_reserved(self.renderer.device) if on_gpu else None


@contextmanager
def _held(case: Case, parts: RandomParts, spec: RenderSpec, machine: Machine) -> Iterator[_Held]:
    """Hold the model as the case wants it, on a device of the case's size."""
    device = machine.device
    apply_precision(parts.transformer, case.precision, device=device)
    if case.kernels == "compiled":
        torch.compiler.reset()
        compile_blocks(parts.transformer)
    elif case.kernels == "exact":
        compute_exactly(parts.transformer)
    size = parts.size()
    on_cpu, cap = device.type == "cpu", case.cap_bytes or machine.total_bytes
    with capped(device, case.cap_bytes):
        if case.way == "plan":
            book = PlanBook(size=size, device_bytes=cap, host_bytes=machine.host_bytes, counted=on_cpu)
            for plan in ladder(size, workload_of(spec))[: case.rung]:
                book.too_large(workload_of(spec), plan)
            renderer = Sampler(parts.transformer, parts.vae, device=str(device), book=book)
            try:
                yield _Held(parts=parts, size=size, renderer=renderer)
            finally:
                renderer.close()
            return
        renderer = Sampler(parts.transformer, parts.vae, device=str(device))  # it widens the last layer: before copies
        sync = None
        if case.way == "sync":
            everything = ladder(size, workload_of(spec))[0]
            computing = everything.section_bytes - sum(tensor.nbytes for tensor in weights_of(_modules(parts)))
            room = usable_bytes(cap) - computing - size.largest_hoisted_bytes
            sync = SyncCopies(parts.transformer, device, resident_bytes=room)
        resident = sum(t.nbytes for t in weights_of(_modules(parts))) if sync is None else sync.resident
        count = LiveBytes(base=resident) if on_cpu else None
        yield _Held(parts=parts, size=size, renderer=renderer, sync=sync, count=count)
        if sync is not None:
            sync.close()


def _modules(parts: RandomParts) -> list[torch.nn.Module]:
    return [parts.transformer, parts.vae]


@dataclass(slots=True)
class _Laps:
    """The times of the steps and forwards of one section."""

    device: torch.device
    steps: list[float] = field(default_factory=list)
    forwards: list[tuple[Any, Any]] = field(default_factory=list)
    begun: Any = None

    def begin(self, *_: Any) -> None:
        self.begun = self._now()

    def end(self, *_: Any) -> None:
        self.forwards.append((self.begun, self._now()))

    def step(self) -> None:
        finish(self.device)
        self.steps.append(time.perf_counter())

    def forward_s(self, ran: tuple[int, ...]) -> float:
        """Return the median of the forwards whose blocks ran, without the first step's."""
        timed = [
            begin.elapsed_time(end) / 1000 if self.device.type == "cuda" else end - begin
            for (begin, end), blocks in list(zip(self.forwards, ran, strict=True))[1:]
            if blocks
        ]
        return float(statistics.median(timed))

    def step_s(self) -> float:
        """Return the mean of all steps but the first."""
        return statistics.mean(now - before for before, now in pairwise(self.steps))

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event


def _measured(
    case: Case, held: _Held, spec: RenderSpec, *, machine: Machine, stock: Tensor | None
) -> tuple[Row, Tensor]:
    renderer, laps, watch, copied = held.renderer, _Laps(machine.device), CopyWatch(machine.device), list[int]()
    transformer, tenancy = held.parts.transformer, renderer.tenancy
    conditioning = random_conditioning(held.parts, height=spec.height, width=spec.width)

    def stepped(_: object) -> None:
        laps.step()
        copied.append(held.copied())
        if len(copied) == 1:
            watch.forget()

    if tenancy is not None:
        tenancy.budget.copier = watched_copier(machine.device, watch)
    with held.watching():
        renderer.section(replace(spec, num_inference_steps=2), 0, conditioning, None)
        held.begin_peak()
        hooks = [
            transformer.register_forward_pre_hook(laps.begin, prepend=True),
            transformer.register_forward_hook(laps.end),
        ]
        made = renderer.section(spec, 0, conditioning, None, on_step=stepped)
    for hook in hooks:
        hook.remove()
    gigabytes = (copied[-1] - copied[0]) / 1e9
    row = Row(
        row=case.name,
        plan=None if tenancy is None or tenancy.plan is None else tenancy.plan.words,
        steps=spec.num_inference_steps,
        forwards=sum(made.forwards),
        s_per_forward=laps.forward_s(made.forwards),
        s_per_step=laps.step_s(),
        s_per_frame=laps.step_s() * _USUAL_STEPS / (_FRAMES_A_LATENT * spec.latent_window_size),
        peak_gib=held.peak() / GIB,
        reserved_gib=None if (reserved := held.reserved()) is None else reserved / GIB,
        predicted_gib=None if tenancy is None or tenancy.plan is None else tenancy.plan.section_bytes / GIB,
        copied_gb=gigabytes / (len(copied) - 1),
        copy_gb_s=gigabytes / watch.copied_s if watch.copies else None,
        hidden=watch.hidden,
        off=None if stock is None else float((made.latents - stock).norm() / stock.norm()),
    )
    return with_rates(row, held.size, spec, machine), made.latents


def with_rates(row: Row, size: ModelSize, spec: RenderSpec, machine: Machine) -> Row:
    """Add what the device computes a second."""
    flops = forward_flops(size, workload_of(spec), text_tokens=PROMPT_TOKENS)
    tflops = flops / (row.s_per_forward or 1.0) / 1e12
    peak = machine.data_sheet_tflops
    return replace(
        row,
        tflops=tflops,
        mfu=None if peak is None else tflops / peak,
        of_matmul=tflops / machine.matmul_tflops,
    )
