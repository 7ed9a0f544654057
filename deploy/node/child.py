"""A farm in a process of its own: start it, wait for it, restart it when it dies, end it with all that it started."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from deploy.node.lock import locked
from deploy.node.paths import pin_paths
from deploy.node.service_manager import SOCKET, tell_systemd
from deploy.node.tidings import KINDS, Kind
from deploy.terminal.screen import talk
from deploy.terminal.starting import starting
from deploy.terminal.unread import outliving_readers
from deploy.terminal.up_screen import UpScreen
from farm.errors import ConfigError
from farm.settings import FarmSettings

#: A farm's processes, Ray's included, carry their storage's folder in this variable of their environment.
STORAGE_MARK = "FRAMEFARM_STORAGE"
#: Where our packages lie. Child processes start there: Python puts the current folder first on the import path, and a
#: user's `token.py` or `farm/` would hide modules.
PACKAGES = Path(__file__).parents[2]
DYING_S = 3.0  #: within this a farm has ended whose `framefarm up` was killed
_START_S = 300.0  #: Ray alone waits 60 s for a process that does not come, and starts another
_STOP_S = 60.0
_LAST_WORDS_S = 5.0  #: of a farm that has ended
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)  #: before the next start; a farm that dies more often is given up
_WITHIN_S = 600.0  #: deaths that are longer ago do not count


class FarmChild:
    """`framefarm up` in a child process, which ends when this process ends.

    restart: whether the child starts its farm again when it dies.
    """

    def __init__(
        self,
        settings: FarmSettings,
        *,
        restart: bool = False,
        stderr: IO[bytes] | None = None,
        hear: Callable[[Kind, str], None] | None = None,
    ) -> None:
        """hear: called in a thread with the farm's messages other than `ready`."""
        self._settings, self._hear = settings, hear
        pin_paths()
        command = [sys.executable, "-m", "deploy.cli", "up", "--exit-with-parent", str(os.getpid())]
        command += [] if restart else ["--no-restart"]
        env = {key: value for key, value in os.environ.items() if not key.startswith("FARM_")}
        env |= {**settings.absolute().to_env(), "FARM_URL": ""}
        env.pop(SOCKET, None)  # systemd hears the process that it started, and no other
        self.process = subprocess.Popen(
            command, env=env, cwd=PACKAGES, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        )
        self._ready: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="farm-stdout", daemon=True)
        self._reader.start()

    def await_ready(self, *, timeout_s: float | None = None) -> str | None:
        """Return the farm's URL once it takes requests, or None if it ends before, or after `timeout_s`."""
        with contextlib.suppress(queue.Empty):
            return self._ready.get(timeout=timeout_s)
        return None

    def stop(self) -> int:
        """Drain the farm and end it; after a minute, kill what is left. Return the exit code."""
        code = end(self.process, within_s=_STOP_S)
        with contextlib.suppress(ConfigError), locked(self._settings, wait_s=DYING_S):  # else another farm runs here
            end_orphans(self._settings.storage_path)
        self._reader.join(_LAST_WORDS_S)
        return code

    def _read(self) -> None:
        with self.process.stdout or contextlib.nullcontext() as lines:
            for line in lines or ():  # to the end: a full pipe would stop the farm
                kind, _, words = line.decode(errors="replace").strip().partition(" ")
                if kind == "ready":
                    self._ready.put(words)
                elif self._hear is not None and kind in KINDS:
                    self._hear(cast("Kind", kind), words)
        self._ready.put(None)


@contextlib.contextmanager
def start_background(settings: FarmSettings) -> Iterator[str]:
    """Run a farm on a free port for as long as the context lasts; give its URL.

    Raises: ConfigError if it does not start; the message ends with its last words.
    """
    folder = settings.storage_path
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / ".farm.log"
    child: FarmChild | None = None
    try:
        with starting(f"starting a farm on this machine; its storage is {settings.storage}") as step:
            with log_path.open("wb") as log:
                child = FarmChild(
                    settings.replaced(port=0),
                    restart=True,
                    stderr=log,
                    hear=lambda kind, words: step(words) if kind == "step" else None,
                )
            url = child.await_ready(timeout_s=_START_S)
        if url is None:
            child.process.kill()
            raise ConfigError(f"the farm did not start; the end of {log_path}:\n{last_words(log_path)}")
        yield url
    finally:
        if child is not None:
            child.stop()


def last_words(log_path: Path) -> str:
    """Return why a farm ended, as its log says it."""
    lines = log_path.read_text(errors="replace").strip().splitlines()
    said = [line.removeprefix("framefarm: ") for line in lines if line.startswith("framefarm: ")]
    return "\n".join(said[-1:] or lines[-5:] or ["it said nothing"])


def put_ready(url: str) -> None:
    """Print that the farm takes requests, on stdout."""
    print(f"ready {url}", flush=True)
    tell_systemd(f"ready {url}", "READY=1")


@outliving_readers()
def keep_running(
    settings: FarmSettings, *, ready: Callable[[str], None] = put_ready, exit_with_parent: int | None = None
) -> int:
    """Run a farm, call `ready` with its URL, start it again if it dies; drain it at SIGINT or SIGTERM.

    A second signal ends it at once. A farm that dies more than 5 times in 10 minutes is given up.
    exit_with_parent: drain it also when this process's parent is no longer the process of that id.
    Returns: the exit code.
    """
    signals = list[int]()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    with contextlib.ExitStack() as held:
        alone = exit_with_parent is None
        screen = held.enter_context(UpScreen(settings.storage_path / ".farm.log")) if alone else Forward()
        return _keep_running(settings, screen, signals, ready=ready, exit_with_parent=exit_with_parent)


class Forward:
    """In place of a screen: tells this process's parent what the farm tells."""

    log_path: Path | None = None
    log: IO[bytes] | None = None

    def begin(self) -> None:
        """Show nothing."""

    ready = run = begin

    def hear(self, kind: Kind, words: str) -> None:
        """Pass it on."""
        print(f"{kind} {words}", flush=True)


def _keep_running(
    settings: FarmSettings,
    screen: UpScreen | Forward,
    signals: list[int],
    *,
    ready: Callable[[str], None],
    exit_with_parent: int | None,
) -> int:
    deaths, known = list[float](), ""

    def told_to_stop() -> bool:
        return bool(signals) or exit_with_parent not in (None, os.getppid())

    while True:
        screen.begin()
        child = FarmChild(settings, stderr=screen.log, hear=screen.hear)
        is_dead = False
        while not is_dead and not told_to_stop():
            is_dead = child.process.poll() is not None  # before the look: it may say `ready` and die at once
            if url := child.await_ready(timeout_s=1.0 if is_dead else 0.2):
                screen.ready()
                if known:
                    talk(f"framefarm: the farm is back at {url}")
                else:
                    ready(url)
                screen.run()
                known, settings = url, settings.replaced(port=int(url.rpartition(":")[2]))
        if told_to_stop():
            return _drain(child, signals)
        code = child.stop()
        screen.ready()
        if not known and code and screen.log_path is not None:
            talk(f"framefarm: {last_words(screen.log_path)}")
        if not known or code == 0:  # it never worked, or it was told to end
            return code if code >= 0 else 1  # negative: a signal killed it
        now = time.monotonic()
        deaths = [*(death for death in deaths if death > now - _WITHIN_S), now]
        if len(deaths) > len(_PAUSES_S):
            talk(f"framefarm: the farm died {len(deaths)} times within {_WITHIN_S / 60:.0f} minutes; giving up")
            return 1
        pause_s = _PAUSES_S[len(deaths) - 1]
        talk(f"framefarm: the farm died; it starts again in {pause_s:.0f} s, and videos go on where they were")
        while not told_to_stop() and time.monotonic() < now + pause_s:
            time.sleep(0.1)
        if told_to_stop():
            return 0


def _drain(child: FarmChild, signals: list[int]) -> int:
    """Let the farm drain; end it at once at a further signal. Return 0."""
    before = len(signals)
    child.process.terminate()
    while child.process.poll() is None and len(signals) == before:
        time.sleep(0.1)
    if child.process.poll() is None:
        child.process.kill()
    child.stop()
    return 0


def end(process: subprocess.Popen[bytes], *, within_s: float) -> int:
    """Ask a process of ours to end, and kill it after `within_s`. Return its exit code."""
    process.terminate()
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def end_orphans(folder: Path) -> None:
    """Kill the processes that a dead farm on this storage left behind, and wait until they are gone.

    Call it while this process holds the storage's lock, or else it kills a farm that runs. Our own process stays.
    """
    mark = f"{STORAGE_MARK}={folder}".encode()
    for _ in range(100):
        left = [pid for pid in _processes_with(mark) if pid != os.getpid()]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            return
        time.sleep(0.05)


def end_descendants() -> None:
    """Kill every process below this one. Some of Ray's lose their mark, because they write their title over it."""
    parents = dict[int, int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    for pid in family - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes_with(mark: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it is gone, or another user's
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
