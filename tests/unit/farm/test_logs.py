"""One line an event, as text or JSON: the same names from every process, whatever the values hold."""

from __future__ import annotations

import ast
import json
import logging
import re
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.contract import OrderKey
from farm.errors import ConfigError
from farm.logs import LOGGERS, LineFormatter, setup_logs
from farm.settings import FarmSettings

LEVELS = {"debug", "info", "warning", "error", "exception"}
PAIRS = re.compile(r"action=\S+( \w+=\S+)*")


def record(template: str, *args: object) -> logging.LogRecord:
    """What `log.warning(template, *args)` makes."""
    return logging.LogRecord("farm.dispatch.dispatcher", logging.WARNING, __file__, 1, template, args, None)


def as_json(template: str, *args: object, **always: str) -> dict[str, object]:
    """The line's fields but time, level and logger."""
    line: dict[str, object] = json.loads(LineFormatter("json", **always).format(record(template, *args)))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("at")))
    assert (line.pop("level"), line.pop("logger")) == ("warning", "farm.dispatch.dispatcher")
    return line


def test_an_event_names_video_section_attempt_and_worker() -> None:
    """The order's key becomes stage and section; numbers stay numbers; the words behind the colon are the message."""
    where = ("video_1", OrderKey(stage="section", section=3), 9)
    assert as_json("action=lease_lost job_id=%s key=%s attempt=%d: %s", *where, "late: by 2 s", worker="w-0") == {
        "action": "lease_lost",
        "job_id": "video_1",
        "stage": "section",
        "section": 3,
        "attempt": 9,
        "message": "late: by 2 s",
        "worker": "w-0",
    }
    assert as_json("action=x key=%s silent_s=%.1f worker=%s", "finish", 2.04, "b", worker="a") == {
        "action": "x",
        "stage": "finish",
        "silent_s": "2.0",
        "worker": "b",
    }
    assert as_json("action=x key=%s", "owners/a/b")["key"] == "owners/a/b"
    text = LineFormatter("text", worker="w-0").format(record("action=answer code=%s message=%s", "quota", "a = b\nc"))
    assert text.endswith(" WARNING farm.dispatch.dispatcher action=answer code=quota worker=w-0: a = b\\nc")


@given(value=st.text(max_size=40), words=st.text(max_size=40))
def test_values_cannot_forge_lines_or_names(value: str, words: str) -> None:
    """Whatever a value holds, the line is one line, and the other names say what they said."""
    template = "action=skip worker=%s error=%s: %s"
    line = as_json(template, "w-0", value, words)
    assert line == {"action": "skip", "worker": "w-0", "error": value, "message": words}
    styles: tuple[Literal["text", "json"], ...] = ("text", "json")
    for style in styles:
        text = LineFormatter(style).format(record(template, "w-0", value, words))
        assert len(text.splitlines()) == 1


def test_a_trace_stays_with_its_line() -> None:
    """In JSON a failure's trace is a field of the line."""
    failed = record("action=crash")
    try:
        int("why")
    except ValueError as err:
        failed.exc_info = (type(err), err, err.__traceback__)
    line = json.loads(LineFormatter("json").format(failed))
    assert "ValueError: invalid" in line["trace"]


def test_what_is_set_up_logs_once_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Twice set up, one line a log; the level is heeded; other libraries' loggers are left alone."""
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).level) for name in LOGGERS}
    try:
        for _ in range(2):
            setup_logs(style="json", level="warning", worker="w-0")
        logging.getLogger("farm.anything").warning("action=seen number=%d", 7)
        logging.getLogger("farm.anything").info("action=unseen")
        logging.getLogger("other").warning("foreign")
        (line,) = [json.loads(text) for text in capsys.readouterr().err.splitlines() if text.startswith("{")]
        assert (line["action"], line["number"], line["worker"]) == ("seen", 7, "w-0")
    finally:
        for name, (handlers, level) in before.items():
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = handlers, True
            logger.setLevel(level)


@pytest.mark.parametrize("package", ["farm", "actors", "deploy", "framepack_engine"])
def test_every_log_call_follows_the_grammar(package: str) -> None:
    """`action=… name=%s …`, then maybe `: words`: that is what the formatter takes apart."""
    for path in sorted(Path(package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id in {"log", "logger"}):
                continue
            where, template = f"{path}:{node.lineno}", node.args[0]
            assert isinstance(template, ast.Constant), where
            assert PAIRS.fullmatch(str(template.value).partition(": ")[0]), f"{where}: {template.value!r}"


@pytest.mark.parametrize("name", ["log_format", "log_level"])
def test_a_setting_that_is_none_is_refused(name: str) -> None:
    """The message names the variable and what may stand there."""
    with pytest.raises(ConfigError, match=rf"FARM_{name.upper()}='loud': need one of"):
        FarmSettings(**{name: "loud"})  # type: ignore[arg-type]
