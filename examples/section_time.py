"""Seconds a section of `tiny` takes on one core, mp4 included: taskset -c 0 python examples/section_time.py."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from framepack_engine import Renderer, RenderSpec, SectionState, load_models, prepare_process
from framepack_engine.frames.video import encode_clip

prepare_process()
torch.set_num_threads(1)
renderer = Renderer(load_models("tiny"))
spec = RenderSpec(kind="i2v", sections=3, height=96, width=160, seed=1, prompt="a cat")  # cat.jpg's 128 px bucket
conditioning = renderer.encode(spec, {"start": Image.open(Path(__file__).with_name("cat.jpg"))})
state: SectionState | None = None
latents: dict[int, Tensor] = {}
for section in range(spec.sections):
    begun = time.monotonic()
    state = renderer.section(spec, section, conditioning, state)
    latents[section] = state.latents
    frames = renderer.decode(spec, section, conditioning, latents)
    if len(frames):
        encode_clip(frames, crf=spec.crf)
    print(f"section {section}: {len(frames)} frames final, {time.monotonic() - begun:.2f} s")
