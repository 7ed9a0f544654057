"""API keys: made here, kept by their holders, known to the farm by their sha256 only."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from farm.errors import ConfigError, Unauthorized

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # it becomes part of object keys
_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_key(name: str) -> tuple[str, str]:
    """A fresh key for `name`, and its entry for FARM_API_KEYS, which does not give it away. Raises: ConfigError."""
    _check_name(name)
    key = f"farm-{secrets.token_urlsafe(32)}"
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_keys(text: str) -> dict[str, str]:
    """FARM_API_KEYS, `name:sha256hex,…`, as name -> sha256 of the key. Raises: ConfigError."""
    keys: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, digest = entry.partition(":")
        _check_name(name)
        if not _SHA256.fullmatch(digest):
            raise ConfigError(
                f"FARM_API_KEYS: {name} needs the sha256 of its key, 64 hex digits; see `framefarm keys new`"
            )
        if name in keys:
            raise ConfigError(f"FARM_API_KEYS: {name} is there twice")
        keys[name] = digest
    return keys


def parse_operators(text: str, keys: Mapping[str, str]) -> frozenset[str]:
    """FARM_OPERATORS, `name,…`: whose keys may pause, resume and drain workers; empty: all. Raises: ConfigError."""
    names = frozenset(filter(None, (part.strip() for part in text.split(","))))
    if unknown := sorted(names - keys.keys()):
        raise ConfigError(f"FARM_OPERATORS names {', '.join(unknown)}; need names of keys in FARM_API_KEYS")
    return names


def owner_of(authorization: str, keys: Mapping[str, str]) -> str:
    """The name whose key an Authorization header carries; every key is compared, each in constant time.

    Raises: Unauthorized.
    """
    scheme, _, key = authorization.partition(" ")
    digest = hashlib.sha256(key.strip().encode()).hexdigest()
    names = [name for name, known in keys.items() if hmac.compare_digest(digest, known)]
    if scheme.lower() != "bearer" or not names:
        raise Unauthorized("this farm wants an API key of its own: Authorization: Bearer KEY (framefarm: FARM_API_KEY)")
    return names[0]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for an API key; need letters, digits, '-' and '_', 64 at the most")
