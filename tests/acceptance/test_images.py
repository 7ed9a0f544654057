"""The image, built by buildah and run by podman (tests/images): what is in it, and `render` alone."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts import line_of
from tests.images.build import FARM
from tests.images.machine import Machine
from tests.imports import ROOT
from tests.patience import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.images]
STORE, BUCKET = "framefarm_store_1", "framefarm_bucket_1"
GB = 1_000_000_000
#: without CUDA's libraries, which `TORCH=torch` brings where PyPI is the index
CPU_IMAGE_GB = 2.5
WEIGHTS = re.compile(r"\.(safetensors|bin|pt|pth|ckpt|gguf|onnx|npz|npy|pkl)$")


def test_the_image_is_small_and_names_a_user(box: Machine) -> None:
    """Numbered, so that Kubernetes may check that it is not root; nothing that `join` would believe."""
    user, size, volumes, env = box.podman(
        *("image", "inspect", "--format", "{{.User}}|{{.Size}}|{{.Config.Volumes}}|{{.Config.Env}}", FARM)
    ).split("|")
    assert user == "10001:10001"
    assert int(size) < CPU_IMAGE_GB * GB
    assert "/data" in volumes
    assert "/cache" in volumes
    assert "FARM_STORAGE" not in env
    assert "PIP_" not in env


def test_nothing_is_in_the_image_that_should_be_elsewhere(box: Machine) -> None:
    """No weights, no cache or settings of pip, no compiler, and no file of the build."""

    def say(command: str) -> list[str]:
        run = ("run", "--rm", "--network=none", "--user=0", "--entrypoint=sh", FARM, "-c")
        return box.podman(*run, command).splitlines()

    large = say("find / -xdev -type f -size +10M")
    assert any(path.endswith("/libtorch_cpu.so") for path in large)
    assert not [path for path in large if WEIGHTS.search(path)]
    assert say("find /root/.cache /var/lib/apt/lists /src /etc/pip.conf -type f -size +0 2>/dev/null || true") == []
    assert say("command -v gcc cc g++ make pip pip3 || echo none") == ["none"]


def test_render_works_alone_as_any_user(box: Machine) -> None:
    """The line of docs/how-to/container.md, with a number that the image does not know."""
    work = box.folder / "work"
    work.mkdir()
    shutil.copy(ROOT / "examples" / "cat.jpg", work)
    work.chmod(0o777)
    alone = ("run", "--rm", "--shm-size=1g", "--user=12345", "-v", "/mnt/work:/work", "-w", "/work", FARM)
    flags = ("--prompt", "The cat looks up.", "--model", "tiny", "--seconds", "0.3", "--size", "160x96")
    for _ in range(5):  # Ray gives up a start after 30 s, which a busy machine may take
        done = box.run(*alone, "render", "cat.jpg", *flags, "--num-inference-steps", "2", "-o", "cat.mp4", check=False)
        if "the farm did not start" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    made = work / "cat.mp4"
    assert made.read_bytes()[4:8] == b"ftyp"
    assert made.stat().st_uid == 12345


def test_the_store_of_the_compose_file_comes_back(box: Machine) -> None:
    """SeaweedFS and the bucket, without a farm: the server is found by its name, and starts again when it dies."""
    box.write_project(
        {"AWS_ACCESS_KEY_ID": "farm", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(24), "AWS_DEFAULT_REGION": "us-east-1"}
    )
    box.compose("up", "-d", "store", "bucket")
    await_bucket(box)
    pid = box.process(STORE)
    box.host.run("kill", "-KILL", pid)  # `podman kill` would count as a user's stop
    wait_for(lambda: box.process(STORE) not in {"0", pid} or None, seconds=60, what="another life of the store")
    box.podman("start", BUCKET)
    await_bucket(box)
    box.compose("down")
    assert box.podman("ps", "--all", "--quiet") == ""
    assert "framefarm_store" in box.podman("volume", "ls", "--quiet").split()


def await_bucket(box: Machine) -> None:
    """Wait until the container that makes the bucket has ended well."""
    asked = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", BUCKET)
    wait_for(lambda: box.podman(*asked) == "exited 0" or None, seconds=60, what="the bucket")


def test_nothing_outlives_a_killed_test(box: Machine, tmp_path: Path) -> None:
    """SIGKILL for a process with a machine of its own: container, mounts and cgroups go with it."""
    script = f"""
import pathlib, time
from tests.images.machine import machine
with machine(pathlib.Path({str(tmp_path)!r})) as box:
    print(box.podman("run", "-d", "--entrypoint=sleep", {FARM!r}, "98761"), flush=True)
    time.sleep(1000)
"""
    maker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    container = line_of(maker, seconds=60).strip()

    def traces() -> list[str]:
        found = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/libpod_parent/*{container}*")]
        found += [mount for mount in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in mount]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found += [str(path)] if path.read_bytes() == b"sleep\x0098761\x00" else []
        return found

    assert len(traces()) > 1
    maker.kill()
    maker.communicate()
    wait_for(lambda: traces() == [] or None, seconds=20, what="the end of all")
