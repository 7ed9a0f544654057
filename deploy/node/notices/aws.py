"""Notices of AWS: the instance metadata service, version 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from actors.notices.notice import CloudNotice
from deploy.node.notices.metadata import Metadata, Unanswered, garbled

_TOKEN, _TOKEN_S = "/latest/api/token", "21600"
_ENDS = frozenset({"Terminated", "Warmed:Terminated", "Warmed:Stopped", "Warmed:Hibernated"})


def interruption(text: str) -> CloudNotice | None:
    """Read spot/instance-action: AWS stops, hibernates or terminates the instance, usually two minutes later."""
    said = _object(text)
    if not isinstance(said.get("action"), str):
        raise garbled("spot/instance-action", text)
    time = str(said.get("time", ""))
    return CloudNotice("aws", "spot", deadline_s=_seconds(time), event=time)


def lifecycle(text: str) -> CloudNotice | None:
    """Read autoscaling/target-lifecycle-state: the group takes the instance out. It names no time."""
    return CloudNotice("aws", "autoscaling", event=text.strip()) if text.strip() in _ENDS else None


def rebalance(text: str) -> CloudNotice | None:
    """Read events/recommendations/rebalance: an interruption is likelier than usual."""
    time = _object(text).get("noticeTime")
    if not isinstance(time, str):
        raise garbled("events/recommendations/rebalance", text)
    return CloudNotice("aws", "rebalance", is_hint=True, event=time)


#: the most urgent first
_ITEMS: tuple[tuple[str, Callable[[str], CloudNotice | None]], ...] = (
    ("spot/instance-action", interruption),
    ("autoscaling/target-lifecycle-state", lifecycle),
    ("events/recommendations/rebalance", rebalance),
)


class Aws:
    """The instance metadata service of EC2."""

    name = "aws"

    def __init__(self, service: Metadata) -> None:
        """Send nothing."""
        self.service, self._token = service, ""

    def is_here(self) -> bool:
        """Implement Cloud: no other service gives tokens."""
        self._token = self._new_token()
        return bool(self._token)

    def look(self) -> CloudNotice | None:
        """Implement Cloud."""
        for item, read in _ITEMS:
            text = self._item(f"/latest/meta-data/{item}")
            if text is not None and (notice := read(text)):
                return notice
        return None

    def acknowledge(self, notice: CloudNotice) -> None:
        """Do nothing: AWS takes no answer here."""

    def _item(self, path: str) -> str | None:
        """Return the text of an item; None: it has none now."""
        for _ in range(2):
            self._token = self._token or self._new_token()
            answer = self.service.ask("GET", path, headers={"X-aws-ec2-metadata-token": self._token})
            if answer.status_code == 200:
                return answer.text
            if answer.status_code == 404:
                return None
            if answer.status_code != 401:
                break
            self._token = ""  # its time is over
        raise Unanswered(f"{path}: {answer.status_code}")

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_S}
        answer = self.service.ask("PUT", _TOKEN, headers=headers)
        return answer.text.strip() if answer.status_code == 200 and answer.text.isascii() else ""


def _object(text: str) -> dict[str, object]:
    try:
        said = json.loads(text)
    except ValueError as err:
        raise garbled("metadata", text) from err
    return said if isinstance(said, dict) else {}


def _seconds(time: str) -> float | None:
    """Return unix seconds of "2026-11-27T08:22:00Z"; None for anything else: the machine ends all the same."""
    try:
        at = datetime.fromisoformat(time)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
