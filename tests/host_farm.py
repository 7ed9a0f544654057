"""A farm on hosts of the test's (tests/hosts.py): head, store, and machines that join."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from farm.keys import new_key
from tests.farm_door import Door
from tests.hosts import SHARED, Net, hosts, line_of
from tests.imports import ROOT
from tests.patience import wait_for
from tests.s3_servers import BUCKET, KEYS

PORTS, RAY_PORT, STORE_PORT, HTTP_PORT = "20000-20031", 6379, 9000, 8000
KEY, ENTRY = new_key("alice")
COMMON = {**KEYS, "RAY_AUTH_TOKEN": "7" * 64, "FARM_CACHE": f"{SHARED}/cache", "FARM_CPU_THREADS": "1"}


@contextlib.contextmanager
def farm_hosts(folder: Path, cache: Path) -> Iterator[Net]:
    """Give the hosts head, store, den and attic, the store's S3 server running; den has a second network card."""
    shutil.copytree(cache, folder / "cache")
    with hosts("head", "den", "attic", "store", folder=folder, two_cards=["den"]) as net:
        settings = {"HOST": "0.0.0.0", "GATEWAY_PORT": str(STORE_PORT), "SERVICES": "s3", "IOT_MTLS_ENABLED": "0"}
        folders = {"S3_PERSIST": "1", "S3_DATA_DIR": f"{SHARED}/s3", "STATE_DIR": f"{SHARED}/state"}
        net["store"].start("ministack", log="store.log", **settings, **folders, **KEYS)
        with net["store"].client(f"http://127.0.0.1:{STORE_PORT}") as client:

            def bucket() -> bool | None:
                try:
                    return client.put(f"/{BUCKET}").is_success or None
                except httpx.TransportError:
                    return None

            wait_for(bucket, seconds=60, what="the store")
        yield net


def other_python() -> str:
    """The system's Python if it differs from ours in the third number, with our packages; else ours."""
    system = "/usr/bin/python3"
    asked = subprocess.run([system, "-V"], capture_output=True, text=True, check=False).stdout.split(" ")[-1].strip()
    is_alike = asked.split(".")[:2] == [str(number) for number in sys.version_info[:2]]
    return system if is_alike else sys.executable


class Farm(Door):
    """The farm on the host `head`, and the machines in it."""

    den: subprocess.Popen[str]  #: its `framefarm join`
    attic: subprocess.Popen[str]  #: likewise

    def __init__(self, net: Net, *, workers: int = 0) -> None:
        """workers: of the head itself."""
        self.net, self._workers = net, workers
        self.start()
        super().__init__(net["head"].client(f"http://127.0.0.1:{HTTP_PORT}", authorization=f"Bearer {KEY}"))

    def start(self) -> None:
        """Run `framefarm up` until it is ready; Ray gives up a start after 15 s, which a busy machine may take."""
        for _ in range(5):
            self.up = self._up()
            line = line_of(self.up, seconds=120)
            if line or "timed out during startup" not in self.log("up.log"):
                break
        assert line == f"ready http://{self.net['head'].address}:{HTTP_PORT}\n", self.log("up.log")

    def _up(self) -> subprocess.Popen[str]:
        head = self.net["head"]
        flags = ("--workers", str(self._workers), "--model", "tiny", "--host", head.address, "--node-ip", head.address)
        ports = ("--ports", PORTS, "--ray-port", str(RAY_PORT))
        return head.start(
            *("framefarm", "up", "--storage", f"s3://{BUCKET}/one", *flags, *ports),
            log="up.log",
            **COMMON,
            FARM_S3_ENDPOINT=f"http://store:{STORE_PORT}",
            FARM_API_KEYS=ENTRY,
        )

    def join(self, name: str, *flags: str, python: str = sys.executable, **settings: str) -> subprocess.Popen[str]:
        """Run `framefarm join` on a host."""
        packages = Path(httpx.__file__).parents[1]
        return self.net[name].start(
            *(python, "-m", "deploy.cli", "join", self.address, *flags),
            log=f"{name}.log",
            **COMMON,
            **settings,
            PYTHONPATH=f"{ROOT}:{packages}",
        )

    @property
    def address(self) -> str:
        """Where machines join."""
        return f"{self.net['head'].address}:{RAY_PORT}"

    def log(self, name: str) -> str:
        """Return the last lines of a command's stderr."""
        return (self.net.folder / name).read_text()[-3000:]

    def events(self, video: str) -> list[dict[str, Any]]:
        """Read the video's ledger, entry by entry, from the store."""
        folder = f"one/jobs/{video}/log/"
        with self.net["store"].client(f"http://127.0.0.1:{STORE_PORT}/{BUCKET}") as client:
            keys = re.findall(r"<Key>([^<]+)</Key>", client.get("", params={"list-type": "2", "prefix": folder}).text)
            return [json.loads(client.get(f"/{key}").text)["event"] for key in sorted(keys)]
