"""The farm that a command talks to: --url, else FARM_URL, else the farm on this machine's storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.errors import ConfigError
from framefarm_client.address import running_at

if TYPE_CHECKING:
    from farm.client import FarmClient
    from farm.settings import FarmSettings

Url = Annotated[str | None, typer.Option("--url", help="the farm's address (FARM_URL); default: this machine's")]
Storage = Annotated[str | None, typer.Option("--storage", help="folder of the farm on this machine (FARM_STORAGE)")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout")]


def read_settings(*, url: str | None = None, storage: str | None = None) -> FarmSettings:
    """Read FARM_* and the two flags. Raises: ConfigError."""
    from deploy.settings import Settings

    return Settings.from_env(url=url, storage=storage)


def url_of(settings: FarmSettings) -> str | None:
    """Return the address of the farm that these settings mean, or None if none runs."""
    return settings.url or running_at(settings.storage_path)


def client_at(url: str, settings: FarmSettings, *, patience_s: float = 60.0) -> FarmClient:
    """Return a client; its `with` block closes it."""
    from farm.client import FarmClient

    return FarmClient(url, api_key=settings.api_key, patience_s=patience_s)


def connect(*, url: str | None, storage: str | None = None, patience_s: float = 60.0) -> FarmClient:
    """Return a client of the farm that the flags mean. Raises: ConfigError if none runs.

    patience_s: how long the client keeps asking a farm that does not answer.
    """
    settings = read_settings(url=url, storage=storage)
    found = url_of(settings)
    if found is None:
        raise ConfigError(f"no farm runs on {settings.storage}; start one with `framefarm up`, or set FARM_URL")
    return client_at(found, settings, patience_s=patience_s)
