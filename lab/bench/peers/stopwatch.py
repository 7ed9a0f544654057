"""Where the time of a render goes: forwards, decodes and mp4, watched from outside, the same for both contenders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Counts forwards and times the parts. exact: the host waits for what it begins; on a GPU it does not."""

    def __init__(self, transformer: Any, vae: Any, *, exact: bool) -> None:
        self._exact, self._forwards = exact, 0
        self._taken = {"forward_s": 0.0, "decode_s": 0.0, "mp4_s": 0.0}
        self._begun = 0.0
        transformer.register_forward_pre_hook(self._begin, prepend=True)
        transformer.register_forward_hook(self._end)
        plain = vae.decode

        def decode(*args: Any, **options: Any) -> Any:
            with self.timed("decode_s"):
                return plain(*args, **options)

        vae.decode = decode

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the time inside to a part."""
        begun = time.perf_counter()
        yield
        self._taken[part] += time.perf_counter() - begun

    def cells(self) -> dict[str, Any]:
        """Return the parts; None where the host's clock would not tell."""
        taken = {part: round(seconds, 2) if self._exact else None for part, seconds in self._taken.items()}
        return {"forwards": self._forwards} | taken

    def _begin(self, *_: Any) -> None:
        self._begun = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self._forwards += 1
        self._taken["forward_s"] += time.perf_counter() - self._begun
