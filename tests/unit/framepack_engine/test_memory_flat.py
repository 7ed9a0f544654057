"""A long video takes no more memory than a short one."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
import torch

from framepack_engine import Conditioning, RenderSpec, Sampler
from framepack_engine.conformance import load_case_model
from tests.imports import ROOT

MODEL = ROOT / "tests" / "golden" / "tiny_model"

# The render loop with its clips and their join, in a process of its own, that says after each video how much memory it
# took at most so far.
CODE = """
import sys, tempfile, torch
from pathlib import Path
from framepack_engine import Conditioning, RenderSpec, Sampler
from lab.bench.engine import own_peak_mib
from framepack_engine.conformance import load_case_model
from framepack_engine.planning.sections import time_order
from framepack_engine.frames.video import encode_clip, frame_count, join_clips

torch.set_num_threads(1)
draw = torch.Generator().manual_seed(0)
conditioning = Conditioning(
    prompt_embeds=torch.randn((1, 6, 32), generator=draw),
    pooled_prompt_embeds=torch.randn((1, 24), generator=draw),
    image_embeds=torch.randn((1, 5, 20), generator=draw),
    start_latent=torch.randn((1, 16, 1, 16, 16), generator=draw),
)
renderer = Sampler(*load_case_model(Path(sys.argv[1])))
for sections in map(int, sys.argv[2:]):
    spec = RenderSpec(kind="i2v", sections=sections, height=128, width=128, seed=1, prompt="", latent_window_size=1,
                      num_inference_steps=1)
    with tempfile.TemporaryDirectory() as folder:
        for index, frames in renderer.clips(spec, conditioning):
            encode_clip(frames, Path(folder, f"{index}.mp4"), crf=16)
        clips = [Path(folder, f"{index}.mp4") for index in time_order("i2v", sections)]
        join_clips(clips, Path(folder, "video.mp4"))
        assert frame_count(Path(folder, "video.mp4")) == spec.frames
    print(own_peak_mib())
"""


def peaks_mib(*sections: int) -> list[float]:
    """Most resident memory of a process that has rendered videos of so many sections: after each of them, in MiB."""
    env = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, str(MODEL), *map(str, sections)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return [float(line) for line in out.stdout.split()]


@pytest.mark.long  # the test below counts the tensors of twelve
def test_forty_sections_take_the_memory_of_four() -> None:
    """The frames of 36 more sections would be 27 MiB as floats, and twice that while they are blended."""
    _, short, long = peaks_mib(4, 4, 40)  # the first video also pays for what libraries set up once
    assert long - short < 14.0, f"4 sections: {short:.1f} MiB, 40 sections: {long:.1f} MiB"


def live_bytes() -> int:
    """Bytes of all tensors that exist in this process, shared memory counted once."""
    tensors = [found for found in gc.get_objects() if type(found) is torch.Tensor]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_a_render_holds_the_same_tensors_all_along() -> None:
    """From the fourth section on, whenever a clip is given away, the very same number of bytes is alive."""
    draw = torch.Generator().manual_seed(0)
    conditioning = Conditioning(
        prompt_embeds=torch.randn((1, 6, 32), generator=draw),
        pooled_prompt_embeds=torch.randn((1, 24), generator=draw),
        image_embeds=torch.randn((1, 5, 20), generator=draw),
        start_latent=torch.randn((1, 16, 1, 4, 4), generator=draw),
    )
    spec = RenderSpec(
        kind="i2v", sections=12, height=32, width=32, seed=1, prompt="", latent_window_size=1, num_inference_steps=1
    )
    gc.collect()
    seen = [live_bytes() for _ in Sampler(*load_case_model(MODEL)).clips(spec, conditioning)]
    assert len(seen) == 11
    assert len(set(seen[2:-1])) == 1
