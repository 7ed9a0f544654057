"""Paths in variables that other packages read, relative to the folder in which the user typed the command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.node.paths import pin_paths


def test_relative_paths_mean_the_same_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is what it was where the command was typed; what is absolute, empty or of the home folder stays."""
    monkeypatch.chdir(tmp_path)
    given = {
        "AWS_CONFIG_FILE": "aws.ini",
        "HF_HOME": "../hub",
        "TMPDIR": "/tmp",
        "SSL_CERT_FILE": "",
        "HF_HUB_CACHE": "~/h",
    }
    for name, path in given.items():
        monkeypatch.setenv(name, path)
    pin_paths()
    monkeypatch.chdir("/")
    pinned = {"AWS_CONFIG_FILE": str(tmp_path / "aws.ini"), "HF_HOME": f"{tmp_path}/../hub"}
    assert {name: os.environ[name] for name in given} == given | pinned
