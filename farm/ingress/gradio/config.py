"""The answers that a client reads first: /config with components and dependencies, /info with parameters, returns."""

from __future__ import annotations

from typing import Any

from farm.ingress.gradio.doors import Call, Door, Output, Parameter

API = "/gradio_api"
_VERSION = "5.50.0"  #: the gradio whose protocol this is; later ones answer videos differently
_TEXT_OR_NULL = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
_FILE = {  #: how clients recognize a file; that of 1.8 reads no list of types
    "type": "object",
    "title": "FileData",
    "properties": {
        "path": {"type": "string", "title": "Path"},
        "url": _TEXT_OR_NULL,
        "orig_name": _TEXT_OR_NULL,
        "meta": {"type": "object", "title": "Meta", "default": {"_type": "gradio.FileData"}},
    },
    "required": ["path"],
}
_VIDEO = {
    "type": "object",
    "title": "VideoData",
    "properties": {"video": _FILE, "subtitles": {"anyOf": [_FILE, {"type": "null"}], "default": None}},
    "required": ["video"],
}
_TYPES: dict[str, dict[str, Any]] = {
    "video": _VIDEO,
    "image": _FILE,
    "number": {"type": "number"},
    "checkbox": {"type": "boolean"},
}
_PYTHON = {
    "video": "dict(video: filepath, subtitles: filepath | None)",
    "image": "dict(path: str | None (Path to a local file), url: str | None, orig_name: str | None, meta: dict)",
    "number": "float",
    "checkbox": "bool",
}
_COMPONENTS = {
    "image": "image",
    "text": "textbox",
    "whole": "number",
    "number": "slider",
    "switch": "checkbox",
    "choice": "dropdown",
}


def config_of(door: Door, *, max_bytes: int) -> dict[str, Any]:
    """Return /config. It names no address: a client keeps the one by which it found the door."""
    components: list[dict[str, Any]] = []
    dependencies = []
    for number, call in enumerate(door.calls):
        inputs = [_added(components, _input(parameter)) for parameter in call.parameters]
        outputs = [_added(components, _output(output)) for output in call.outputs]
        dependencies.append(_dependency(number, call, inputs, outputs))
    return {
        "version": _VERSION,
        "api_prefix": API,
        "protocol": "sse_v3",
        "mode": "blocks",
        "app_id": 0,
        "title": "framepack-farm",
        "space_id": None,
        "enable_queue": True,
        "connect_heartbeat": False,
        "max_file_size": max_bytes,
        "components": components,
        "dependencies": dependencies,
    }


def info_of(door: Door) -> dict[str, Any]:
    """Return /info, from which clients take names, order and defaults."""
    named = {
        f"/{call.name}": {
            "parameters": [_parameter_info(parameter) for parameter in call.parameters],
            "returns": [_return_info(output) for output in call.outputs if output.component != "button"],
            "show_api": True,
        }
        for call in door.calls
    }
    return {"named_endpoints": named, "unnamed_endpoints": {}}


def _added(components: list[dict[str, Any]], component: dict[str, Any]) -> int:
    components.append(component | {"id": len(components) + 1})
    return len(components)


def _input(parameter: Parameter) -> dict[str, Any]:
    kind = _COMPONENTS[parameter.kind]
    bounds = {"minimum": parameter.least, "maximum": parameter.most, "choices": [[c, c] for c in parameter.choices]}
    props = {name: value for name, value in bounds.items() if value not in (None, [])}
    return {
        "type": kind,
        "skip_api": False,
        "api_info": _type(parameter),
        "props": {"label": parameter.label, "name": kind, "value": parameter.default, **props},
    }


def _output(output: Output) -> dict[str, Any]:
    return {
        "type": output.component,
        "skip_api": output.component == "button",
        "api_info": _TYPES.get(output.component, {"type": "string"}),
        "props": {"label": output.label, "name": output.component},
    }


def _dependency(number: int, call: Call, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {
        "id": number,
        "api_name": call.name,
        "targets": [],
        "inputs": inputs,
        "outputs": outputs,
        "backend_fn": True,
        "js": None,
        "queue": True,
        "batch": False,
        "types": {"generator": call.function == "process", "cancel": False},
        "cancels": [],
        "show_api": True,
        "api_visibility": "public",
    }


def _type(parameter: Parameter) -> dict[str, Any]:
    kind = _COMPONENTS[parameter.kind]
    if parameter.kind == "choice":
        return {"type": "string", "enum": list(parameter.choices)}
    return _TYPES["number"] if kind == "slider" else _TYPES.get(kind, {"type": "string"})


def _parameter_info(parameter: Parameter) -> dict[str, Any]:
    kind = _COMPONENTS[parameter.kind]
    python = _PYTHON.get("number" if kind == "slider" else kind, "str")
    if parameter.kind == "choice":
        python = f"Literal[{', '.join(map(repr, parameter.choices))}]"
    bounds = [
        f"{word} {value:g}" for word, value in (("from", parameter.least), ("to", parameter.most)) if value is not None
    ]
    return {
        "label": parameter.label,
        "parameter_name": parameter.name,
        "parameter_has_default": not parameter.is_required,
        "parameter_default": parameter.default,
        "type": _type(parameter),
        "python_type": {"type": python, "description": " ".join(bounds)},
        "component": kind.capitalize(),
        "example_input": None if parameter.kind == "image" else parameter.default,
    }


def _return_info(output: Output) -> dict[str, Any]:
    return {
        "label": output.label,
        "type": _TYPES.get(output.component, {"type": "string"}),
        "python_type": {"type": _PYTHON.get(output.component, "str"), "description": ""},
        "component": output.component.capitalize(),
    }
