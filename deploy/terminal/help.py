"""The text of `framefarm COMMAND --help`: each option in two lines, those that most people need first."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_FEW = 12  #: a command with more options than these shows them in panels
_WIDE = 120  #: columns from which an option and its text stand side by side
_NAMES_WIDTH = 40
_LONG = 60  #: letters of choices that still fit beside an option
_BASIC = (
    *("prompt", "out", "seconds", "size", "seed", "model", "preset", "end_image", "name", "n", "seeds", "settings_of"),
    *("dry_run", "from_section", "image", "force"),
    *("storage", "host", "server", "port", "workers", "gpus", "api_keys", "inbrowser", "url"),
)
_PICTURE = (
    *("negative_prompt", "prompts", "prompt_fade_sections", "keyframes", "loop", "start", "loras", "resolution"),
    *("num_inference_steps", "guidance_scale", "true_cfg_scale", "guidance_rescale", "flow_shift", "flow_exponent"),
    *("cache", "cache_threshold", "crf", "save_frames"),
)
_TYPES = {int: "NUMBER", float: "NUMBER", list[float]: "NUMBER", str: "TEXT", Path: "FILE"}


def put_help(command: Any, context: Any) -> None:
    """Print a command's help on stdout."""
    console = Console(highlight=False)
    console.print(*help_of(command, context, width=console.width), sep="\n")


def help_of(command: Any, context: Any, *, width: int) -> Iterator[RenderableType]:
    """Yield the parts of a command's help: how it is called, what it does, a panel for each group of options."""
    yield Text(f"\n Usage: {' '.join(_usage(command, context))}\n", style="bold")
    yield Padding(_paragraphs(command.help or ""), (0, 1, 1, 1))
    params = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    arguments = [param for param in params if param.param_type_name == "argument"]
    inner = getattr(command, "commands", {})
    if inner:
        names = [(name, each.get_short_help_str(300)) for name, each in inner.items()]
        yield _panel("Commands", names, names_width=max(map(len, inner)))
    beside = _NAMES_WIDTH if width >= _WIDE else None
    if arguments:
        yield _panel("Arguments", [_line(param) for param in arguments], names_width=beside)
    for title, options in _grouped([param for param in params if param not in arguments]):
        yield _panel(title, [_line(param) for param in options], names_width=beside)


def _usage(command: Any, context: Any) -> Iterator[str]:
    """Yield the words of a call: what may be left out stands in brackets."""
    yield context.command_path
    yield "[OPTIONS]"
    for param in command.params:
        if param.param_type_name == "argument":
            name = _line(param)[0]
            yield name if param.required else f"[{name}]"
    if getattr(command, "commands", {}):
        yield "COMMAND [ARGS]…"


def _paragraphs(text: str) -> Text:
    found = [" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n")]
    return Text("\n\n".join(found))


def _grouped(options: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """Return the panels of a command's options: Basic in the order of use, Picture, Advanced; of few, one panel."""
    if len(options) <= _FEW:
        return [("Options", list(options))]
    basic = sorted((each for each in options if each.name in _BASIC), key=lambda each: _BASIC.index(each.name))
    of_request = _PICTURE if any(each.name == "prompt" for each in options) else ()  # `up` has a --cache, too
    picture = [each for each in options if each.name in of_request]
    rest = [each for each in options if each.name not in {*_BASIC, *of_request}]
    return [(title, found) for title, found in (("Basic", basic), ("Picture", picture), ("Advanced", rest)) if found]


def _line(param: Any) -> tuple[str, str]:
    """Return an option as it is typed, and its purpose."""
    if param.param_type_name == "argument":
        return param.metavar or param.name.upper(), param.help or ""
    names = ", ".join(sorted(param.opts, key=len))
    if param.secondary_opts:
        names += f" / {', '.join(param.secondary_opts)}"
    kind = param.type_descriptor.annotation
    choices = "|".join(map(str, get_args(kind))) if get_origin(kind) is Literal else ""
    text = f"{param.help or ''}{' (required)' if param.required else ''}"
    if len(choices) > _LONG:
        choices, text = "NAME", f"{choices.replace('|', ', ')}: {text}"
    wanted = param.metavar or choices or _TYPES.get(kind, "")
    return f"{names} {wanted}".rstrip(), text


def _panel(title: str, lines: Sequence[tuple[str, str]], *, names_width: int | None) -> Panel:
    """Return options one below the other, their texts beside them, or below them if `names_width` is None."""
    body: RenderableType
    if names_width is None:
        texts = [(Text(name, style="bold cyan"), Padding(_plain(text), (0, 4))) for name, text in lines]
        body = Group(*(part for pair in texts for part in pair))
    else:
        body = Table.grid(padding=(0, 2))
        body.add_column(width=names_width, style="bold cyan")
        body.add_column()
        for name, text in lines:
            body.add_row(Text(name), _plain(text))
    return Panel(body, title=title, title_align="left", border_style="dim")


def _plain(text: str) -> Text:
    """Return a text without interpreting anything in it as markup."""
    return Text(" ".join(text.split()))
