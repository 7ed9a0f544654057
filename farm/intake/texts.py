"""Checks of texts and numbers in a new request. Requests that the farm stored earlier need not pass them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from farm.errors import InvalidRequest
from farm.intake.prompt_settings import holds_settings
from farm.request import UserInput, VideoEdit, VideoRequest, deadline_s

_ALLOWED = frozenset("\t\n\r")


def check_texts(request: VideoRequest | VideoEdit, *, may_be_blank: bool = False) -> None:
    """Check each text of `request`. may_be_blank: its prompt.

    Raises: InvalidRequest naming each text with control characters, and blank ones.
    """
    faults = dict[str, str]()
    for name, text in _texts("", dict(request)):
        found = next((char for char in text if unicodedata.category(char) == "Cc" and char not in _ALLOWED), None)
        if found is not None:
            faults[name] = f"it holds the control character U+{ord(found):04X}; send text without it"
    if request.prompt is not None and not request.prompt.strip() and not may_be_blank:
        faults["prompt"] = "it is blank; say what happens in the video"
    if isinstance(request, VideoEdit) and holds_settings(request.prompt or ""):
        faults["prompt"] = "an edit cannot change LoRAs and times; send plain text, or ask for a remix"
    if isinstance(request, VideoRequest):
        for number, prompt in enumerate(request.prompts):
            if not prompt.text.strip():
                faults[f"prompts.{number}.text"] = "it is blank; say what happens from then on"
        try:
            deadline_s(request.metadata)
        except ValueError:
            faults["metadata.deadline_s"] = "need a number of seconds above 0, such as 600"
    if faults:
        raise InvalidRequest.naming(faults)


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield every text inside `value` with the name of its place, keys of objects too."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, UserInput):
        yield from _texts(name, dict(value))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield name, key
            yield from _texts(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, tuple | list):
        for number, inner in enumerate(value):
            yield from _texts(f"{name}.{number}", inner)
