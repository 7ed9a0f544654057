"""The values that a client sent for a call's parameters, in order or by name, checked against kinds and ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from farm.errors import InvalidRequest
from farm.ingress.gradio.doors import Call, Parameter


def values_in_order(call: Call, data: object) -> dict[str, Any]:
    """Return parameter -> value of a list. null, and what is missing at its end, means the default.

    Raises: InvalidRequest naming each bad parameter.
    """
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise InvalidRequest.of("data", "need a JSON list of the parameters' values, in their order")
    known = len(call.parameters)
    if any(value is not None for value in data[known:]):  # a fork's hidden state is null
        raise InvalidRequest.of("data", f"/{call.name} takes {known} values here, not {len(data)}")
    names = [parameter.name for parameter in call.parameters]
    return values_by_name(call, dict(zip(names, data, strict=False)))


def values_by_name(call: Call, sent: Mapping[str, object]) -> dict[str, Any]:
    """Return parameter -> value. null means the default. Raises: InvalidRequest naming each bad parameter."""
    names = {parameter.name for parameter in call.parameters}
    faults = {name: f"/{call.name} has no such parameter here" for name in sent if name not in names}
    values = {}
    for parameter in call.parameters:
        try:
            values[parameter.name] = _value(parameter, sent.get(parameter.name))
        except ValueError as err:
            faults[parameter.name] = str(err)
    if faults:
        raise InvalidRequest.naming(faults)
    return values


def _value(parameter: Parameter, sent: object) -> object:
    """Return the value. Raises: ValueError saying what the parameter needs."""
    if sent is None:
        return parameter.default  # a missing image is the farm's own error: not every model needs one
    if parameter.kind == "image":
        return _path(sent)
    if parameter.kind == "switch":
        return _of_type(sent, bool, "need true or false")
    if parameter.kind == "text":
        return _of_type(sent, str, "need a text")
    if parameter.kind == "choice":
        if sent not in parameter.choices:
            raise ValueError(f"need one of {', '.join(parameter.choices)}")
        return sent
    return _number(parameter, sent)


def _of_type(sent: object, kind: type, text: str) -> object:
    if not isinstance(sent, kind):
        raise ValueError(text)  # noqa: TRY004 - the caller names the parameter
    return sent


def _number(parameter: Parameter, sent: object) -> int | float:
    is_whole = parameter.kind == "whole"
    if isinstance(sent, bool) or not isinstance(sent, int | float) or not math.isfinite(sent):
        raise ValueError("need a whole number" if is_whole else "need a number")
    if is_whole and sent != int(sent):
        raise ValueError("need a whole number")
    if parameter.least is not None and sent < parameter.least:
        raise ValueError(f"need at least {parameter.least:g}")
    if parameter.most is not None and sent > parameter.most:
        raise ValueError(f"need at most {parameter.most:g}")
    return int(sent) if is_whole else sent


def _path(sent: object) -> str:
    """Return the path of a file as gradio's clients name it: {"path": …}, or the path itself."""
    path = sent.get("path") if isinstance(sent, Mapping) else sent
    if not isinstance(path, str) or not path:
        raise ValueError('need a file as handle_file() or POST …/upload give it: {"path": "files/…"}')
    return path
