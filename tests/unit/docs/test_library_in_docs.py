"""The Python of the library's page, run from its top to its end, with fewer steps and pixels."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from framepack_engine.frames.video import frame_count
from framepack_engine.models.catalog import FOLDER, MODELS
from tests.imports import ROOT
from tests.lora_file import write_lora

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif("pocket" not in MODELS, reason="this package has no weights of pocket"),
]

_PAGE = (ROOT / "docs/reference/python-library.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```", _PAGE, re.DOTALL | re.MULTILINE)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each goes on where the one before it ended, as a reader does."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples/cat.jpg", "cat.jpg")
    Path("my-model").symlink_to(FOLDER)
    names: dict[str, Any] = {}
    for number, code in enumerate(CODE):
        small = code.replace("(128, 96)", "(96, 64)").replace("resolution=128", "resolution=64")
        few = small.replace("seconds=1, size", "num_inference_steps=2, seconds=1, size").replace(
            "seconds=2.4", "num_inference_steps=2, seconds=2.4"
        )
        exec(
            compile(few.replace("    seed=7,", "    seed=7, num_inference_steps=2,"), f"example {number}", "exec"),
            names,
        )
        if number == 0:
            write_lora(tmp_path, "style", names["renderer"].models.transformer, seed=1)
    said = capsys.readouterr().out
    assert "torch.Size([37, 64, 96, 3])" in said
    assert "frames 0 to 72" in said
    assert "section: section 1 of 1, step 2 of 2" in said
    assert names["wide"].frames.shape[1:3] == (64, 160)
    assert not (names["styled"].frames == names["plain"].frames).all()
    assert frame_count(Path("long.mp4")) == 37
    assert said.endswith("7\n")
