"""Plan books that begin at a chosen rung, on a device with room for everything."""

from __future__ import annotations

from framepack_engine.memory.ladder import GIB, ladder
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.model_size import ModelSize
from framepack_engine.planning.spec import RenderSpec


def book_from(rung: int, size: ModelSize, spec: RenderSpec, *, mapped: bool = False, counted: bool = False) -> PlanBook:
    """Return a book in which the larger plans of `spec` have failed. mapped: the machine has too little memory."""
    book = PlanBook(size=size, device_bytes=GIB << 4, host_bytes=GIB if mapped else GIB << 4, counted=counted)
    work = workload_of(spec)
    for plan in ladder(size, work):
        if plan.rung < rung:
            book.too_large(work, plan)
    return book
