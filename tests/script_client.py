"""gradio's clients as programs of their own (tests/clients), and the pictures that they send."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.imports import ROOT

CLIENTS = ROOT / "tests" / "clients"


def fill_folder(folder: Path) -> None:
    """Make two pictures and one that is none, with a text beside each."""
    for name, color in (("a", "teal"), ("b", "orange")):
        Image.new("RGB", (96, 96), color).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    for name in ("a", "b", "broken"):
        (folder / f"{name}.txt").write_text(f"the text of {name}")


def run(*program: str | Path, folder: Path | None = None) -> str:
    """Run a client, in `folder`; return what it printed. It uses no network but the farm's address."""
    with tempfile.TemporaryDirectory() as temp:  # gradio's clients leave a folder behind for each file
        env = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "TMPDIR": temp}
        done = subprocess.run(
            [str(part) for part in program], capture_output=True, text=True, env=env, cwd=folder, check=False
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def report(*program: str | Path) -> dict[str, Any]:
    """Run a client that prints a JSON object as its last line; return the object."""
    found: dict[str, Any] = json.loads(run(*program).splitlines()[-1])
    return found


def frames(path: Path) -> int:
    """How many frames a video has."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
