"""Questions to a cloud's metadata service: short ones, and never through a proxy."""

from __future__ import annotations

from typing import Any, Protocol

import httpx

from actors.notices.notice import CloudNotice

ADDRESS = "http://169.254.169.254"  #: of each cloud's service
GCP_ADDRESS = "http://metadata.google.internal"  #: the same, by the name that Google documents
_CONNECT_S = 1.0
_ANSWER_S = 2.0


class Unanswered(Exception):
    """The service did not answer, or answered what it should not. Nothing is known then."""


class Metadata:
    """A metadata service."""

    def __init__(self, base: str) -> None:
        """Send nothing. `base`: its address, as http://host:port."""
        self._http = httpx.Client(base_url=base, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        params: dict[str, str] | None = None,
        json: Any = None,
        wait_s: float = 0.0,
    ) -> httpx.Response:
        """Return its answer, also one that refuses. wait_s: that it may think. Raises: Unanswered."""
        times = httpx.Timeout(_ANSWER_S + wait_s, connect=_CONNECT_S)
        try:
            answer = self._http.request(method, path, headers=headers, params=params, json=json, timeout=times)
        except httpx.HTTPError as err:
            raise Unanswered(f"{path}: {type(err).__name__}") from err
        if answer.status_code >= 500:
            raise Unanswered(f"{path}: {answer.status_code}")
        return answer


class Cloud(Protocol):
    """The metadata service of this machine's cloud."""

    name: str
    service: Metadata

    def is_here(self) -> bool:
        """Whether this service is that cloud's. Raises: Unanswered if it cannot say now."""

    def look(self) -> CloudNotice | None:
        """Return the notice that stands, the most urgent one. It may wait some seconds for one. Raises: Unanswered."""

    def acknowledge(self, notice: CloudNotice) -> None:
        """Tell the cloud that it need not wait any longer. Raises: Unanswered."""


def garbled(path: str, text: str) -> Unanswered:
    """Return the error for an answer that means nothing."""
    return Unanswered(f"{path}: {text[:80]!r} is no answer")
