"""Settings that users of other programs type into a prompt: `<lora:NAME:WEIGHT>` and `[2s-4s: TEXT]`.

They become the fields `loras` and `prompts`, and the prompt keeps the other text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from farm.contract import Planner
from farm.errors import InvalidRequest
from farm.request import VideoRequest

_SECONDS = r"([0-9]+(?:\.[0-9]+)?)\s*s\s*"
_STAMP = re.compile(rf"\[\s*{_SECONDS}(?:-\s*{_SECONDS})?:([^\[\]]*)\]", re.IGNORECASE)
_LORA = re.compile(r"<lora:([^<>:]+)(?::([^<>:]*))?>", re.IGNORECASE)
_ALMOST = re.compile(rf"<lora:|\[\s*{_SECONDS}[\]:-]", re.IGNORECASE)
_FORMS = "<lora:NAME:WEIGHT>, [2s: TEXT] or [2s-4s: TEXT]"


class _Span(NamedTuple):
    """A text in brackets, and when it acts."""

    start_s: float
    end_s: float  #: infinite if only its start is given
    text: str


def holds_settings(text: str) -> bool:
    """Whether `text` holds a LoRA or a time, or what looks like one."""
    return _ALMOST.search(text) is not None


def settings_in(request: VideoRequest, sent: Collection[str], planner: Planner) -> dict[str, Any]:
    """Return the fields that the prompt sets, `prompt` with its other text among them; {} for a plain prompt.

    sent: the fields that the client sent. Only these are read: a remix may keep texts of a farm that read none.
    Raises: InvalidRequest for settings that are almost right, that are sent twice, or that stand in another text.
    """
    texts = {f"prompts.{number}.text": timed.text for number, timed in enumerate(request.prompts)}
    texts["negative_prompt"] = request.negative_prompt
    wrong = [name for name, text in texts.items() if name.partition(".")[0] in sent and holds_settings(text)]
    if wrong:
        raise InvalidRequest.naming(dict.fromkeys(wrong, "the farm reads LoRAs and times in `prompt` only"))
    if "prompt" not in sent or not holds_settings(request.prompt):
        return {}
    found = _read(request.prompt, partial(planner.border, request))
    for name in ("loras", "prompts"):
        if name in found and name in sent and getattr(request, name):
            raise InvalidRequest.of("prompt", f"it sets {name}, and the request has this field too; use one of them")
    return found


def _read(prompt: str, border: Callable[[float], int]) -> dict[str, Any]:
    spans = sorted(
        _Span(float(start), float(end or math.inf), text.strip()) for start, end, text in _STAMP.findall(prompt)
    )
    if any(holds_settings(span.text) for span in spans):
        raise InvalidRequest.of("prompt", "a LoRA acts in the whole video; write it outside the brackets")
    rest = _STAMP.sub("", prompt)
    loras = [{"name": name.strip(), "weight": weight or 1.0} for name, weight in _LORA.findall(rest)]
    rest = re.sub(r"[ \t]{2,}", " ", _LORA.sub("", rest)).strip()
    if wrong := _ALMOST.search(rest):
        raise InvalidRequest.of("prompt", f"{rest[wrong.start() :][:20]!r} is not understood; write {_FORMS}")
    prompts = _timeline(spans, rest, border)
    text = rest if rest or not prompts else prompts.pop(0)["text"]
    return {"prompt": text, **({"loras": loras} if loras else {}), **({"prompts": prompts} if spans else {})}


def _timeline(spans: list[_Span], rest: str, border: Callable[[float], int]) -> list[dict[str, Any]]:
    """Return the timed prompts. Between two spans the rest of the text acts; without one, the earlier span goes on."""
    prompts: list[dict[str, Any]] = []
    for span, after in pairwise([*spans, _Span(math.inf, math.inf, "")]):
        until = min(span.end_s, after.start_s)
        if span.end_s <= span.start_s or until < span.end_s < math.inf:
            wrong = f"[{span.start_s:g}s-{span.end_s:g}s: …]"
            raise InvalidRequest.of("prompt", f"{wrong} must end after its start, and before the next text begins")
        prompts.append({"at_s": span.start_s, "text": span.text})
        if rest and border(until) < border(after.start_s):
            prompts.append({"at_s": until, "text": rest})
    return prompts
