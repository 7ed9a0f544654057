"""API keys: users hold them, the farm knows only their sha256."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from farm.errors import ConfigError, Unauthorized

LOCAL_OWNER = "local"  #: the one owner of a farm without keys
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # a name becomes part of object keys
_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_key(name: str) -> tuple[str, str]:
    """Make a key for `name`; return it and its entry for FARM_API_KEYS. Raises: ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name an API key; need at most 64 letters, digits, '-' and '_'")
    key = f"farm-{secrets.token_urlsafe(32)}"
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_keys(text: str) -> dict[str, str]:
    """Parse FARM_API_KEYS, `name:sha256hex,…`, into name -> sha256 of the key. Raises: ConfigError."""
    keys: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, _, digest = entry.partition(":")
        if not _NAME.fullmatch(name) or not _SHA256.fullmatch(digest):  # it may be a key: no word shows it
            raise ConfigError(
                f"FARM_API_KEYS: entry {number} needs a name, ':' and the sha256 of its key (64 hex digits); "
                "`framefarm keys new NAME` prints one"
            )
        if name in keys:
            raise ConfigError(f"FARM_API_KEYS: {name} appears twice")
        keys[name] = digest
    return keys


def parse_operators(text: str, keys: Mapping[str, str]) -> frozenset[str]:
    """Parse FARM_OPERATORS, `name,…`: their keys may pause, resume and drain workers. Raises: ConfigError."""
    names = frozenset(filter(None, (part.strip() for part in text.split(","))))
    if unknown := sorted(names - keys.keys()):
        raise ConfigError(f"FARM_OPERATORS names {', '.join(unknown)}; need names of keys in FARM_API_KEYS")
    return names


def owner_of(authorization: str, keys: Mapping[str, str]) -> str:
    """Return the name of the key in an Authorization header. Raises: Unauthorized."""
    scheme, _, key = authorization.partition(" ")
    name = name_of(key.strip(), keys)
    if scheme.lower() != "bearer" or name is None:
        raise Unauthorized("this farm needs one of its API keys: Authorization: Bearer KEY (framefarm: FARM_API_KEY)")
    return name


def name_of(key: str, keys: Mapping[str, str]) -> str | None:
    """Return the name of a key, or None if it is none of `keys`. Compare every key, each in constant time."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    names = [name for name, known in keys.items() if hmac.compare_digest(digest, known)]
    return names[0] if names else None
