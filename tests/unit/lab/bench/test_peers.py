"""`bench peers`: the engine and diffusers' pipeline do the same work, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from deploy import cli
from framepack_engine.frames.source import SourceFacts, look_at
from lab.bench.peers import contenders
from lab.bench.peers.options import RANDOM_MODEL, PeersOptions
from lab.bench.peers.stopwatch import Stopwatch
from tests.gpu_site import model_of

Out = pytest.CaptureFixture[str]


@pytest.mark.long  # the test below renders with both in this process
def test_both_render_the_same_video(
    tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """As many forwards and frames, mp4s of one size; seconds and peaks are of each process."""
    monkeypatch.setenv("FARM_CACHE", str(tiny_cache))
    flags = ["--model", "tiny", "--sections", "2", "--steps", "1", "--window", "2", "--threads", "1"]
    assert cli.main(["bench", "peers", *flags, "--out", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["sections"] == row["engine_forwards"] == row["diffusers_forwards"] == 2
    assert row["engine_frames"] == row["diffusers_frames"] == 17
    assert row["ratio"] > 0
    for contender in ("engine", "diffusers"):
        facts = look_at(tmp_path / f"{contender}-2.mp4")
        assert facts == SourceFacts(frames=17, height=96, width=128)
        assert row[f"{contender}_peak_mib"] > 100
        parts = [row[f"{contender}_{part}_s"] for part in ("forward", "decode", "mp4")]
        assert 0 < sum(parts) <= row[f"{contender}_s"] + 0.1
    assert cli.main(["bench", "peers", "--model", "none", "--out", str(tmp_path)]) == 2
    assert "none" in capsys.readouterr().err


def test_the_random_model_needs_no_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: both begin with random embeddings. Here with its architecture, narrow and short."""
    monkeypatch.setattr(contenders, "random_framepack", lambda **_: model_of("cpu"))
    options = PeersOptions(model=RANDOM_MODEL, steps=1, resolution=64, window=2, out=tmp_path)
    frames = set[int]()
    for make in (contenders.engine, contenders.diffusers_pipeline):
        contestant = make(options, 1, Image.new("RGB", (64, 64), "teal"))
        watch = Stopwatch(contestant.transformer, contestant.vae, exact=True)
        frames.add(contestant.render(tmp_path / "made.mp4", watch))
        assert watch.cells()["forwards"] == 1
        assert look_at(tmp_path / "made.mp4").width == 64
    assert frames == {9}
