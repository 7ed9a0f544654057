"""The presets that owners save: fields of a request under a name, one of which a form may begin with.

An owner's presets lie in one object, so a change is one write, and the start preset never names two. Objects are
immutable: each change writes the next number, and removes the earlier ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, JsonValue

from farm.errors import Conflict, InvalidRequest, NotFound
from farm.intake.body import checked
from farm.intake.prepare import Tools, default_model
from farm.ledger.layout import parse_presets, presets_folder, presets_key
from farm.ledger.notes import OwnPresets, read_note
from farm.request import FromText, UserInput, validated
from farm.store import ObjectMissing, Store

_NAME_CHARS = 60
_MOST = 100
_MOST_BYTES = 1 << 20  #: of all presets of an owner
#: fields that stay out of a preset, and why
_LEFT_OUT = {
    "keyframes": "a preset has no pictures, so it cannot have keyframes",
    "webhook_url": "a preset keeps no secrets",
    "webhook_secret": "a preset keeps no secrets",
}


class SentPreset(UserInput):
    """The body that a client sends to save a preset."""

    fields: Annotated[dict[str, JsonValue], FromText] = Field(description="fields of a request for a video")
    start: bool = Field(default=False, description="begin with this preset")


def read_presets(store: Store, owner: str) -> OwnPresets:
    """Return the owner's presets. Raises: StoreError."""
    return _newest(store, owner)[1]


def save_preset(store: Store, owner: str, name: str, sent: dict[str, Any], tools: Tools) -> OwnPresets:
    """Check a preset like a request and save it in place of one of the same name; return all of the owner's.

    Raises: InvalidRequest naming each bad field; Conflict for the name of a built-in preset.
    """
    _check_name(name, tools)
    preset = validated(SentPreset, sent)
    fields = _checked_fields(preset.fields, tools)

    def change(before: OwnPresets) -> OwnPresets:
        start = name if preset.start else None if before.start == name else before.start
        return OwnPresets(presets={**before.presets, name: fields}, start=start)

    return _changed(store, owner, change)


def delete_preset(store: Store, owner: str, name: str, tools: Tools) -> None:
    """Forget a preset. Raises: NotFound; Conflict for a built-in one."""
    if name in {preset.name for preset in tools.planner.presets()}:
        raise Conflict(f"{name} is a built-in preset and stays")

    def change(before: OwnPresets) -> OwnPresets:
        if name not in before.presets:
            raise NotFound(f"you have no preset {name[:_NAME_CHARS]!r}")
        rest = {other: fields for other, fields in before.presets.items() if other != name}
        return OwnPresets(presets=rest, start=None if before.start == name else before.start)

    _changed(store, owner, change)


def _check_name(name: str, tools: Tools) -> None:
    if not 0 < len(name) <= _NAME_CHARS or not name.isprintable() or name.strip() != name:
        raise InvalidRequest.of("name", f"need 1 to {_NAME_CHARS} characters without spaces around them")
    if name in {preset.name for preset in tools.planner.presets()}:
        raise Conflict(f"{name} is a built-in preset; choose another name")


def _checked_fields(fields: dict[str, JsonValue], tools: Tools) -> dict[str, JsonValue]:
    """Return the fields as a request would hold them. Raises: InvalidRequest."""
    if faults := {name: text for name, text in _LEFT_OUT.items() if name in fields}:
        raise InvalidRequest.naming(faults)
    if not fields:
        raise InvalidRequest.of("fields", "it is empty; send at least one field of a request")
    settings, planner, _ = tools
    request = checked({"prompt": "any", **fields}, {}, planner).request
    pinned = planner.pin_loras(request.loras)
    whole = request.model_copy(update={"model": request.model or default_model(settings, planner), "loras": pinned})
    planner.settle(whole, image_size=None)
    kept = request.model_fields_set - ({"prompt"} - fields.keys())
    return request.model_dump(mode="json", include=kept)


def _newest(store: Store, owner: str) -> tuple[int, OwnPresets]:
    """Return the presets and their number; 0: there were none."""
    while keys := store.list(presets_folder(owner)):
        with contextlib.suppress(ObjectMissing):  # the next change has just removed it
            return parse_presets(keys[-1]), read_note(store, keys[-1], OwnPresets)
    return 0, OwnPresets()


def _changed(store: Store, owner: str, change: Callable[[OwnPresets], OwnPresets]) -> OwnPresets:
    """Apply a change. If another one comes in between, apply it to that one's result."""
    while True:
        number, before = _newest(store, owner)
        after = change(before)
        data = after.model_dump_json().encode()
        if len(after.presets) > _MOST or len(data) > _MOST_BYTES:
            raise InvalidRequest.of("name", f"you may have {_MOST} presets of {_MOST_BYTES >> 20} MiB; delete one")
        ours = presets_key(owner, number + 1)
        if store.put_if_absent(ours, data) or _holds(store, ours, data):
            *older, newest = store.list(presets_folder(owner))
            if newest == ours:  # else another change took a higher number, without ours
                for key in older:
                    store.delete(key)
                return after


def _holds(store: Store, key: str, data: bytes) -> bool:
    """Whether our own put made the object, and its answer got lost."""
    try:
        return store.get(key) == data
    except ObjectMissing:
        return False
