"""Notices of Azure: scheduled events of the instance metadata service."""

from __future__ import annotations

import json
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import inf
from typing import Any

import httpx

from actors.notices.notice import CloudNotice
from deploy.node.notices.metadata import Metadata, Unanswered, garbled

_EVENTS, _VERSION = "/metadata/scheduledevents", {"api-version": "2020-07-01"}
_NAME, _NAME_VERSION = "/metadata/instance/compute/name", {"api-version": "2021-02-01", "format": "text"}
_HEADERS = {"Metadata": "true"}
#: events that end what runs on the machine; a Freeze only halts it for seconds
_ENDS = frozenset({"Preempt", "Terminate", "Reboot", "Redeploy"})


def first_end(text: str, *, machine: str) -> CloudNotice | None:
    """Read the scheduled events; return the first that ends this machine.

    machine: its name in Azure. The document also lists events of other machines of its set. "": take each as its own.
    """
    try:
        events = json.loads(text)["Events"]
        found = [_notice(event) for event in events if event["EventType"] in _ENDS and _is_of(event, machine)]
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise garbled(_EVENTS, text) from err
    return min(found, key=lambda notice: notice.deadline_s or -inf, default=None)


def _notice(event: dict[str, Any]) -> CloudNotice:
    kind, number = str(event["EventType"]).lower(), str(event["EventId"])
    return CloudNotice("azure", kind, deadline_s=_seconds(str(event.get("NotBefore") or "")), event=number)


def _is_of(event: dict[str, Any], machine: str) -> bool:
    named = [str(name).lower() for name in event.get("Resources") or []]
    return not machine or not named or machine.lower() in named


def _seconds(time: str) -> float | None:
    """Return unix seconds of "Mon, 19 Sep 2016 18:29:47 GMT"; None: it is empty, because the event has begun."""
    try:
        at = parsedate_to_datetime(time)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


class Azure:
    """The instance metadata service of Azure."""

    name = "azure"

    def __init__(self, service: Metadata) -> None:
        """Send nothing."""
        self.service, self._machine = service, ""

    def is_here(self) -> bool:
        """Implement Cloud. The events themselves may take two minutes at their first use."""
        return bool(self._name()) or self._events().status_code == 200

    def look(self) -> CloudNotice | None:
        """Implement Cloud."""
        self._machine = self._machine or self._name()
        answer = self._events()
        if answer.status_code != 200:
            raise Unanswered(f"{_EVENTS}: {answer.status_code}")
        return first_end(answer.text, machine=self._machine)

    def acknowledge(self, notice: CloudNotice) -> None:
        """Implement Cloud: let the event begin."""
        said = {"StartRequests": [{"EventId": notice.event}]}
        answer = self.service.ask("POST", _EVENTS, headers=_HEADERS, params=_VERSION, json=said)
        if answer.status_code != 200:
            raise Unanswered(f"{_EVENTS}: {answer.status_code} to the acknowledgement")

    def _events(self) -> httpx.Response:
        return self.service.ask("GET", _EVENTS, headers=_HEADERS, params=_VERSION)

    def _name(self) -> str:
        answer = self.service.ask("GET", _NAME, headers=_HEADERS, params=_NAME_VERSION)
        return answer.text.strip() if answer.status_code == 200 else ""
