"""The farm under test: `framefarm up` and `framefarm join`, kept by a service manager, and ways to find processes."""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.chaos.service import Service
from tests.chaos.store import StoreUnderTest
from tests.clean_env import clean_env
from tests.hosts import SHARED, Net
from tests.s3_servers import free_ports

WORKER, DISPATCHER, INGRESS = "RenderWorker", "DispatcherActor", "ServeReplica:farm:ingress"


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
        nodes: Mapping[str, str],
        lease_s: float,
        settings: Mapping[str, str],
        net: Net | None = None,
    ) -> None:
        """Nothing runs before `start`. settings: FARM_* of `up` without their prefix, in capitals.

        workers: on the head. nodes: machines that join, each with one worker: name -> VRAM class.
        net: has a host `head` and one for each node, whose SHARED is `folder`; without it all run on this machine.
        """
        port, ray_port = free_ports(1), free_ports(1)
        self.net = net
        address = net["head"].address if net else "127.0.0.1"
        self.url, self.lease_s = f"http://{address}:{port}", lease_s
        env = clean_env("AWS_", "XDG_") | store.env
        env |= {
            "XDG_DATA_HOME": f"{SHARED if net else folder}/data",
            "RAY_TMPDIR": "/tmp" if net else str(ray_folder),
            "FARM_S3_ENDPOINT": store.farms.s3_endpoint or "",
            "FARM_CACHE": f"{SHARED}/cache" if net else str(cache),
            "FARM_LEASE_S": str(lease_s),
            "FARM_POLL_S": "1",
            "FARM_SWEEP_S": "5",
            "FARM_CPU_THREADS": "1",
        }
        if nodes:
            env["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        given = {f"FARM_{name}": value for name, value in settings.items()}
        framefarm = [sys.executable, "-m", "deploy.cli"]
        up = ["up", "--storage", store.farms.storage, "--port", str(port)]
        up += ["--ray-port", str(ray_port)] if nodes else []
        up += ["--model", "tiny", "--workers", str(workers), "--no-restart"]
        up += ["--host", address, "--node-ip", address] if net else ["--exit-with-parent", str(os.getpid())]
        host = net["head"] if net else None
        self.head = Service("up", framefarm + up, env=env | given, log=folder / "up.log", host=host)
        self.nodes = [
            Service(
                name,
                [*framefarm, "join", f"{address}:{ray_port}", "--node", name, "--workers", "1"],
                env=env | {"FARM_VRAM_CLASS": vram_class},
                log=folder / f"{name}.log",
                ready="joined",
                host=net[name] if net else None,
            )
            for name, vram_class in nodes.items()
        ]

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        self.head.start()
        self.head.await_ready()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.await_ready()

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

    def kill_worker(self, pid: int, address: str | None) -> None:
        """SIGKILL a worker. pid: as its machine numbers it; address: that machine's, None for the head's.

        Raises: ProcessLookupError.
        """
        if self.net is None:
            os.kill(pid, signal.SIGKILL)
            return
        for service in (self.head, *self.nodes):
            if service.host and service.host.address == (address or self.net["head"].address):
                for process in service.processes():
                    with contextlib.suppress(OSError, psutil.NoSuchProcess):
                        status = Path(f"/proc/{process.pid}/status").read_text()
                        if re.search(rf"^NSpid:.*\t{pid}$", status, re.MULTILINE):
                            process.kill()
                            return
        raise ProcessLookupError

    def daemon(self, name: str, service: Service) -> psutil.Process | None:
        """A program of Ray's: gcs_server, raylet."""
        for process in service.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.name() == name:
                    return process
        return None

    def process_at(self, port: int) -> psutil.Process | None:
        """Return the process at this end of a connection."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(connection.laddr.port == port for connection in process.net_connections("tcp")):
                    return process
        return None

    def processes(self) -> list[psutil.Process]:
        """Of the whole farm."""
        return [process for service in (self.head, *self.nodes) for process in service.processes()]

    def stop(self) -> list[str]:
        """SIGTERM, machines that joined first; the processes that were left behind."""
        return [f"{service.name} left {title}" for service in (*self.nodes, self.head) for title in service.stop()]
