"""deploy/farm.example.env, made from the settings: `python -m deploy.terminal.example_env` writes it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from farm.settings import PARTS, FarmSettings

FILE = Path(__file__).parents[1] / "farm.example.env"
_WIDTH = 100
_HEAD = """\
# Every setting of the farm, with its default. A flag of `framefarm up` takes precedence over its variable.
# An unknown FARM_ name is an error, so a misspelt one does not go unnoticed. An empty value leaves a setting unset.
# Copy this file, remove the `#` before what you change, then: set -a; . ./farm.env; set +a; framefarm up
"""


def shown_default(name: str) -> str:
    """Return a setting's default as people write it: empty for an unset one, `~` for the home folder."""
    field = FarmSettings.model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    if "shown" in extra:
        return str(extra["shown"])
    return "" if field.default is None else str(int(field.default) if field.annotation is bool else field.default)


def example_env() -> str:
    """Return the file's text."""
    lines = [_HEAD]
    for name, field in FarmSettings.model_fields.items():
        if name in PARTS:
            lines.append(f"# --- {PARTS[name]} ".ljust(_WIDTH, "-") + "\n")
        lines += [f"# {line}" for line in textwrap.wrap(field.description or "", _WIDTH - 2)]
        lines.append(f"#FARM_{name.upper()}={shown_default(name)}\n")
    return "\n".join(lines)


if __name__ == "__main__":
    FILE.write_text(example_env(), encoding="utf-8")
