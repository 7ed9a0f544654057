"""keys: who may ask a farm."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.connect import Json
from deploy.screen import put_json, say
from farm.keys import new_key

keys = typer.Typer(help="API keys: `keys new NAME` makes one.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(keys, name="keys")


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="who will hold it; their videos belong to this name")],
    *,
    as_json: Json = False,
) -> None:
    """Make a key: prints it, and its entry for FARM_API_KEYS. It is shown this once and kept nowhere."""
    key, entry = new_key(name)
    if as_json:
        put_json({"key": key, "entry": entry})
        return
    say(f"{name} sets FARM_API_KEY to the first line; the farm's FARM_API_KEYS gets the second, behind a comma")
    print(key)
    print(entry)


@keys.callback()
def callback() -> None:
    """API keys: `keys new NAME` makes one. They are known to the farm by their sha256 only."""
