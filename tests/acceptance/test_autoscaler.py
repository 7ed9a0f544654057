"""A farm in a Ray cluster whose autoscaler makes nodes: Ray's own, with its fake provider, which starts them here.

The cluster is one that the farm finds, so it is started as ray_cluster.yaml does it: it listens on all addresses, and
the token decides who is let in.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from ray._private.services import get_node_ip_address

from actors.cluster import WORKER_RESOURCE
from tests.clean_env import clean_env
from tests.farm_process import FarmProcess, running_farm
from tests.patience import patient, wait_for

pytestmark = [pytest.mark.autoscaler, pytest.mark.acceptance]
TOKEN = "a" * 64
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
HEAD_ID = "f" * 51 + "00000"  #: as the fake provider knows it
FIELDS = {
    "prompt": "a cat",
    "seconds": "0.27",
    "latent_window_size": "1",
    "size": "160x96",
    "seed": "7",
    "num_inference_steps": "2",
}


class Head(NamedTuple):
    """The cluster's first node."""

    address: str
    process: psutil.Process

    def nodes(self) -> int:
        """How many there are beside it."""
        names = [process.name() for process in self.process.children(recursive=True)]
        return names.count("raylet") - 1


def cluster_file(folder: Path, port: int) -> Path:
    """As ray_cluster.yaml, with nodes that are processes here: no GPU, up to two."""
    lists = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    config = {
        "cluster_name": "here",
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "external",  # by its own name Ray looks for a file that its wheel lacks
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": f"{get_node_ip_address()}:{port}",
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": {"CPU": 1, WORKER_RESOURCE: 1},
                "labels": {"farm/role": "worker"},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in lists},
    }
    path = folder / "cluster.json"  # JSON is YAML
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head with an autoscaler; nothing of the cluster is left behind."""
    folder = tmp_path_factory.mktemp("head")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = clean_env() | AUTH
    env |= {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    flags = (
        *("start", "--head", "--block", f"--port={port}", "--num-cpus=2"),
        *("--include-dashboard=false", "--disable-usage-stats", f"--object-store-memory={100 << 20}"),
        f"--autoscaling-config={cluster_file(folder, port)}",
    )
    with (folder / "ray.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *flags],
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers() -> bool | None:
        assert process.poll() is None, (folder / "ray.log").read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return None

    try:
        wait_for(answers, seconds=90, what="Ray's head")
        yield Head(f"127.0.0.1:{port}", psutil.Process(process.pid))
    finally:
        root = psutil.Process(process.pid)
        for each in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


@pytest.fixture(scope="module")
def farm(head: Head, tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """A farm in it, that wants two workers at most and has none of its own."""
    storage = tmp_path_factory.mktemp("farm") / "storage"
    storage.mkdir()
    (storage / ".farm.token").write_text(TOKEN)
    settings = {"RAY": head.address, "AUTOSCALE": "2", "IDLE_S": "3", "LEASE_S": "30"}
    with running_farm(storage, cache=tiny_cache, workers=0, **settings) as farm:
        yield farm


def test_nodes_come_and_go_with_the_videos(farm: FarmProcess, head: Head, photo: Path) -> None:
    """Nobody is there; a video brings a node and is rendered there; once nothing waits the worker and its node go."""
    assert head.nodes() == 0
    answer = farm.http.post("/v1/videos", data=FIELDS, files={"input_reference": ("cat.jpg", photo.read_bytes())})
    video = answer.json()["id"]

    def ended() -> str | None:
        status: str = farm.http.get(f"/v1/videos/{video}").json()["status"]
        return status if status in {"completed", "failed"} else None

    assert wait_for(ended, seconds=180, what="the video") == "completed"
    assert head.nodes() == 1
    wait_for(lambda: head.nodes() == 0 or None, seconds=120, what="the node's end")
    assert "action=worker_too_many" in farm.log.read_text()


def test_another_farm_leaves_this_one_alone(farm: FarmProcess, head: Head, tmp_path: Path, tiny_cache: Path) -> None:
    """`up` with another storage: exit 2 and both are named; the farm that was there answers as before."""
    env = clean_env() | AUTH
    command = (sys.executable, "-m", "deploy.cli", "up", "--ray", head.address, "--storage", str(tmp_path / "mine"))
    flags = ("--port", "0", "--workers", "0", "--model", "tiny", "--cache", str(tiny_cache))
    done = subprocess.run(
        [*command, *flags], env=env, capture_output=True, text=True, timeout=patient(240), check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert str(farm.storage) in done.stderr
    assert str(tmp_path / "mine") in done.stderr
    assert farm.http.get("/readyz").status_code == 200
