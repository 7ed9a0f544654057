"""The farm's logs: one line an event, as text or JSON, with the same names everywhere.

Log an event as `log.warning("lease_lost: %s", err, extra={"job_id": id, "attempt": 9})`: the message is the action,
optionally followed by `: ` and words for people; `extra` holds the facts for programs.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

from typing_extensions import override

LOGGERS = ("farm", "actors", "deploy", "framepack_engine", "lab")
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json", "journal")
_BARE = re.compile(r"[^\s\"=]+")


class LineFormatter(logging.Formatter):
    """Write an event as one line: as text, as text without its time for systemd's journal, or as JSON."""

    def __init__(self, style: str, **always: str) -> None:
        """`always` names and values go into every line, unless the event has a value of its own for the name."""
        super().__init__()
        self._form, self._always = style, always

    @override
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        trace = self.formatException(record.exc_info) if record.exc_info else None
        facts = facts_of(record)
        facts |= {name: value for name, value in self._always.items() if name not in facts}
        if self._form == "json":
            line = {"at": at, "level": record.levelname.lower(), "logger": record.name, **facts}
            return json.dumps(line | ({"trace": trace} if trace else {}), default=str)
        message = facts.pop("message", "")
        pairs = " ".join(f"{name}={_bare(value)}" for name, value in facts.items())
        words = ": ".join(str(part) for part in (pairs, message) if part != "")
        time = "" if self._form == "journal" else f"{at} "
        text = "".join(map(_printable, f"{time}{record.levelname} {record.name} {words}"))
        return f"{text}\n{trace}" if trace else text


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the event's names and values: `action`, the facts in `extra`, and `message` if there are words."""
    action, _, words = record.getMessage().partition(": ")
    plain = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}  # Ray's factory of records adds attributes
    facts = {name: value for name, value in vars(record).items() if name not in plain}
    return {"action": action, **facts, **({"message": words} if words else {})}


def setup_logs(*, style: str, level: str, **always: str) -> None:
    """Send this process's farm logs to stderr, replacing any earlier setup; leave other libraries' logs as they are."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(style, **always))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False


def _printable(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]


def _bare(value: object) -> str:
    """Return a value as it appears in a line of text: quoted unless it is a single word."""
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
