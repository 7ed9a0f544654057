"""The command line: `framefarm`. stdout is data, stderr is talk.

Exit 0: done; 1: the video failed; 2: usage or settings; 130: interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from deploy.terminal.screen import say
from farm.errors import FarmError
from framepack_engine.environment import prepare_process

#: command -> its module and line of help; a module is loaded when one of its commands is called (--help in 0.3 s)
COMMANDS = {
    "render": ("render", "Make a video and print its path."),
    "submit": ("render", "Ask for a video and print its id, without waiting."),
    "batch": ("batch", "Make a video for each photo of a folder."),
    "remix": ("render", "Ask for a video with other fields than ID's and print its id."),
    "extend": (
        "render",
        "Ask for a video that goes on where another ends, for --seconds more, and print its id.",
    ),
    "up": ("farm", "Run a farm on this machine, in the foreground."),
    "join": ("farm", "Lend this machine's GPUs to a farm that runs elsewhere."),
    "list": ("videos", "Videos, newest first."),
    "show": ("videos", "One video."),
    "watch": ("videos", "Progress until the video ends."),
    "fetch": ("videos", "Write a video to a file and print its path."),
    "pause": ("videos", "Stop at the next step and keep what is made."),
    "resume": ("videos", "Go on with paused videos."),
    "cancel": ("videos", "Stop at the next step, for good unless retried."),
    "retry": ("videos", "Go on with failed or cancelled videos."),
    "edit": ("videos", "Change a video that is queued or paused."),
    "rm": ("videos", "Erase ended videos and everything stored of them."),
    "workers": ("farm", "Who renders, and what; or let one rest, work again, or end."),
    "drain": ("farm", "Let a worker save its last finished step and end."),
    "models": ("models", "What can be asked for, and its files on this machine; without a command: list."),
    "doctor": (
        "doctor",
        "What this machine is and can do: GPUs, memory plans, models, storage; and what is wrong, with what mends it.",
    ),
    "keys": ("farm", "API keys: `keys new NAME` makes one."),
    "bench": (
        "bench",
        "Measure a part of the farm: bench scheduler, engine, farm, gpu, precision, pocket.",
    ),
    "export": ("store", "Write a video with everything to a file or a new folder and print its path."),
    "import": ("store", "Take a video that was exported and print its id."),
    "fsck": ("store", "Check a store: every sha256 that ledgers name, every link, and what nothing refers to"),
    "train": ("train", "Train the small model or a LoRA: train pocket, ship, lora."),
    "conformance": ("farm", "Compare the engine with golden numbers."),
}


class _Group(TyperGroup):
    """Lists its commands without loading them."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """A command with its flags."""
    commands = typer.Typer()
    commands.callback()(lambda: None)  # else a group of one command loses its name
    import_module(f"deploy.commands.{COMMANDS[name][0]}").register(commands)
    group: Any = typer.main.get_command(commands)
    return group.commands[name]


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
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")] = False,
) -> None:
    """A photo in, a video out: FramePack on as many GPUs as there are."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. What went wrong is one line on stderr."""
    prepare_process()
    try:
        app(args=argv if argv is None else list(argv), prog_name="framefarm")
    except SystemExit as end:  # how typer ends, also when all is well
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except FarmError as err:
        say(f"framefarm: {err}", style="red")
        return 2
    except OSError as err:  # a full disk, a file that may not be written
        say(f"framefarm: {err.strerror or err}{f': {err.filename}' if err.filename else ''}", style="red")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
