"""Numeric classes: workers of one class compute the same bits. The engine writes a class, the farm compares two.

    cpu-avx512-float32-sdpa-t4@amd,torch2.13.0
    cuda-nvidia_h100_80gb_hbm3-bfloat16+compiled-cudnn@torch2.11.0,cudnn9.19.0,sdpa=cudnn

Before the "@": the device, the precision, a video's attention and a CPU's threads. Behind it: the traits that the
kernels depend on besides. A class of an earlier version names no traits.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from farm.contract import AUTO

_COMPUTED = r"b?float(?:16|32)(?:\+fp8-(?:dynamic|fast)|\+\w+)*"  # the precisions that have a hyphen
_ATTENTION = r"(?!t\d+$|dynamic|fast)[a-z][a-z0-9-]*?"
_THREADS = r"(?:-t(?P<threads>\d+))?"
_WITH_ATTENTION = re.compile(rf"(?P<device>.+-{_COMPUTED})-(?P<attention>{_ATTENTION}){_THREADS}")
_WITHOUT = re.compile(rf"(?P<device>.+?){_THREADS}")


class NumericClass(NamedTuple):
    """A numeric class, taken apart."""

    device: str  #: kind of device, its name or instructions, and the precision
    attention: str | None = None  #: None: left open, as in the class of a worker
    threads: int | None = None  #: of a CPU
    traits: frozenset[str] = frozenset()

    def admits(self, other: NumericClass) -> bool:
        """Whether `other` agrees with every part that this class names."""
        return (
            self.device == other.device
            and self.attention in {None, other.attention}
            and self.threads in {None, other.threads}
            and self.traits <= other.traits
        )


@lru_cache(maxsize=1024)
def parse_class(text: str) -> NumericClass:
    """Take a class apart; a text of another form is a device."""
    head, _, traits = text.partition("@")
    found = _WITH_ATTENTION.fullmatch(head) or _WITHOUT.fullmatch(head)
    parts = found.groupdict() if found else {"device": head}
    threads = parts.get("threads")
    return NumericClass(
        device=parts["device"] or "",
        attention=parts.get("attention"),
        threads=None if threads is None else int(threads),
        traits=frozenset(filter(None, traits.split(","))),
    )


def attention_of(numeric_class: str | None) -> str | None:
    """The attention that a video's class names; None: the class names none."""
    return None if numeric_class is None else parse_class(numeric_class).attention


def attention_for(asked: str, pinned: str | None) -> str | None:
    """The attention that a video's sections need; None: the worker chooses it.

    asked: the request's. pinned: the video's class; None: it has none yet, or its workers may differ.
    """
    return attention_of(pinned) if asked == AUTO else asked


def same_class(pinned: str | None, own: str) -> str:
    """The class to record for work done in class `own`: the video's, if that admits `own`.

    A video of an earlier version keeps its class this way: the farm does not take it for a mixed one.
    """
    return pinned if pinned is not None and parse_class(pinned).admits(parse_class(own)) else own
