"""The device's rates at the model's own shapes: matrix products, attentions, copies, and its context's size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import linear, scaled_dot_product_attention

from framepack_engine.memory.ladder import GIB
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.planning.attention_choice import has_flash_3
from framepack_engine.sampling.numeric import default_dtype
from lab.bench.device.machine import seconds_of
from lab.bench.device.models import full_size
from lab.bench.device.row import four_digits
from lab.bench.device.site import Site
from lab.bench.random_model import PROMPT_TOKENS

_TERA, _GIGA = (1e12, "TFLOP/s"), (1e9, "GB/s")
_OTHER_TOKENS = (1, 16, 39)  #: more than the usual prompt's


def facts(site: Site) -> Iterator[dict[str, Any]]:
    """Measure each fact; one that this device cannot do is a line with its error."""
    yield from _products(site)
    yield from _attentions(site)
    yield from _copies(site)
    if site.on_gpu:
        free, total = torch.cuda.mem_get_info(site.device)
        beside = total - free - torch.cuda.memory_reserved(site.device)
        yield {"part": "used beside torch's allocator, context and libraries", "gib": round(beside / GIB, 2)}


def _fact(
    what: str, amount: float, work: Callable[[], object], site: Site, *, unit: tuple[float, str] = _TERA
) -> dict[str, Any]:
    """Time `work` and return its median. amount: operations or bytes of one call."""
    try:
        taken = median(seconds_of(work, site.device, times=7))
    except (RuntimeError, NotImplementedError) as err:
        return {"part": what, "error": f"{type(err).__name__}: {str(err).partition(chr(10))[0][:200]}"}
    return {
        "part": what,
        "ms": four_digits(1000 * taken),
        "rate": four_digits(amount / taken / unit[0]),
        "unit": unit[1],
    }


def _tokens(site: Site) -> int:
    return workload_of(site.spec).tokens(full_size(site.model), text_tokens=PROMPT_TOKENS)


def _products(site: Site) -> Iterator[dict[str, Any]]:
    """A block's four shapes of linear layers: in the model's dtype, float8 with rows scaled, and int8."""
    width, tokens, device = full_size(site.model).dim, _tokens(site), site.device
    dtype = default_dtype(device)
    for inner, outer in ((width, width), (width, 4 * width), (4 * width, width), (5 * width, width)):
        x, weight = (torch.randn(rows, inner, device=device, dtype=dtype) for rows in (tokens, outer))
        bias = torch.randn(outer, device=device, dtype=dtype)
        packed, packed_weight = x.to(torch.float8_e4m3fn), weight.to(torch.float8_e4m3fn)
        few, few_weight = (
            torch.randint(-9, 9, (rows, inner), device=device, dtype=torch.int8) for rows in (tokens, outer)
        )
        ways: dict[str, Callable[[], object]] = {
            str(dtype).removeprefix("torch."): partial(linear, x, weight, bias),
            "float8 rowwise": partial(_scaled, packed, packed_weight, fast=False),
            "float8 rowwise, fast accumulation": partial(_scaled, packed, packed_weight, fast=True),
            "int8": partial(torch._int_mm, few, few_weight.t()),  # noqa: SLF001 - what torchao calls
        }
        for name, work in ways.items():
            yield _fact(f"{name} {tokens}x{inner} -> {outer}", 2.0 * tokens * inner * outer, work, site)


def _scaled(x: Tensor, weight: Tensor, *, fast: bool) -> Tensor:
    rows, columns = (torch.ones(size, device=x.device) for size in ((len(x), 1), (1, len(weight))))
    return torch._scaled_mm(  # noqa: SLF001 - what torchao calls
        x, weight.t(), scale_a=rows, scale_b=columns, out_dtype=torch.bfloat16, use_fast_accum=fast
    )


def _attentions(site: Site) -> Iterator[dict[str, Any]]:
    """One layer's attention by each kernel: what sdpa chooses, cuDNN in two layouts, FlashAttention 2 and 3."""
    size, tokens, device = full_size(site.model), _tokens(site), site.device
    flops, dtype = 4.0 * tokens * tokens * size.dim, default_dtype(device)

    def drawn(tokens: int) -> list[Tensor]:
        shape = (1, tokens, size.heads, size.dim // size.heads)
        return [torch.randn(shape, device=device, dtype=dtype) for _ in range(3)]

    def forced(backend: SDPBackend, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(query, key, value)

    plain = drawn(tokens)
    query, key, value = (tensor.transpose(1, 2) for tensor in plain)
    chosen = SDPBackend(torch._fused_sdp_choice(query, key, value))  # noqa: SLF001 - torch tells it nowhere else
    yield {"part": "sdpa chooses", "kernel": chosen.name}
    ways: dict[str, Callable[[], object]] = {
        "sdpa": partial(scaled_dot_product_attention, query, key, value),
        "cudnn": partial(forced, SDPBackend.CUDNN_ATTENTION, query, key, value),
        "cudnn, copied to BHSD and back as diffusers does": lambda: (
            forced(SDPBackend.CUDNN_ATTENTION, *(view.contiguous() for view in (query, key, value)))
            .transpose(1, 2)
            .contiguous()
        ),
        "flash 2": partial(forced, SDPBackend.FLASH_ATTENTION, query, key, value),
    }
    if has_flash_3():
        ways["flash 3"] = lambda: import_module("flash_attn_interface").flash_attn_func(*plain)
    for name, work in ways.items():
        yield _fact(f"attention {name}, {tokens} tokens", flops, work, site)
    if site.on_gpu:
        yield from _first_calls(
            site, lambda more: forced(SDPBackend.CUDNN_ATTENTION, *(t.transpose(1, 2) for t in drawn(tokens + more)))
        )


def _first_calls(site: Site, work: Callable[[int], object]) -> Iterator[dict[str, Any]]:
    """Time cuDNN at the length of another prompt: its first call at a number of tokens makes a plan."""
    for more in _OTHER_TOKENS:
        torch.cuda.synchronize(site.device)
        begun = time.perf_counter()
        work(more)
        torch.cuda.synchronize(site.device)
        yield {
            "part": f"attention cudnn, first call with {more} tokens more",
            "ms": four_digits(1000 * (time.perf_counter() - begun)),
        }


def _copies(site: Site) -> Iterator[dict[str, Any]]:
    """Copies on the device, from pageable memory, and from the same memory registered in place."""
    size = (1 << 30) if site.on_gpu else 1 << 20
    here, there = (torch.empty(size, dtype=torch.uint8, device=site.device) for _ in range(2))
    yield _fact("copy on the device, read and written", 2.0 * size, lambda: here.copy_(there), site, unit=_GIGA)
    home = torch.zeros(size, dtype=torch.uint8)
    yield _fact("copy from pageable memory", size, lambda: here.copy_(home), site, unit=_GIGA)
    if not site.on_gpu:
        return
    for what, memory in (("touched", home), ("never touched", torch.empty(4 << 30, dtype=torch.uint8))):
        begun, runtime = time.perf_counter(), torch.cuda.cudart()
        torch.cuda.check_error(runtime.cudaHostRegister(memory.data_ptr(), memory.nbytes, 0))
        taken = time.perf_counter() - begun
        yield {"part": f"register {memory.nbytes >> 30} GiB of host memory, {what}", "ms": four_digits(1000 * taken)}
        if memory is home:
            yield _fact(
                "copy from registered memory", size, lambda: here.copy_(home, non_blocking=True), site, unit=_GIGA
            )
        torch.cuda.check_error(runtime.cudaHostUnregister(memory.data_ptr()))
