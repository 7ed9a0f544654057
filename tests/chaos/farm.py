"""The farm under test: `framefarm up` kept by a service manager, and ways to find its processes."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.chaos.service import Service
from tests.chaos.store import StoreUnderTest
from tests.s3_servers import free_ports

LEASE_S = 5.0
WORKER, DISPATCHER, INGRESS, PROXY = "RenderWorker", "DispatcherActor", "ServeReplica:farm:ingress", "ProxyActor"
_CLEAN = ("FARM_", "RAY_", "AWS_", "XDG_")


class FarmUnderTest:
    """One farm on one store; its address stays the same for all its lives."""

    def __init__(
        self,
        folder: Path,
        *,
        ray_folder: Path,
        cache: Path,
        store: StoreUnderTest,
        workers: int,
        settings: Mapping[str, str],
    ) -> None:
        """Nothing runs before `start`. settings: FARM_* without their prefix, in capitals."""
        port = free_ports(1)
        self.url, self.workers, self.folder = f"http://127.0.0.1:{port}", workers, folder
        env = {name: value for name, value in os.environ.items() if not name.startswith(_CLEAN)}
        env |= store.env
        env |= {
            "XDG_DATA_HOME": str(folder / "data"),
            "RAY_TMPDIR": str(ray_folder),
            "FARM_S3_ENDPOINT": store.farms.s3_endpoint or "",
            "FARM_CACHE": str(cache),
            "FARM_LEASE_S": str(LEASE_S),
            "FARM_POLL_S": "1",
            "FARM_SWEEP_S": "5",
            "FARM_CPU_THREADS": "1",
        }
        env |= {f"FARM_{name}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "deploy.cli", "up", "--storage", store.farms.storage, "--port", str(port)]
        command += ["--model", "tiny", "--workers", str(workers), "--exit-with-parent", str(os.getpid())]
        self.head = Service("up", command, env=env, log=folder / "up.log")

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        self.head.start()
        self.head.await_ready()

    def actors(self, name: str) -> list[psutil.Process]:
        """The processes of a Ray actor's class, by the title that Ray gives them."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if "".join(process.cmdline()[:1]).startswith(f"ray::{name}"):
                    found.append(process)
        return found

    def any_actor(self, name: str, dice: random.Random) -> psutil.Process | None:
        """One of them; None: none lives now."""
        found = sorted(self.actors(name), key=lambda process: process.pid)
        return dice.choice(found) if found else None

    def daemon(self, name: str) -> psutil.Process | None:
        """A program of Ray's on the head: gcs_server, raylet."""
        for process in self.head.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.name() == name:
                    return process
        return None

    def process_at(self, port: int) -> psutil.Process | None:
        """Who has this end of a connection."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(connection.laddr.port == port for connection in process.net_connections("tcp")):
                    return process
        return None

    def processes(self) -> list[psutil.Process]:
        """Of the whole farm."""
        return self.head.processes()

    def stop(self) -> int:
        """SIGTERM; how many processes were left behind."""
        return self.head.stop()
