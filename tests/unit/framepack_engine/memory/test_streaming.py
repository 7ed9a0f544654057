"""Streaming: what is copied when, what memory is locked, and the budget that counts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from framepack_engine.memory.budget import Budget, LiveBytes
from framepack_engine.memory.copying import Copier, CudaCopier
from framepack_engine.memory.ladder import Workload, ladder
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.placement import Placement
from framepack_engine.memory.streaming import Guest, Stream
from framepack_engine.models.shelf import Models
from framepack_engine.models.weights import weights_of

pytestmark = pytest.mark.usefixtures("one_thread")


def linear_chain(count: int) -> torch.nn.Sequential:
    """Blocks whose weights are their own numbers."""
    generator = torch.Generator().manual_seed(3)
    blocks = [torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 5)) for _ in range(count)]
    for block in blocks:
        for parameter in block.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return torch.nn.Sequential(*blocks).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_forward_copies_each_block_once(count: int, mapped: bool) -> None:
    """Bytes moved a forward are those of the streamed blocks; with two or fewer nothing moves twice."""
    chain, x = linear_chain(count), torch.ones(2, 5)
    wanted, budget = chain(x), Budget(torch.device("cpu"))
    stream = Stream(list(chain), budget=budget, mapped=mapped)
    stream.bring()
    moved: list[int] = []
    for _ in range(4):
        assert torch.equal(chain(x), wanted)
        moved.append(budget.brought)
    steady = [later - earlier for earlier, later in pairwise(moved)]
    bytes_a_block = 4 * (5 * 7 + 7 + 7 * 5 + 5)
    assert stream.bytes == count * bytes_a_block
    assert steady[-1] == (stream.bytes if count > 2 else 0)
    assert budget.held == stream.device_bytes
    stream.close()
    assert budget.held == 0
    assert torch.equal(chain(x), wanted)


class Runtime:
    """CUDA's runtime, as far as streaming uses it: it locks memory `allowed` times, then refuses."""

    cudaError = SimpleNamespace(success=0)  # noqa: N815 - CUDA's name

    def __init__(self, allowed: int) -> None:
        self.allowed, self.locked, self.error = allowed, set[int](), 0

    def cudaHostRegister(self, address: int, _size: int, _flags: int) -> int:  # noqa: N802 - CUDA's name
        """2 is CUDA's "out of memory"."""
        if len(self.locked) == self.allowed:
            self.error = 2
            return 2
        self.locked.add(address)
        return 0

    def cudaHostUnregister(self, address: int) -> int:  # noqa: N802 - CUDA's name
        """Only what is locked."""
        self.locked.remove(address)
        return 0

    def cudaGetLastError(self) -> int:  # noqa: N802 - CUDA's name
        """It is forgotten with that."""
        error, self.error = self.error, 0
        return error


class LockingCopier(Copier):
    """Locks memory as for a GPU; the CPU makes the copies."""

    def __init__(self) -> None:
        self._cuda = CudaCopier(torch.device("cuda"))

    def lock(self, memory: torch.Tensor) -> bool:
        """By CUDA's runtime."""
        return self._cuda.lock(memory)

    def unlock(self, memory: torch.Tensor) -> None:
        """By CUDA's runtime."""
        self._cuda.unlock(memory)


def locking(allowed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Runtime, LockingCopier]:
    """A copier, and the stand-in for CUDA's runtime that it locks with."""
    runtime = Runtime(allowed)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(torch.cuda, "_cudart", runtime)  # what torch's own check of errors asks
    return runtime, LockingCopier()


@pytest.mark.parametrize("mapped", [False, True])
def test_a_placement_that_fails_leaves_no_memory_locked(
    mapped: bool, tiny_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transformer's blocks are locked when a later part fails: they are unlocked, and no hook stays."""
    runtime, copier = locking(100, monkeypatch)
    plan = replace(ladder(count_model(**tiny_models.modules), Workload(height=64, width=64))[-1], mapped=mapped)
    parts, budget = tiny_models.movable, Budget(torch.device("cpu"), copier=copier)

    class Failing(Guest):
        """Has no room for the last part's home."""

        def __init__(self, tensors: Sequence[torch.Tensor], *, budget: Budget) -> None:
            super().__init__(tensors, budget=budget)
            last = {id(tensor) for tensor in weights_of([parts["image_encoder"]])}
            if last == {id(tensor) for tensor in tensors}:
                assert runtime.locked
                raise MemoryError

    monkeypatch.setattr("framepack_engine.memory.placement.Guest", Failing)
    with pytest.raises(MemoryError):
        Placement(parts, plan, budget=budget)
    assert (runtime.locked, budget.held) == (set(), 0)
    assert not any(layer._forward_pre_hooks for layer in parts["transformer"].transformer_blocks[0].modules())


def test_a_stream_that_fails_leaves_no_memory_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's memory ends at the third block's home."""
    runtime, copier = locking(100, monkeypatch)
    chain, real, made = linear_chain(5), torch.empty, list[int]()

    def ending(*args: Any, **options: Any) -> torch.Tensor:
        made.append(len(runtime.locked))
        if len(made) == 3:
            raise MemoryError
        return real(*args, **options)

    monkeypatch.setattr(torch, "empty", ending)
    with pytest.raises(MemoryError):
        Stream(list(chain), budget=Budget(torch.device("cpu"), copier=copier))
    assert (made, runtime.locked) == ([0, 1, 2], set())


@pytest.mark.parametrize("allowed", [0, 2, 5])
def test_memory_that_cannot_be_locked_is_no_error(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks are locked, or none but the staging; CUDA's error is cleared, and the bits are equal."""
    runtime, copier = locking(allowed, monkeypatch)
    chain, x = linear_chain(5), torch.ones(2, 5)
    wanted, budget = chain(x), Budget(torch.device("cpu"), copier=copier)
    stream = Stream(list(chain), budget=budget)
    assert (len(runtime.locked), runtime.error) == (5 if allowed == 5 else min(allowed, 2), 0)
    stream.bring()
    for _ in range(2):
        assert torch.equal(chain(x), wanted)
    stream.leave()
    stream.close()
    assert runtime.locked == set()
    assert torch.equal(chain(x), wanted)


def test_blocks_that_are_skipped_are_not_copied() -> None:
    """Where a step cache leaves blocks out, their weights stay where they are."""
    chain, x = linear_chain(5), torch.ones(2, 5)
    budget = Budget(torch.device("cpu"))
    stream = Stream(list(chain), budget=budget)
    stream.bring()
    chain(x)
    before = budget.brought
    first = chain[0](x)
    assert budget.brought - before == stream.bytes / 5  # the block behind it, which is then there
    assert torch.equal(chain[0](x), first)
    assert budget.brought - before == stream.bytes / 5
    stream.close()


def test_leaving_copies_nothing_back() -> None:
    """A guest's home copy is the truth: it is the same memory before and after."""
    layer = torch.nn.Linear(4, 4)
    homes = [tensor.data_ptr() for tensor in weights_of([layer])]
    guest = Guest(weights_of([layer]), budget=Budget(torch.device("cpu")))
    guest.bring()
    assert [tensor.data_ptr() for tensor in weights_of([layer])] != homes
    guest.leave()
    assert [tensor.data_ptr() for tensor in weights_of([layer])] == homes


def test_the_budget_counts_what_lives() -> None:
    """Tensors count from their making to their end, views and in-place work not at all."""
    with LiveBytes() as count:
        x = torch.zeros(1000)
        y = x.view(10, 100).t()
        x.add_(1)
        assert count.live == 4000
        z = x + 1
        assert count.live == 8000
        del x, y
        assert count.live == 4000
        del z
    assert (count.live, count.peak) == (0, 8000)


def test_the_budget_raises_torch_s_own_error() -> None:
    """Weights and activations beyond the cap raise torch.OutOfMemoryError."""
    budget = Budget(torch.device("cpu"), cap_bytes=10_000)
    budget.hold(9_000)
    with pytest.raises(torch.OutOfMemoryError, match="limit"):
        budget.hold(1_001)
    with budget.computing(), pytest.raises(torch.OutOfMemoryError):
        torch.zeros(300)
    assert budget.held == 9_000


def test_weights_that_do_not_fit_are_not_counted(tiny_models: Models) -> None:
    """A plan that keeps all on a device that is too small holds nothing after it has failed."""
    plan = ladder(count_model(**tiny_models.modules), Workload(height=64, width=64))[0]
    budget = Budget(torch.device("cpu"), cap_bytes=1000)
    with pytest.raises(torch.OutOfMemoryError):
        Placement(tiny_models.movable, plan, budget=budget)
    assert budget.held == 0
