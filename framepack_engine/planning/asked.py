"""A video as a program asks for it: seconds and a size in place of sections and sides. Loads no torch."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from numbers import Real
from operator import index
from typing import Any

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.buckets import nearest_bucket
from framepack_engine.planning.prompts import TimedPrompt
from framepack_engine.planning.sections import Kind, sections_for
from framepack_engine.planning.spec import Lora, RenderSpec

_DECIDED = {"kind", "sections", "height", "width", "seed", "prompt", "loras", "continues"}
_SEEDS = 2**32  #: drawn below this


def asked_spec(
    prompt: str,
    *,
    kind: Kind,
    photo: tuple[int, int],
    resolution: int,
    seconds: float,
    size: tuple[int, int] | None,
    seed: int | None,
    loras: tuple[Lora, ...],
    fields: Mapping[str, Any],
) -> RenderSpec:
    """Decide what a program leaves open. photo, size: (width, height) in px.

    size: None: the bucket of `resolution` that is nearest to the photo. seed: None: drawn. fields: others of the spec.
    Raises: InvalidSpec naming the argument.
    """
    known = {field.name for field in dataclasses.fields(RenderSpec)} - _DECIDED
    if unknown := sorted(fields.keys() - known):
        raise InvalidSpec(
            f"{unknown[0]}: there is no such argument; known are {', '.join(sorted(known))}", field=unknown[0]
        )
    plain = {name: taken(name, value, _WANTED[name]) for name, value in fields.items()}
    seconds, seed = taken("seconds", seconds, "float"), taken("seed", seed, "int | None")
    if not 0 < seconds <= 600:
        raise InvalidSpec(f"seconds={seconds}: need more than 0, and at most 600", field="seconds")
    try:
        width, height = (
            (int(side) for side in size) if size is not None else nearest_bucket(photo[1], photo[0], resolution)[::-1]
        )
    except (TypeError, ValueError) as err:
        raise InvalidSpec(f"size={size!r}: need (width, height) in px, such as (320, 192)", field="size") from err
    for side in (width, height):
        if side < 64 or side % 16:
            raise InvalidSpec(f"size={size}: each side must be a multiple of 16 px, and at least 64", field="size")
    window = plain.get("latent_window_size", RenderSpec.__dataclass_fields__["latent_window_size"].default)
    return RenderSpec(
        kind=kind,
        sections=sections_for(seconds, window=max(window, 1)),
        height=height,
        width=width,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        prompt=taken("prompt", prompt, "str"),
        loras=loras,
        **plain,
    )


def taken(name: str, value: object, wanted: str) -> Any:
    """Return `value` as Python's own type: programs also have numpy's numbers.

    wanted: an annotation of RenderSpec. Raises: InvalidSpec naming the argument.
    """
    kind, _, or_none = wanted.partition(" | ")
    if or_none and value is None:
        return None
    take, noun = _TAKE[kind]
    try:
        return take(value)
    except (TypeError, ValueError, OverflowError) as err:
        raise InvalidSpec(f"{name}={value!r}: need {noun}", field=name) from err


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return index(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _timed(value: Any) -> tuple[TimedPrompt, ...]:
    return tuple(TimedPrompt(_number(at_s), _text(text)) for at_s, text in value)


_WANTED = {field.name: str(field.type) for field in dataclasses.fields(RenderSpec)}
#: an annotation of RenderSpec -> what makes such a value, and what a message calls it
_TAKE: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "int": (_whole, "a whole number"),
    "float": (_number, "a number"),
    "str": (_text, "a text"),
    "tuple[float, ...]": (lambda value: tuple(map(_number, value)), "a list of numbers"),
    "tuple[TimedPrompt, ...]": (_timed, "pairs of a second and a text, such as [(2.0, 'It gets darker.')]"),
}
