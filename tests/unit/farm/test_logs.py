"""The farm logs one line an event, as text or JSON, with the same names in every process."""

from __future__ import annotations

import ast
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import ConfigError
from farm.logs import FORMATS, LOGGERS, LineFormatter, setup_logs
from farm.settings import FarmSettings

LEVELS = {"debug", "info", "warning", "error", "exception"}
ACTION = re.compile(r"(%s|[a-z_]+(%s)?)(: .+)?", re.DOTALL)


def record(template: str, *args: object, **facts: object) -> logging.LogRecord:
    """Make the record of `log.warning(template, *args, extra=facts)`."""
    logger = logging.getLogger("farm.dispatch.dispatcher")
    return logger.makeRecord(logger.name, logging.WARNING, __file__, 1, template, args, None, extra=facts)


def as_json(event: logging.LogRecord, **always: str) -> dict[str, object]:
    """Return the line's fields without time, level and logger."""
    line: dict[str, object] = json.loads(LineFormatter("json", **always).format(event))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("at")))
    assert (line.pop("level"), line.pop("logger")) == ("warning", "farm.dispatch.dispatcher")
    return line


def test_an_event_names_video_section_attempt_and_worker() -> None:
    """The message is the action, then words behind a colon; numbers in `extra` stay numbers."""
    where = {"job_id": "video_1", "attempt": 9, "stage": "section", "section": 3}
    lost = record("lease_lost: %s", "late: by 2 s", **where)
    assert as_json(lost, worker="w-0") == {"action": "lease_lost", **where, "message": "late: by 2 s", "worker": "w-0"}
    assert as_json(record("x", worker="b"), worker="a") == {"action": "x", "worker": "b"}
    text = LineFormatter("text", worker="w-0").format(record("answer: %s", "a = b\nc", code="quota"))
    assert text.endswith(" WARNING farm.dispatch.dispatcher action=answer code=quota worker=w-0: a = b\\nc")
    untimed = LineFormatter("journal", worker="w-0").format(record("answer: %s", "yes"))
    assert untimed == "WARNING farm.dispatch.dispatcher action=answer worker=w-0: yes"


@given(value=st.text(max_size=40), words=st.text(min_size=1, max_size=40))
def test_values_cannot_forge_lines_or_names(value: str, words: str) -> None:
    """Any value stays within one line and leaves the other names alone."""
    event = record("skip: %s", words, worker="w-0", error=value)
    assert as_json(event) == {"action": "skip", "worker": "w-0", "error": value, "message": words}
    for style in FORMATS:
        assert len(LineFormatter(style).format(event).splitlines()) == 1


def test_what_a_factory_adds_to_every_record_is_no_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing Ray installs a factory of records that adds its own timestamp."""
    plain = logging.getLogRecordFactory()

    def stamped(*args: Any, **options: Any) -> logging.LogRecord:
        record = plain(*args, **options)
        record.stamp = 1
        return record

    monkeypatch.setattr(logging, "_logRecordFactory", stamped)
    assert as_json(record("x", worker="w-0")) == {"action": "x", "worker": "w-0"}


def test_a_trace_stays_with_its_line() -> None:
    """In JSON a failure's trace is a field of the line."""
    failed = record("crash")
    try:
        int("why")
    except ValueError as err:
        failed.exc_info = (type(err), err, err.__traceback__)
    line = json.loads(LineFormatter("json").format(failed))
    assert "ValueError: invalid" in line["trace"]


def test_what_is_set_up_logs_once_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Setting logs up twice still logs each event once, at the chosen level, and leaves other libraries alone."""
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).level) for name in LOGGERS}
    try:
        for _ in range(2):
            setup_logs(style="json", level="warning", worker="w-0")
        logging.getLogger("farm.anything").warning("seen", extra={"number": 7})
        logging.getLogger("farm.anything").info("unseen")
        logging.getLogger("other").warning("foreign")
        (line,) = [json.loads(text) for text in capsys.readouterr().err.splitlines() if text.startswith("{")]
        assert (line["action"], line["number"], line["worker"]) == ("seen", 7, "w-0")
    finally:
        for name, (handlers, level) in before.items():
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = handlers, True
            logger.setLevel(level)


@pytest.mark.parametrize("package", LOGGERS)
def test_every_log_call_names_its_action(package: str) -> None:
    """The message begins with an action's name; the formatter and people who search a log rely on it."""
    for path in sorted(Path(package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id in {"log", "logger"}):
                continue
            where, template = f"{path}:{node.lineno}", node.args[0]
            assert isinstance(template, ast.Constant), where
            assert ACTION.fullmatch(str(template.value)), f"{where}: {template.value!r}"


@pytest.mark.parametrize("name", ["log_format", "log_level"])
def test_a_setting_that_is_none_is_refused(name: str) -> None:
    """The error names the variable and its possible values."""
    with pytest.raises(ConfigError, match=rf"FARM_{name.upper()}='loud': need one of"):
        FarmSettings(**{name: "loud"})
