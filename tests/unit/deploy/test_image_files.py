"""The files of the container image: what can be read without building it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.imports import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_a_container_runs_as_a_numbered_user_and_believes_no_storage() -> None:
    """Any Kubernetes may check the number; `join` would believe a FARM_STORAGE of the image."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER \d+:\d+$", last, flags=re.MULTILINE)
    assert "FARM_STORAGE=" not in DOCKERFILE
    assert not re.search(r"\b(gcc|g\+\+|build-essential)\b", DOCKERFILE)


def test_the_builder_gets_what_the_wheel_needs() -> None:
    """Everything else stays outside: the git folder, environments, videos."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    sent = {line[1:].split("/")[0] for line in lines if line.startswith("!")}
    assert {"actors", "clients", "deploy", "farm", "framepack_engine", "lab", "pyproject.toml", "README.md"} <= sent
    assert all((ROOT / name).exists() for name in sent - {"LICENSE*"})


@pytest.mark.parametrize(
    "command",
    [
        ("shellcheck", "--exclude=SC1090", ROOT / "deploy" / "container-start"),
        ("hadolint", ROOT / "deploy" / "Dockerfile"),
        ("check-jsonschema", "--builtin-schema=vendor.compose-spec", ROOT / "docker-compose.yml"),
    ],
    ids=lambda command: command[0],
)
def test_the_files_are_sound(command: tuple[str | Path, ...]) -> None:
    """By a checker of each kind of file; none asks the network."""
    subprocess.run([Path(sys.executable).with_name(str(command[0])), *command[1:]], check=True)


def test_no_secret_is_in_the_compose_file() -> None:
    """Each service that has keys reads the one file, and only the head has a door."""
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "farm.env" in service.get("secrets", ())} == set(services)
    assert [name for name, service in services.items() if "ports" in service] == ["head"]
    assert "127.0.0.1" in services["head"]["ports"][0]
    assert all(services[name]["stop_grace_period"] == "90s" for name in ("head", "worker", "gpu"))
    assert services["gpu"]["profiles"] == ["gpu"]


def test_nothing_needs_a_container_that_ends() -> None:
    """Podman starts no container again whose `depends_on` has ended; the one that makes the bucket ends."""
    services = COMPOSE["services"]
    ending = {name for name, service in services.items() if service["restart"] == "on-failure"}
    assert ending == {"bucket"}
    assert not [name for name, service in services.items() if ending & set(service.get("depends_on", ()))]
