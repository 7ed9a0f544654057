"""The farm's image with systemd in it, booted by systemd-nspawn on a machine of tests/images/machine.py."""

from __future__ import annotations

import subprocess

from tests.images.machine import Machine
from tests.patience import patient, wait_for

_REBOOTED = 133  #: the exit status of systemd-nspawn that asks for another start
#: what a root without CAP_SYS_RESOURCE may give
_DROP_IN = "[Service]\nLimitNOFILE=20000\n"


class Booted:
    """A container whose process 1 is systemd. It shares the machine's network and ends with it."""

    def __init__(self, machine: Machine, image: str, name: str) -> None:
        """Nothing runs before `boot`."""
        self.machine, self._name = machine, name
        self.root = machine.mounted(image, name)
        self._nspawn: subprocess.Popen[str] | None = None

    def boot(self) -> None:
        """Start systemd, and wait until it has started what it is to start."""
        self._nspawn = self.machine.host.start(
            *("systemd-nspawn", "--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off"),
            *(f"--machine={self._name}", f"--directory={self.root}", "--boot"),
            log=f"{self._name}.log",
        )
        wait_for(lambda: self.says("is-system-running") in {"running", "degraded"} or None, seconds=60, what="systemd")

    def reboot(self) -> None:
        """End everything in order, and start systemd again."""
        assert self._nspawn
        self.says("reboot")
        assert self._nspawn.wait(patient(90)) == _REBOOTED
        self.boot()

    def write(self, path: str, text: str) -> None:
        """Write a file there. path: as the container sees it."""
        script = 'mkdir -p "$(dirname "$0")" && printf %s "$1" > "$0"'
        self.machine.host.run("sh", "-c", script, self.root + path, text)

    def install(self, unit: str, *flags: str, env: dict[str, str]) -> None:
        """Let `framefarm service install` write the unit; give it settings."""
        self.run("/opt/framefarm/bin/framefarm", "service", "install", *flags)
        self.write(f"/etc/systemd/system/{unit}.service.d/here.conf", _DROP_IN)
        self.write("/etc/framefarm/farm.env", "".join(f"{name}={value}\n" for name, value in env.items()))

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command there to its end; what it says on stdout."""
        leader = ("sh", "-c", 'exec nsenter -t "$(pgrep -P "$(pgrep -xo systemd-nspawn)")" -m -p -u -i -n "$@"', "in")
        return self.machine.host.run(*leader, *argv, check=check).stdout.strip()

    def says(self, *argv: str) -> str:
        """Ask systemctl; what it says, also where it fails."""
        return self.run("systemctl", *argv, check=False)

    def pids(self, name: str) -> list[str]:
        """The processes there with that name."""
        return self.run("pgrep", "-x", name, check=False).split()
