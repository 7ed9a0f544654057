"""A whole farm as real processes, for tests that kill parts of it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from tests.clean_env import clean_env
from tests.patience import patient


class FarmProcess:
    """`framefarm up` in a process of its own, on a free port."""

    def __init__(
        self, storage: Path, *, cache: Path, workers: int = 1, url: str | None = None, **settings: str
    ) -> None:
        """Start it and wait for its `ready` line. `settings` are FARM_* variables without their prefix, in capitals.

        url: the storage, where it is no folder; `storage` then only says where the log lies.
        """
        env = clean_env()
        env |= {"FARM_CACHE": str(cache), "FARM_LEASE_S": "20", "FARM_CPU_THREADS": "1", "FARM_PORT": "0"}
        env["FARM_INGRESSES"] = "1"  # each more is a process that takes seconds to start
        env |= {f"FARM_{key}": value for key, value in settings.items()}
        command = [str(Path(sys.executable).with_name("framefarm")), "up", "--storage", url or str(storage)]
        folder = storage.with_name(f"{storage.name}-started-here")  # where names hide those of Python and of the farm
        for name in ("farm", "deploy", "actors"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "__init__.py").touch()
        (folder / "token.py").write_text("x = 1\n")
        self.storage = storage
        self.log = storage.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--model", "tiny", "--workers", str(workers)],
                env=env,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()  # the only one there is
        if not line.startswith("ready http://"):
            self.kill_everything()
            raise AssertionError(f"the farm did not start: {line!r}\n{self.log.read_text()[-3000:]}")
        self.http = httpx.Client(base_url=line.split()[1], timeout=patient(20))

    def processes(self) -> list[psutil.Process]:
        """The farm's processes, Ray's and all."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def actors(self, name: str) -> list[psutil.Process]:
        """The processes of a Ray actor, by its class's name; Ray puts it into the process's title."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if "".join(process.cmdline()[:1]).startswith(f"ray::{name}"):
                    found.append(process)
        return found

    def actor(self, name: str) -> psutil.Process:
        """One of them."""
        found = self.actors(name)
        assert found, f"no process of a {name}"
        return found[0]

    def program(self, name: str) -> psutil.Process:
        """Return one of Ray's own programs, such as raylet."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.name() == name:
                    return process
        raise AssertionError(f"no process {name}")

    def kill_everything(self) -> None:
        """SIGKILL for every process at once."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, as a user's service manager sends it; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patient(60))
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise


def alive(process: psutil.Process) -> bool:
    """Return whether a process runs; what waits for its parent to look does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@contextlib.contextmanager
def running_farm(
    storage: Path, *, cache: Path, workers: int = 1, url: str | None = None, **settings: str
) -> Iterator[FarmProcess]:
    """A farm for as long as the context lasts; nothing of it is left behind."""
    farm = FarmProcess(storage, cache=cache, workers=workers, url=url, **settings)
    try:
        yield farm
    finally:
        if farm.process.poll() is None:
            farm.stop()
        farm.http.close()
        if farm.process.stdout:
            farm.process.stdout.close()
