"""The farm's logs: one line an event, as text or JSON, with the same names everywhere.

Who logs writes `log.info("action=expire job_id=%s key=%s: %s", id, key, why)`: pairs, then maybe `: ` and words. The
formatter reads the pairs off the template, not off the text, so that a value may hold anything.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from typing_extensions import override

LOGGERS = ("farm", "actors", "deploy", "framepack_engine", "lab")
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
_PAIR = re.compile(r"(\w+)=(\S+)")
_VALUE = re.compile(r"%[-+ #0-9.]*[a-z]")
_PIECE = re.compile(r"(encode|finish)|(section|decode)/(\d+)")
_BARE = re.compile(r"[^\s\"=]+")


class LineFormatter(logging.Formatter):
    """An event as one line."""

    def __init__(self, style: Literal["text", "json"], **always: str) -> None:
        """`always` stands in every line that does not say otherwise: whose log it is."""
        super().__init__()
        self._as_json, self._always = style == "json", always

    @override
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        trace = self.formatException(record.exc_info) if record.exc_info else None
        facts = facts_of(record)
        facts |= {name: value for name, value in self._always.items() if name not in facts}
        if self._as_json:
            line = {"at": at, "level": record.levelname.lower(), "logger": record.name, **facts}
            return json.dumps(line | ({"trace": trace} if trace else {}), default=str)
        message = facts.pop("message", "")
        pairs = " ".join(f"{name}={_bare(value)}" for name, value in facts.items())
        words = ": ".join(str(part) for part in (pairs, message) if part != "")
        text = "".join(map(_printable, f"{at} {record.levelname} {record.name} {words}"))
        return f"{text}\n{trace}" if trace else text


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The event's names and values: `action`, `job_id`, `stage`, `section`, `attempt`, `worker` …, and `message`."""
    template, args = str(record.msg), record.args
    if not template.startswith("action=") or isinstance(args, Mapping):
        return {"message": record.getMessage()}
    left, facts = list(args or ()), dict[str, Any]()
    pairs, _, words = template.partition(": ")
    for name, form in _PAIR.findall(pairs):
        taken = [left.pop(0) for _ in _VALUE.findall(form)]
        facts[name] = taken[0] if form in {"%s", "%d"} and _is_plain(taken[0]) else form % tuple(taken)
    if words:
        facts["message"] = words % tuple(left)
    if piece := _PIECE.fullmatch(str(facts.get("key", ""))):
        del facts["key"]
        facts["stage"] = piece[1] or piece[2]
        if piece[3]:
            facts["section"] = int(piece[3])
    return facts


def setup_logs(*, style: str, level: str, **always: str) -> None:
    """Let this process's farm log to stderr; other libraries' logs stay as they are. Calling it again replaces it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("json" if style == "json" else "text", **always))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _printable(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]


def _bare(value: object) -> str:
    """A value in a line of text: quoted where it would not be one word."""
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
