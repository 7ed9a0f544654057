"""A video as a program asks for it: seconds and a size in place of sections and sides. Loads no torch."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from typing import Any

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.buckets import nearest_bucket
from framepack_engine.planning.sections import Kind, sections_for
from framepack_engine.planning.spec import Lora, RenderSpec

_DECIDED = {"kind", "sections", "height", "width", "seed", "prompt", "loras", "continues"}
#: what RenderSpec's annotations allow, and what a message calls it
_TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "str": (str, "a text"),
    "tuple": ((tuple, list), "a tuple"),
}
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
    _check_types({"prompt": prompt, "seconds": seconds, **fields} | ({} if seed is None else {"seed": seed}))
    if not 0 < seconds <= 600:
        raise InvalidSpec(f"seconds={seconds}: need more than 0, and at most 600", field="seconds")
    try:
        width, height = (int(side) for side in size) if size else nearest_bucket(photo[1], photo[0], resolution)[::-1]
    except (TypeError, ValueError) as err:
        raise InvalidSpec(f"size={size!r}: need (width, height) in px, such as (320, 192)", field="size") from err
    for side in (width, height):
        if side < 64 or side % 16:
            raise InvalidSpec(f"size={size}: each side must be a multiple of 16 px, and at least 64", field="size")
    window = fields.get("latent_window_size", RenderSpec.__dataclass_fields__["latent_window_size"].default)
    return RenderSpec(
        kind=kind,
        sections=sections_for(seconds, window=max(window, 1)),
        height=height,
        width=width,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        prompt=prompt,
        loras=loras,
        **fields,
    )


def _check_types(given: Mapping[str, object]) -> None:
    """Check that values have the types of RenderSpec's annotations. Raises: InvalidSpec naming one."""
    wanted = {field.name: str(field.type) for field in dataclasses.fields(RenderSpec)} | {"seconds": "float"}
    for name, value in given.items():
        kind, _, or_none = wanted[name].partition(" | ")
        types, noun = _TYPES[kind.partition("[")[0]]
        is_right = isinstance(value, types) and not isinstance(value, bool)
        if not is_right and not (or_none and value is None):
            raise InvalidSpec(f"{name}={value!r}: need {noun}", field=name)


def first_frames(kind: Kind, finals: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of the first frame of each section's clip, in generation order. finals: `final_frames`."""
    order = range(len(finals)) if kind == "f1" else range(len(finals) - 1, -1, -1)
    begins, first = [0] * len(finals), 0
    for section in order:
        begins[section] = first
        first += finals[section]
    return tuple(begins)
