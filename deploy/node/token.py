"""The token of the farm's Ray. A machine that has it and reaches Ray's ports can run code there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from farm.errors import ConfigError
from farm.settings import FarmSettings

_FILE = ".farm.token"
_HOME = Path("~/.ray/auth_token")  #: Ray's own default


def own_token(settings: FarmSettings) -> dict[str, str]:
    """Return the variables with this farm's token: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, or a file in its storage.

    The file stays, so machines that joined come back after a restart. Raises: ConfigError.
    """
    if given := _given():
        return given
    path = settings.storage_path / _FILE
    try:
        path.touch(mode=0o600)  # an existing file stays as it is
        if not path.stat().st_size:
            path.write_text(secrets.token_hex(32))
    except OSError as err:
        raise ConfigError(f"cannot keep the farm's token in {path}: {err.strerror}") from err
    return _from_file(path)


def found_token(settings: FarmSettings) -> dict[str, str]:
    """Return the variables with the token of a farm to join: as given, else from this machine's storage or home.

    Raises: ConfigError if there is none.
    """
    if given := _given():
        return given
    for path in (settings.storage_path / _FILE, _HOME.expanduser()):
        if path.exists():
            return _from_file(path)
    msg = "no token to join with; copy the file that `framefarm up` names and set RAY_AUTH_TOKEN_PATH to its path"
    raise ConfigError(msg)


def _given() -> dict[str, str]:
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return _from_file(Path(path))
    return {}


def _from_file(path: Path) -> dict[str, str]:
    if not path.is_file() or not path.read_text().strip():
        raise ConfigError(f"{path} holds no token; copy the file that `framefarm up` names")
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
