"""Run `make demo` as a newcomer does: a farm of its own renders the cup with the model in this package."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from deploy import cli
from framefarm_client.address import running_at
from framepack_engine.frames.images import fit
from framepack_engine.frames.stills import pictures
from framepack_engine.frames.video import frame_count
from framepack_engine.models.catalog import MODELS
from lab.training.evaluate.evaluation import psnr
from tests.clean_env import clean_env
from tests.patience import patient

ROOT = Path(__file__).parents[2]


class Form(NamedTuple):
    """How long a demo is, and what is to be seen of it."""

    flags: tuple[str, ...]  #: beside the demo's own
    frames: int
    height: int
    width: int
    first_db: float  #: the first frame against the photo, PSNR; after encoding, so a little below the bench's


SHORT = Form(("--seconds", "1", "--size", "160x96", "--num-inference-steps", "8"), 37, 96, 160, 22.0)
WHOLE = Form((), 73, 192, 320, 24.0)
SLOWEST_S = 360

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif("pocket" not in MODELS, reason="this package has no weights of pocket"),
]


def demo(out: Path, flags: Sequence[str], **settings: str) -> subprocess.CompletedProcess[str]:
    """Run examples/demo.sh to its end; `settings` are FARM_* variables without their prefix, in capitals."""
    env = clean_env() | {f"FARM_{key}": value for key, value in settings.items()}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    command = [str(ROOT / "examples/demo.sh"), str(out), *flags]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            said, talk = process.communicate(timeout=patient(SLOWEST_S))
        finally:
            if process.poll() is None:  # its farm sees that it is gone, and ends
                os.killpg(process.pid, signal.SIGTERM)
    return subprocess.CompletedProcess(command, process.returncode, said, talk)


@pytest.mark.parametrize("form", [SHORT, pytest.param(WHOLE, marks=pytest.mark.long)], ids=["short", "whole"])
def test_the_demo_makes_a_video_of_the_photo(form: Form, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Planned, rendered by a worker and joined by `pocket`: it begins with the cup, gets darker, and leaves no farm."""
    out, storage = tmp_path / "coffee.mp4", tmp_path / "storage"
    done = demo(out, form.flags, STORAGE=str(storage), CACHE=str(tmp_path / "cache"), CPU_THREADS="1")
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    assert f"demo: the model pocket, {MODELS['pocket'].honest}" in done.stderr
    assert f"look at it: framefarm ui --storage {storage}\n" in done.stderr
    assert running_at(storage) is None

    assert cli.main(["show", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"]["name"], facts["model"]["origin"]) == ("pocket", "shipped")
    assert frame_count(out) == form.frames

    first, last = (torch.from_numpy(np.array(picture)) for picture in pictures(out, [0, form.frames - 1]))
    with Image.open(ROOT / "examples/coffee.jpg") as photo:
        assert (
            psnr(first, torch.from_numpy(np.array(fit(photo, height=form.height, width=form.width)))) >= form.first_db
        )
    assert float(first.double().mean() - last.double().mean()) > 10
    with Image.open(out.with_suffix(".webp")) as image:
        assert image.size == (2 * first.shape[1], 2 * first.shape[0])
        assert getattr(image, "n_frames", 1) == form.frames // 2 + 1
