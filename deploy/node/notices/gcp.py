"""Notices of Google Cloud: the metadata server's `preempted`."""

from __future__ import annotations

import time
from collections.abc import Callable

from actors.notices.notice import CloudNotice
from deploy.node.notices.metadata import Metadata, Unanswered, garbled

_PATH = "/computeMetadata/v1/instance/preempted"
_NOTICE_S = 30.0  #: from a preemption to the end of the machine
_WAIT_S = 5  #: that a question waits for a change


def preempted(text: str, *, now_s: float) -> CloudNotice | None:
    """Read `instance/preempted`, which tells no time."""
    said = text.strip().upper()
    if said not in {"TRUE", "FALSE"}:
        raise garbled(_PATH, text)
    return CloudNotice("gcp", "preempted", deadline_s=now_s + _NOTICE_S) if said == "TRUE" else None


class Gcp:
    """The metadata server of Compute Engine."""

    name = "gcp"

    def __init__(self, service: Metadata, *, wall: Callable[[], float] = time.time) -> None:
        """Send nothing. `wall`: unix seconds."""
        self.service, self._wall = service, wall
        self._known = ""  # the etag of the last answer
        self._standing: CloudNotice | None = None

    def is_here(self) -> bool:
        """Implement Cloud."""
        answer = self.service.ask("GET", _PATH, headers={"Metadata-Flavor": "Google"})
        return answer.status_code == 200 and answer.text.strip().upper() in {"TRUE", "FALSE"}

    def look(self) -> CloudNotice | None:
        """Implement Cloud: the server answers at the next change, or after a while."""
        known, self._known = self._known, ""  # after a failure, ask for what is so now
        waits = {"wait_for_change": "true", "last_etag": known, "timeout_sec": str(_WAIT_S)} if known else {}
        answer = self.service.ask(
            "GET", _PATH, headers={"Metadata-Flavor": "Google"}, params=waits, wait_s=_WAIT_S if known else 0
        )
        if answer.status_code != 200:
            raise Unanswered(f"{_PATH}: {answer.status_code}")
        notice = preempted(answer.text, now_s=self._wall())
        self._standing = (self._standing or notice) if notice else None  # its time counts from the first answer
        self._known = answer.headers.get("etag", "")
        return self._standing

    def acknowledge(self, notice: CloudNotice) -> None:
        """Do nothing: Google Cloud takes no answer."""
