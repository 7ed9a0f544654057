"""A machine that runs containers: a host of tests/hosts.py with podman and a disk of its own.

Its containers, their networks, mounts and rules end with the host. A watcher removes their cgroups, which are all that
the kernel keeps, also when the test is killed.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.hosts import SHARED, Host, hosts
from tests.images.build import COMPOSE, FARM, S3, STORE
from tests.patience import patient

NAME = "box"
PROJECT = f"{SHARED}/project"  #: the folder with the compose file
#: crun refuses hybrid cgroups; the ulimits are what a root without CAP_SYS_RESOURCE may give
_CONTAINERS_CONF = f"""
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
volume_path = "{SHARED}/volumes"
[network]
network_backend = "netavark"
network_config_dir = "{SHARED}/networks"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
log_driver = "k8s-file"
"""
_STORAGE_CONF = f"""
[storage]
driver = "overlay"
graphroot = "{SHARED}/disk"
runroot = "/run/storage"
[storage.options]
additionalimagestores = ["{STORE}"]
"""
#: of podman, and of systemd-nspawn
_REMOVE_CGROUPS = """
cat
for n in {1..100}; do
  left=$(for name in libpod_parent payload supervisor; do compgen -G "/sys/fs/cgroup/*/$name"; done)
  [ -n "$left" ] || break
  find $left -depth -type d -exec rmdir {} +
  sleep 0.2
done >/dev/null 2>&1
"""


class Machine:
    """It has podman, podman-compose and the images."""

    def __init__(self, host: Host, folder: Path) -> None:
        """folder: the host's SHARED, seen from here."""
        self.host, self.folder = host, folder
        self._settings = {
            "CONTAINERS_CONF": f"{SHARED}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{SHARED}/storage.conf",
            "FARM_IMAGE": FARM,
            "S3_IMAGE": S3,
        }
        (folder / "containers.conf").write_text(_CONTAINERS_CONF)
        (folder / "storage.conf").write_text(_STORAGE_CONF)
        host.run("mount", "-t", "tmpfs", "tmpfs", "/run")  # podman's locks and network namespaces

    def podman(self, *argv: str) -> str:
        """Run a command of podman to its end; what it says on stdout."""
        return self.run(*argv).stdout.strip()

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of podman to its end. Raises: AssertionError if it fails and `check` is set."""
        return self.host.run("podman", *argv, check=check, **self._settings)

    def compose(self, *argv: str) -> None:
        """Run a command of podman-compose in PROJECT."""
        program = str(Path(sys.executable).with_name("podman-compose"))
        script = f'cd {PROJECT} && exec "$@"'
        self.host.run("sh", "-c", script, "compose", program, *argv, check=True, **self._settings)

    def write_project(self, secrets: dict[str, str]) -> None:
        """Put the compose file and a `farm.env` with these secrets into PROJECT."""
        project = self.folder / "project"
        project.mkdir()
        shutil.copy(COMPOSE, project)
        (project / "farm.env").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))

    def mounted(self, image: str, name: str) -> str:
        """Mount an image with a layer of its own, and return where the machine sees it."""
        self.podman("create", "--name", name, image)
        return self.podman("mount", name)

    def process(self, container: str) -> str:
        """The first process of a container, as the machine numbers it; "0" while it does not run."""
        return self.podman("inspect", "--format", "{{.State.Pid}}", container)

    def log(self, container: str) -> str:
        """Return the last lines of a container's stdout and stderr."""
        said = self.run("logs", "--tail", "60", container, check=False)
        return said.stdout + said.stderr


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Give a running machine without containers. folder: the host's SHARED; what the machine writes goes with it."""
    with _no_cgroups_left(), hosts(NAME, folder=folder) as net:
        yield Machine(net[NAME], folder)


@contextlib.contextmanager
def _no_cgroups_left() -> Iterator[None]:
    """Remove empty cgroups at the end of the context, or of this process."""
    watcher = subprocess.Popen(["bash", "-c", _REMOVE_CGROUPS], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.communicate(timeout=patient(30))
