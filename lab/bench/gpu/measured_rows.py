"""The rows of one process: what measures each, by its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from framepack_engine.errors import AttentionUnavailable
from framepack_engine.sampling.attention import check_attention
from framepack_engine.sampling.numeric import default_dtype
from lab.bench.device.cases import Case
from lab.bench.device.decode import decodes
from lab.bench.device.facts import facts
from lab.bench.device.machine import clean, computes, look_at, versions
from lab.bench.device.models import home_bytes, maker
from lab.bench.device.peaks import Peaks
from lab.bench.device.profile import kernels
from lab.bench.device.section import measure
from lab.bench.device.site import Site
from lab.bench.device.train import stages
from lab.bench.gpu.options import GpuOptions
from lab.bench.gpu.rows import MACHINE, cases_of
from lab.bench.gpu.rows_file import RowsFile

Work = Callable[[], Iterator[dict[str, Any]]]  #: yields parts of a row, then its own cells; either may be left out
_STOCK = "stock.safetensors"


class MeasuredRows:
    """Measures rows on one device."""

    def __init__(self, options: GpuOptions) -> None:
        device = torch.device(options.device)
        file = RowsFile(options.out / "rows.jsonl")
        known = file.ended()[MACHINE] if MACHINE in file.finished() else None  # a row that failed has no rates
        self._site = Site(
            machine=look_at(device, host_bytes=options.host_bytes, known=known),
            model=options.model,
            make=maker(options.model, device),
            spec=options.spec(),
            out=options.out,
        )
        self._cases = cases_of(options)
        looks: Mapping[str, Callable[[Site], Iterator[dict[str, Any]]]] = {
            MACHINE: _machine,
            "facts": facts,
            "profile": kernels,
            "decode": decodes,
            "train": stages,
        }
        self.work: dict[str, Work] = {name: partial(look, self._site) for name, look in looks.items()}
        self.work |= {name: partial(self._section, case) for name, case in self._cases.items()}

    def lines(self, row: str) -> Iterator[dict[str, Any]]:
        """Measure a row: its parts, then the line that ends it. An error is in that line, never raised."""
        clean(self._site.device)
        begun, own = time.perf_counter(), dict[str, Any]()
        with Peaks(self._site.device) as peaks:
            try:
                for cells in self.work[row]():
                    if "part" in cells:
                        yield {"row": row} | cells
                    else:
                        own = cells
            except Exception as err:  # noqa: BLE001 - border: the other rows are measured all the same
                own = {"error": f"{type(err).__name__}: {str(err).partition(chr(10))[0][:400]}"}
        yield {"row": row} | own | peaks.cells() | {"s": round(time.perf_counter() - begun, 1)}

    def lost(self) -> bool:
        """Tell whether an error left the device unable to compute."""
        return not computes(self._site.device)

    def _section(self, case: Case) -> Iterator[dict[str, Any]]:
        site = self._site
        if case.attention is not None:
            try:
                check_attention(case.attention, device=site.device, dtype=default_dtype(site.device))
            except AttentionUnavailable as err:
                yield {"skipped": str(err)}
                return
        path = site.out / _STOCK
        stock = load_file(path)["latents"] if path.exists() and case.name != "stock" else None
        row, latents = measure(
            case, site.make, site.spec, machine=site.machine, stock=stock, home_bytes=home_bytes(site.model)
        )
        if case.name == "stock" and latents is not None:
            _save(path, latents)
        yield row.cells()


def _machine(site: Site) -> Iterator[dict[str, Any]]:
    yield site.machine.cells() | versions(site.device)


def _save(path: Path, latents: torch.Tensor) -> None:
    aside = path.with_name(f".{path.name}")
    save_file({"latents": latents.contiguous()}, aside)
    aside.replace(path)
