"""A farm on hosts of the test's (tests/hosts.py): head, store, and machines that join."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from farm.contract import slot_of
from farm.keys import new_key
from tests.hosts import SHARED, Net, hosts, line_of
from tests.imports import ROOT
from tests.patience import wait_for
from tests.s3_servers import BUCKET, KEYS

PORTS, RAY_PORT, STORE_PORT, HTTP_PORT = "20000-20031", 6379, 9000, 8000
KEY, ENTRY = new_key("alice")
FIELDS = {
    "prompt": "a cat",
    "seconds": "1.2",
    "seed": "7",
    "model": "tiny",
    "num_inference_steps": "30",
    "size": "256x256",
    "no_metadata": "true",  # it names the video
}
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


class Farm:
    """The farm on the host `head`, and the machines in it."""

    den: subprocess.Popen[str]  #: its `framefarm join`
    attic: subprocess.Popen[str]  #: likewise

    def __init__(self, net: Net, *, workers: int = 0) -> None:
        """workers: of the head itself."""
        self.net, self._workers = net, workers
        self.start()
        self.http = net["head"].client(f"http://127.0.0.1:{HTTP_PORT}", authorization=f"Bearer {KEY}")

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
        """What a command said last on stderr."""
        return (self.net.folder / name).read_text()[-3000:]

    def workers(self) -> dict[str, str] | None:
        """Slot -> state; None while the farm does not answer."""
        try:
            listed = self.http.get("/v1/workers").json()["data"]
        except (httpx.TransportError, KeyError):
            return None
        return {slot_of(worker["id"]): worker["state"] for worker in listed}

    def submit(self, **fields: str) -> str:
        """Ask for the video, with other fields where some are given."""
        files = {"input_reference": ("cat.jpg", (ROOT / "examples" / "cat.jpg").read_bytes())}
        answer = self.http.post("/v1/videos", data=FIELDS | fields, files=files)
        assert answer.status_code == 200, answer.text
        video: str = answer.json()["id"]
        return video

    def await_video(self, video: str, look: Callable[[dict[str, Any]], bool], *, what: str) -> dict[str, Any]:
        """Wait until the video is as `look` wants it."""

        def there() -> dict[str, Any] | None:
            try:
                shown: dict[str, Any] = self.http.get(f"/v1/videos/{video}").json()
            except httpx.TransportError:
                return None
            return shown if "status" in shown and look(shown) else None

        return wait_for(there, seconds=240, what=what, pause_s=0.1)

    def finished(self, video: str) -> bytes:
        """Wait for the video's end; its file."""
        shown = self.await_video(video, lambda it: it["status"] not in {"queued", "in_progress"}, what="the video")
        assert shown["status"] == "completed", shown["error"]
        return self.http.get(f"/v1/videos/{video}/content").content

    def in_the_middle(self, video: str) -> None:
        """Wait until its section has begun, and is far from its end."""
        self.await_video(video, lambda it: it["stage"] == "section" and (it["step"] or 0) >= 3, what="the third step")

    def wish(self, slot: str, wish: str) -> None:
        """Pause, resume or drain a worker."""
        assert self.http.post(f"/v1/workers/{slot}/{wish}").is_success

    def await_worker(self, slot: str, state: str) -> None:
        """Wait until the slot's worker is in that state."""
        wait_for(lambda: (self.workers() or {}).get(slot) == state or None, seconds=60, what=f"{slot} to be {state}")

    def await_no_worker(self, slot: str) -> None:
        """Wait until the farm says that the slot has none."""

        def is_gone() -> bool | None:
            there = self.workers()
            return None if there is None or slot in there else True

        wait_for(is_gone, seconds=30, what=f"{slot} to be gone")

    def events(self, video: str) -> list[dict[str, Any]]:
        """Read the video's ledger, entry by entry, from the store."""
        folder = f"one/jobs/{video}/log/"
        with self.net["store"].client(f"http://127.0.0.1:{STORE_PORT}/{BUCKET}") as client:
            keys = re.findall(r"<Key>([^<]+)</Key>", client.get("", params={"list-type": "2", "prefix": folder}).text)
            return [json.loads(client.get(f"/{key}").text)["event"] for key in sorted(keys)]
