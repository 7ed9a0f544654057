"""Flags made from the fields that they set, so the command line and the API cannot drift apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deploy.request_type import REQUEST_TYPE
from deploy.terminal.example_env import shown_default
from farm.settings import FarmSettings

_PLAIN = (str, int, float, bool)
_LIMITS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}"}
_HELP = {  #: where the command line takes something else than the API
    "seeds": "one video for each of these: 1,2,3",
    "keyframes": "images at times: a JSON list of {at_s, image: FILE}",
}
Command = TypeVar("Command", bound=Callable[..., Any])
Flag = inspect.Parameter


def with_flags(flags: Iterable[Flag]) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Give these flags to a command that takes `**given`; `given` holds the flags that the user set."""

    def decorate(command: Callable[..., Any]) -> Callable[..., None]:
        added = {flag.name: flag for flag in flags}
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]

        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in added}
            command(**values, **{name: value for name, value in given.items() if value is not None})

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        parameters = [*own, *added.values()]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def request_flags(model: type[BaseModel] = REQUEST_TYPE, *, whole: bool = True) -> list[Flag]:
    """Return a flag for each field of `model`. Unset ones stay out of the request, so the farm's defaults apply.

    whole: false if required fields may come from elsewhere.
    """
    return [
        _flag(name, _simple(field.annotation), help=_request_help(name, field), required=whole and field.is_required())
        for name, field in model.model_fields.items()
    ]


def settings_flags(*, only: Iterable[str] | None = None, without: Iterable[str] = ()) -> list[Flag]:
    """Return a flag for each setting, or for those of `only`, in the order of the settings."""
    fields = FarmSettings.model_fields
    wanted = set(fields if only is None else only) - set(without)
    return [
        _flag(name, _simple(field.annotation), help=_setting_help(name))
        for name, field in fields.items()
        if name in wanted
    ]


def _flag(name: str, kind: Any, *, help: str, required: bool = False) -> Flag:  # noqa: A002 - typer's name
    option = f"--{name.replace('_', '-')}"
    names = [option]
    if kind is bool and not name.startswith("no_"):
        names = [f"{option}/--no-{option[2:]}"]
    annotation: Any = Annotated[kind if required else kind | None, typer.Option(*names, help=help)]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _simple(annotation: Any) -> Any:
    """Return the type of a flag: plain types and choices as they are, JSON text for all others."""
    if get_origin(annotation) in {Union, UnionType}:
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation if annotation in _PLAIN or get_origin(annotation) is Literal else str


def _request_help(name: str, field: FieldInfo) -> str:
    notes = [
        text.format(f"{getattr(limit, attribute):g}")
        for limit in field.metadata
        for attribute, text in _LIMITS.items()
        if getattr(limit, attribute, None) is not None
    ]
    if isinstance(field.default, _PLAIN) and field.default != "":
        notes.append(f"default {str(field.default).lower()}")
    return _HELP.get(name, field.description or "") + (f" ({', '.join(notes)})" if notes else "")


def _setting_help(name: str) -> str:
    default = shown_default(name)
    text = FarmSettings.model_fields[name].description or ""
    return f"{text} (FARM_{name.upper()}{f', default {default}' if default else ''})"
