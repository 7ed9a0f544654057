"""Whether a LoRA's file can be read and holds only finite numbers. Loads no torch: the ingress asks it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from framepack_engine.errors import LoraUnusable

#: type -> how numpy reads its bits, and the exponent bits, which are all set in NaN and infinity
_EXPONENTS = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F8_E5M2": ("u1", 0x7C),
    "F8_E4M3": ("u1", 0x7F),  # no infinity, and one NaN
}
_CHUNK = 1 << 22  #: numbers in memory at once


def check_lora(name: str, path: Path) -> None:
    """Check the file of the LoRA `name`; the answer is kept until the file changes. Raises: LoraUnusable."""
    stat = path.stat()
    fault = _fault(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino))
    if fault is not None:
        raise LoraUnusable(f"LoRA {name!r} cannot be used: {fault}", name=name)


@lru_cache(maxsize=256)
def _fault(path: Path, _stat: tuple[int, int, int]) -> str | None:
    try:
        with safe_open(path, framework="np"):
            pass
    except (OSError, SafetensorError):
        return f"{path.name} is damaged, or is no safetensors file"
    with path.open("rb") as file:
        begin = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(begin - 8))
    header.pop("__metadata__", None)
    for key, entry in header.items():
        if entry["dtype"] in _EXPONENTS and not _is_finite(path, begin, entry["dtype"], *entry["data_offsets"]):
            return f"{key} of {path.name} holds NaN or infinity"
    return None


def _is_finite(path: Path, begin: int, dtype: str, first: int, last: int) -> bool:
    kind, exponent = _EXPONENTS[dtype]
    width = np.dtype(kind).itemsize
    with path.open("rb") as file:
        file.seek(begin + first)
        for at in range(first, last, _CHUNK * width):
            bits = np.frombuffer(file.read(min(_CHUNK * width, last - at)), kind)
            if ((bits & exponent) == exponent).any():
                return False
    return True
