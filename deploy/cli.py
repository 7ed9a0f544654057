"""The command line: `framefarm`. stdout is data, stderr is talk.

Exit 0: done; 1: the video failed; 2: usage or settings; 3: `join` gave up; 130: interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from deploy.node.service_manager import tell_systemd
from deploy.terminal.screen import say
from farm.errors import FarmError
from framepack_engine.environment import prepare_process
from framepack_engine.errors import EngineError

#: command -> its module and line of help; a module is loaded when one of its commands is called (--help in 0.3 s)
COMMANDS = {
    "render": ("render", "Make a video and print its path."),
    "submit": ("render", "Ask for a video and print its id, without waiting."),
    "batch": ("batch", "Make a video for each photo of a folder, or for each row of a table."),
    "remix": ("render", "Ask for a changed version of a video and print its id."),
    "extend": (
        "render",
        "Ask for a video that continues another for --seconds more, and print its id.",
    ),
    "ui": ("page", "Open the page: start a farm if none runs, and print the page's address."),
    "up": ("farm", "Run a farm on this machine, in the foreground."),
    "join": ("farm", "Lend this machine's GPUs to another farm."),
    "service": ("service", "Let systemd run the farm: `service install` writes its unit."),
    "list": ("videos", "List videos, newest first."),
    "show": ("videos", "Show one video."),
    "watch": ("videos", "Show a video's progress until it ends."),
    "fetch": ("videos", "Write a video to a file and print its path."),
    "pause": ("videos", "Stop at the next step and keep what is finished."),
    "resume": ("videos", "Continue paused videos."),
    "cancel": ("videos", "Stop at the next step for good; only retry continues it."),
    "retry": ("videos", "Continue failed or cancelled videos."),
    "edit": ("videos", "Change a video: prompt, priority, name, labels."),
    "move": ("videos", "Move a queued video among your own that wait."),
    "rm": ("videos", "Erase ended videos with all of their objects."),
    "workers": ("farm", "List the workers and what they render; or pause, resume or drain one."),
    "drain": ("farm", "Let a worker save its last finished step and end."),
    "models": ("models", "List the models and their files on this machine; or pull, push, verify, remove them."),
    "doctor": (
        "doctor",
        "Check this machine: GPUs, memory plans, models, storage; name each fault and how to fix it.",
    ),
    "keys": ("farm", "API keys: `keys new NAME` makes one."),
    "bench": (
        "bench",
        "Measure a part of the farm: bench scheduler, engine, farm, batch, gpu, peers, precision, pocket, training.",
    ),
    "export": ("store", "Write a video with all of its objects to a file or a new folder and print its path."),
    "import": ("store", "Take in an exported video and print its id."),
    "fsck": ("store", "Check a store: every sha256 that ledgers name, every link, and dangling objects"),
    "train": ("train", "Train the small model or a LoRA: train pocket, ship, lora."),
    "conformance": ("farm", "Compare the engine with golden numbers."),
}


class _Group(TyperGroup):
    """Know the commands without loading them."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = {name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()}

    @override
    def format_help(self, ctx: Any, formatter: Any) -> None:
        _put_help(self, ctx)

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, _with_our_help(load_command(name)) if name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """Return a command with its flags."""
    commands = typer.Typer()
    commands.callback()(lambda: None)  # else a group of one command loses its name
    import_module(f"deploy.commands.{COMMANDS[name][0]}").register(commands)
    group: Any = typer.main.get_command(commands)
    return group.commands[name]


def _with_our_help(command: Any) -> Any:
    """Let `--help` show panels for 80 columns, and no text as Rich's markup, which typer would do."""
    command.format_help = lambda context, _formatter: _put_help(command, context)
    for inner in getattr(command, "commands", {}).values():
        _with_our_help(inner)
    return command


def _put_help(command: Any, context: Any) -> None:
    from deploy.terminal.help import put_help

    put_help(command, context)


app = typer.Typer(
    name="framefarm",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("framepack-farm"))
        raise typer.Exit


@app.callback()
def framefarm(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn a photo and a prompt into a video, with FramePack on every GPU that you have."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status. An error is one line on stderr."""
    prepare_process()
    try:
        app(args=argv if argv is None else list(argv), prog_name="framefarm")
    except SystemExit as end:  # how typer ends, also when all is well
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (FarmError, EngineError) as err:
        return _failed(str(err))
    except OSError as err:  # a full disk, a file that may not be written
        return _failed(f"{err.strerror or err}{f': {err.filename}' if err.filename else ''}")
    except KeyboardInterrupt:
        return 130
    return 0


def _failed(why: str) -> int:
    say(f"framefarm: {why}", style="red")
    tell_systemd(why)
    return 2


if __name__ == "__main__":
    sys.exit(main())
