"""Write the pages that come from the code: the command line, the settings, the request's fields, the list of decisions.

mkdocs calls `on_files` while it builds the site (mkdocs.yml, `hooks`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click

from deploy.cli import COMMANDS, load_command
from deploy.request_type import REQUEST_TYPE
from deploy.terminal.example_env import shown_default
from farm.settings import PARTS, FarmSettings

DOCS = Path(__file__).parent
_LIMITS = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "max_length": "at most {} long",
    "multiple_of": "a multiple of {}",
}


def command_line() -> str:
    """Return the page with every command and every flag."""
    text = "# Command line\n\nEvery command and every flag, as `framefarm COMMAND --help` prints them.\n\n"
    for name in COMMANDS:
        command = load_command(name)
        text += get_docs_for_click(obj=command, ctx=typer.Context(command), name=f"framefarm {name}")
    head, *commands = re.split(r"^(?=# `)", text, flags=re.MULTILINE)
    return head + "".join(re.sub(r"^#", "##", each, flags=re.MULTILINE) for each in commands)


def settings() -> str:
    """Return the page with every setting, its default and its meaning."""
    text = (
        "# Settings\n\n"
        "Each setting is an environment variable and a flag: `FARM_MAX_UPLOAD_MB=64` or `--max-upload-mb 64`. "
        "The flag wins over the variable. The farm refuses an unknown `FARM_` name. "
        "`deploy/farm.example.env` is a file to copy and edit.\n"
    )
    for name, field in FarmSettings.model_fields.items():
        if name in PARTS:
            text += f"\n## {PARTS[name].partition(':')[0]}\n\n| setting | default | meaning |\n|---|---|---|\n"
        default = shown_default(name)
        shown = f"`{default}`" if default else "unset"
        text += f"| `FARM_{name.upper()}` | {shown} | {_cell(field.description or '')} |\n"
    return text


def request_fields() -> str:
    """Return the page with every field of a request, its default, its limits and its meaning."""
    text = (
        "# Request fields\n\n"
        "Every field of `POST /v1/videos`. Each is also a flag of `framefarm render` and `framefarm submit`: "
        "`true_cfg_scale` is `--true-cfg-scale`. The farm refuses unknown fields. "
        "[Video options](video-options.md) explains the larger ones.\n\n"
        "| field | default | limits | meaning |\n|---|---|---|---|\n"
    )
    for name, field in REQUEST_TYPE.model_fields.items():
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        text += f"| `{name}` | {default} | {', '.join(_limits(field))} | {_cell(field.description or '')} |\n"
    return text


def _shown(value: object) -> str:
    return "unset" if value is None else f"`{json.dumps(value)}`"


def _limits(field: FieldInfo) -> Iterator[str]:
    for rule in field.metadata:
        for key, words in _LIMITS.items():
            if hasattr(rule, key):
                yield words.format(getattr(rule, key)).replace(str(2**63), "2^63")
    for kind in (field.annotation, *get_args(field.annotation)):
        if get_origin(kind) is Literal:
            yield ", ".join(f"`{choice}`" for choice in get_args(kind))


def decisions() -> str:
    """Return the page that lists the decisions by number."""
    text = "# Decisions\n\nWhat was chosen, why, and what was measured. Failed ideas stay.\n\n"
    for path in sorted((DOCS / "decisions").glob("0*.md")):
        heading = path.read_text(encoding="utf-8").partition("\n")[0]
        title = re.sub(r"^# (\d{4})[:.]? +", r"\1: ", heading)
        text += f"- [{title}]({path.name})\n"
    return text


def _cell(text: str) -> str:
    return re.sub(r"docs/([\w/-]+\.md)", r"[\1](../\1)", text.replace("|", "\\|").replace("<", "&lt;"))


PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": command_line,
    "reference/settings.md": settings,
    "reference/request-fields.md": request_fields,
    "decisions/index.md": decisions,
}


def on_files(files: Any, *, config: Any) -> Any:
    """Put the generated pages in the place of their stubs, which serve readers of the folder alone."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        files.remove(files.get_file_from_path(name))
        files.append(File.generated(config, name, content=page()))
    return files
