"""Encoded training clips on disk, so that a CPU makes and encodes each of them once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from lab.training.data import clips as data_clips
from lab.training.data import motions as data_motions
from lab.training.data import photos as data_photos
from lab.training.data import pictures as data_pictures
from lab.training.data import prompts as data_prompts
from lab.training.stages.samples import ClipLatents

_TENSORS = ("latents", "start", "end", "image_embeds")


class GroupFolder:
    """One file for each group, float16, with its prompts. Other clips or another encoder get another folder."""

    def __init__(self, folder: Path, encoder: nn.Module, *, numbers: str) -> None:
        """numbers: everything, beside the code, that the clips depend on."""
        digest = hashlib.sha256(numbers.encode())
        for module in (data_clips, data_motions, data_photos, data_pictures, data_prompts):
            digest.update(Path(str(module.__file__)).read_bytes())
        for name, weight in encoder.state_dict().items():
            digest.update(name.encode() + weight.float().cpu().contiguous().numpy().tobytes())
        self._folder = folder / digest.hexdigest()[:16]

    def has(self, group: int) -> bool:
        """Whether this group has been kept."""
        return self._path(group).is_file()

    def keep(self, group: int, clips: ClipLatents, prompts: list[str]) -> None:
        """Write a group, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._path(group).with_suffix(".being-written")
        tensors = {name: getattr(clips, name).half().cpu().contiguous() for name in _TENSORS}
        safetensors.torch.save_file(tensors, aside, metadata={"prompts": json.dumps(prompts)})
        aside.replace(self._path(group))

    def found(self, group: int, *, device: str) -> tuple[dict[str, Tensor], list[str]]:
        """Return its tensors by the names of `ClipLatents`, float32 on the device, and its prompts."""
        with safe_open(self._path(group), framework="pt", device=device) as file:
            tensors = {name: file.get_tensor(name).to(torch.float32) for name in _TENSORS}
            prompts: list[str] = json.loads(file.metadata()["prompts"])
        return tensors, prompts

    def _path(self, group: int) -> Path:
        return self._folder / f"{group:06}.safetensors"
