"""Texts that only this farm can have written: the session of a signed-in browser, a link to one file of a video.

The secret lies in the store. Every ingress of the farm therefore knows it, and it survives restarts.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from farm.errors import Damaged, Unauthorized
from farm.ledger.layout import SEAL, SEAL_BYTES
from farm.store import ObjectMissing, Store

SESSION_S = 30 * 86_400
_SEAL_CHARS = 43  #: 32 bytes in base64


def no_link() -> Unauthorized:
    """Return the error for every false link."""
    return Unauthorized("this link has expired, or belongs to another farm; ask the site that shows it for a new one")


class Session(NamedTuple):
    """A sign-in: `text` is what the browser keeps."""

    text: str
    expires_at: int


class Seals:
    """Makes and checks sealed texts."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._secret: bytes | None = None

    async def session(self, owner: str, keys: Mapping[str, str]) -> Session:
        """Begin a session of the key that `owner` names. It ends after 30 days, or with the key."""
        expires_at = int(self._clock()) + SESSION_S
        return Session(
            f"{owner}.{expires_at}.{await self._seal('session', owner, expires_at, keys[owner])}", expires_at
        )

    async def owner_of(self, session: str, keys: Mapping[str, str]) -> str:
        """Return the owner whom a session names. Raises: Unauthorized if it is forged, has expired or lost its key."""
        owner, expires_at, seal = [*session.split("."), "", ""][:3]
        with suppress(ValueError):
            if int(expires_at) > self._clock() and owner in keys:
                made = await self._seal("session", owner, int(expires_at), keys[owner])
                if hmac.compare_digest(made.encode(), seal.encode()):
                    return owner
        raise Unauthorized("this session has ended, or belongs to another farm; sign in again with your API key")

    async def link(self, video: str, variant: str, key: str, *, seconds: int) -> tuple[int, str]:
        """Return when a link to one file of a video expires, and its seal. key: the sha256 of its owner's API key."""
        until = int(self._clock()) + seconds
        return until, await self._seal("link", video, variant, until, key)

    async def check_link(self, seal: str, video: str, variant: str, key: str | None, *, until: int | None) -> None:
        """Check the seal of a link. Raises: Unauthorized if it is forged, has expired or lost its key."""
        until = self.check_form(seal, until=until)
        if key is None or not hmac.compare_digest(
            (await self._seal("link", video, variant, until, key)).encode(), seal.encode()
        ):
            raise no_link()

    def check_form(self, seal: str, *, until: int | None) -> int:
        """Return when a link expires. Reads no store. Raises: Unauthorized for an old or misshapen one."""
        if until is None or until <= self._clock() or len(seal) != _SEAL_CHARS:
            raise no_link()
        return until

    async def _seal(self, *parts: str | int) -> str:
        """Return the HMAC of the parts. A part holds no line break, so that no two lists of parts read alike."""
        if self._secret is None:
            self._secret = await run_in_threadpool(self._read_secret)
        made = hmac.digest(self._secret, "\n".join(map(str, parts)).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()

    def _read_secret(self) -> bytes:
        """Return the farm's secret; make it where there is none. Raises: Damaged, StoreError."""
        try:
            secret = self._store.get(SEAL)
        except ObjectMissing:
            self._store.put_if_absent(SEAL, secrets.token_bytes(SEAL_BYTES))
            secret = self._store.get(SEAL)
        if len(secret) != SEAL_BYTES:
            raise Damaged(
                f"{SEAL} is not a secret of {SEAL_BYTES} bytes; erase it, and everybody signs in again", key=SEAL
            )
        return secret
