"""Manners that every command has: --json where it prints data, and refusals that name what was wrong, with exit 2."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_origin

import pytest
from pydantic import BaseModel

from deploy import cli
from deploy.request_type import REQUEST_TYPE
from farm.jobs import Record
from tests.imports import ROOT

CAT = str(ROOT / "examples" / "cat.jpg")
VIDEO = "video_" + "0" * 32
Out = pytest.CaptureFixture[str]
UNTIL_STOPPED = {"up", "ui", "join"}  #: print one line of a fixed form, such as `ready URL`, and go on


def leaves() -> Iterator[tuple[str, Any]]:
    """Every command that does something, `keys new` and its like too."""

    def below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", {})
        if not inner or command.invoke_without_command:
            yield words, command
        for name, each in inner.items():
            yield from below(f"{words} {name}", each)

    for name in cli.COMMANDS:
        yield from below(name, cli.load_command(name))


def metavar(param: Any) -> str:
    """Return the value's name in the help text."""
    return str(param.metavar or "")


LEAVES = dict(leaves())
IDS = [
    (words, param)
    for words in sorted(LEAVES.keys() - {"workers"})  # whose ids are not videos'
    for param in LEAVES[words].params
    if "ID" in re.split(r"\W", metavar(param))
]


def flags(words: str) -> list[Any]:
    """A command's flags."""
    return [param for param in LEAVES[words].params if param.param_type_name == "option"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on which no word is broken."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERM", "dumb")


def refusal(capsys: Out, *argv: str) -> str:
    """Return the message of a command that must be refused: exit 2, nothing on stdout, no trace."""
    status = cli.main(argv)
    out, err = capsys.readouterr()
    assert (status, out) == (2, ""), f"{argv}: {err}"
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("words", LEAVES)
def test_help_shows_every_word(words: str, capsys: Out) -> None:
    """Each flag with its whole text: what stands in brackets is no markup. The call stands above, as it is typed."""
    assert cli.main([*words.split(), "--help"]) == 0
    out = capsys.readouterr().out
    usage = next(line for line in out.splitlines() if "Usage" in line)
    assert re.match(rf" Usage: framefarm {words} \[OPTIONS\]( \[?[\w|:.-]+…?\]?)*( COMMAND \[ARGS\]…)?$", usage)
    shown = " ".join(out.replace("│", " ").split())
    for text in [LEAVES[words].help, *(flag.help for flag in flags(words) if not flag.hidden)]:
        for bracketed in re.findall(r"\[[^\]]*\]", text or ""):
            assert bracketed in shown, text
    assert "\\[" not in shown


def test_a_word_that_is_no_command_is_answered_with_those_like_it(capsys: Out) -> None:
    """Of commands that were not loaded, too."""
    assert "Did you mean 'render'" in refusal(capsys, "rendr")


@pytest.mark.parametrize("words", sorted(LEAVES.keys() - UNTIL_STOPPED))
def test_data_comes_as_json_too(words: str) -> None:
    """Each command that ends by itself has --json."""
    assert "--json" in {name for flag in flags(words) for name in flag.opts}


@pytest.mark.parametrize("words", LEAVES)
def test_a_refused_flag_is_named(words: str, capsys: Out) -> None:
    """One that is not there; and of each kind that has wrong values, the first: a number, a choice."""
    assert "--no-such-flag" in refusal(capsys, *words.split(), "--no-such-flag")
    kinds: dict[object, str] = {}
    for flag in flags(words):
        kind = flag.type_descriptor.annotation
        if kind in {int, float} or get_origin(kind) is Literal:
            kinds.setdefault(get_origin(kind) or kind, flag.opts[0])
    for name in kinds.values():
        assert name in refusal(capsys, *words.split(), name, "x!")


@pytest.mark.parametrize("words", [words for words, leaf in LEAVES.items() if any(p.required for p in leaf.params)])
def test_what_is_missing_is_named(words: str, capsys: Out) -> None:
    """Called with nothing, a command names the first argument or flag that it needs."""
    needed = [param for param in LEAVES[words].params if param.required]
    said = refusal(capsys, *words.split())
    assert any((param.metavar or param.opts[0].upper()) in said or param.opts[0] in said for param in needed), said


def beyond(model: type[BaseModel]) -> dict[str, str]:
    """Field -> a number just beyond its limits."""
    found = {}
    for name, field in model.model_fields.items():
        for limit in field.metadata:
            if (least := getattr(limit, "ge", None)) is not None:
                found[name] = f"{least - 1:g}"
            elif (most := getattr(limit, "le", None)) is not None:
                found[name] = f"{most + 1:g}"
    return found


@pytest.mark.parametrize(
    "argv",
    [
        ("render", CAT, "--prompt", "a"),
        ("submit", CAT, "--prompt", "a"),
        ("extend", VIDEO, "--prompt", "a"),
        ("batch", str(Path(CAT).parent), "-o", ".", "--prompt", "a"),
    ],
    ids=lambda argv: argv[0],
)
def test_a_refused_field_is_named(argv: tuple[str, ...], capsys: Out) -> None:
    """Each field beyond its limits, before any farm is asked."""
    fields = beyond(REQUEST_TYPE)
    assert {"seconds", "num_inference_steps", "priority"} <= fields.keys()
    for name, value in fields.items():
        assert f"{name}: " in refusal(capsys, *argv, f"--{name.replace('_', '-')}={value}")


@pytest.mark.parametrize("command", ["up", "join 127.0.0.1:1"])
@pytest.mark.parametrize(
    ("flag", "value"), [("--stages", "paint"), ("--hours", "late"), ("--preserve-gb", "-1"), ("--vram-class", "v7")]
)
def test_a_refused_setting_is_named(command: str, flag: str, value: str, capsys: Out) -> None:
    """By its variable, before anything is started."""
    assert f"FARM_{flag[2:].replace('-', '_').upper()}" in refusal(capsys, *command.split(), flag, value)


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        (("remix", "ID", "--seconds", "-1"), "seconds"),
        (("edit", "ID", "--priority", "99"), "priority"),
        (("list", "--status", "lost"), "status"),
        (("fetch", "ID", "--variant", "lost"), "variant"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_farm_refuses_is_named(
    farm_url: str, accept: Callable[..., Record], argv: tuple[str, ...], field: str, capsys: Out
) -> None:
    """Where only the farm can tell."""
    video = accept().job.id
    assert f"{field}: " in refusal(capsys, *(video if word == "ID" else word for word in argv))


@pytest.mark.parametrize(("words", "param"), IDS, ids=[f"{words} {param.name}" for words, param in IDS])
def test_the_first_digits_of_an_id_are_enough(
    farm_url: str, accept: Callable[..., Record], words: str, param: Any, capsys: Out
) -> None:
    """Wherever an id is taken: the command looks for it before it asks for anything else."""
    video = accept().job.id
    digits = f"{(int(video[6], 16) + 1) % 16:x}0"
    more = {"edit": ["--name=a"], "remix": ["--prompt=a"], "extend": ["--prompt=a"], "move": ["--first"]}.get(words, [])
    argv = [digits, *more] if param.param_type_name == "argument" else [f"{param.opts[0]}={digits}"]
    if param.param_type_name == "option" and any(other.required for other in LEAVES[words].params):
        argv = [video, *argv]
    assert f"whose id begins with {digits}" in refusal(capsys, words, *argv)


def test_a_video_is_moved_by_first_digits(farm_url: str, accept: Callable[..., Record], capsys: Out) -> None:
    """Its own, and those of the video beside which it goes."""
    one, two = (accept().job.id for _ in range(2))
    for flag in ("--before", "--after"):
        assert cli.main(["move", two[6:20], flag, one[6:20]]) == 0
        assert two in capsys.readouterr().out
