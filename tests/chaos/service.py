"""A command as a service manager keeps it: started again after each end, with nothing left of its earlier life."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import psutil

from tests.hosts import Host
from tests.patience import patient

_MARK = "CHAOS_LIFE"  #: in the environment of every process that a life of a service started
_START_S = 400.0  # on a machine with other work
_STOP_S = 90.0
_DYING_S = 10.0  #: who was killed just now may still be there for a moment, which is long on a busy machine


class Service:
    """One command that prints a line of which `ready` is the first word once it works."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        ready: str = "ready",
        host: Host | None = None,
    ) -> None:
        """Nothing runs before `start`. host: where it runs; this machine without one."""
        self.host = host
        self._word = ready.encode()
        self.name, self.lives, self.leftovers = name, 0, list[str]()
        self._command, self._env, self.log = list(command), dict(env), log
        self._over, self._ready = threading.Event(), threading.Event()
        self._life = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{name}")

    def start(self) -> None:
        """Start it; from now on it is kept alive."""
        self._keeper.start()

    def await_ready(self, seconds: float = _START_S) -> None:
        """Wait for its `ready` line. Raises: AssertionError."""
        assert self._ready.wait(seconds), f"{self.name} is not ready after {seconds:.0f} s:\n{self.tail()}"

    def processes(self) -> list[psutil.Process]:
        """All processes of its present life, orphans too, its own first."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                if self._life and process.environ().get(_MARK) == self._life:
                    found.append(process)
        return found

    def signal_all(self, number: int) -> None:
        """The same signal for every process of its present life."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL for every process; the keeper starts the next life."""
        self._ready.clear()
        self.signal_all(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM for the command alone, as a service manager stops it."""
        self._ready.clear()
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(self._process.pid)
                for each in process.children() if self.host else [process]:  # nsenter only waits for its child
                    each.terminate()

    def await_next_life(self, lives: int, seconds: float) -> None:
        """Wait until more lives than `lives` were begun. Raises: AssertionError."""
        until = time.monotonic() + patient(seconds)
        while self.lives <= lives:
            assert time.monotonic() < until, f"{self.name} did not end within {seconds:.0f} s:\n{self.tail()}"
            time.sleep(0.1)

    def stop(self) -> list[str]:
        """SIGTERM, for good. The titles of processes that it left behind; they are ended."""
        self._over.set()
        self.leftovers = []
        self.terminate()
        if self._keeper.is_alive():
            self._keeper.join(patient(_STOP_S))
        self.signal_all(signal.SIGKILL)
        if self._keeper.is_alive():
            self._keeper.join()
        return self.leftovers

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _keep(self) -> None:
        while not self._over.is_set():
            self._live()
            self._over.wait(0.2)

    def _live(self) -> None:
        self._life = uuid4().hex
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.host.inside(*self._command) if self.host else self._command,
                env=os.environ | self._env | {_MARK: self._life},
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._process = process
        self.lives += 1
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        if self._over.is_set():  # told to stop while we started
            self.terminate()
        process.wait()
        self._ready.clear()
        _, orphans = psutil.wait_procs(self.processes(), timeout=patient(_DYING_S))
        for orphan in orphans:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if orphan.status() != psutil.STATUS_ZOMBIE:
                    self.leftovers.append(" ".join(orphan.cmdline()[:4])[:120])
        self.signal_all(signal.SIGKILL)
        reader.join()
        if process.stdout:
            process.stdout.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stdout or ():  # to the end: a full pipe would stop it
            if line.startswith(self._word):
                self._ready.set()
