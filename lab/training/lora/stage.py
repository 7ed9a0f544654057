"""A LoRA from a folder of clips: the base frozen, a low-rank part beside each matrix, saved as the engine loads it."""

from __future__ import annotations

import json
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.nn.functional import linear

from framepack_engine.errors import EngineError
from framepack_engine.models.locate import locate
from framepack_engine.models.shelf import load_models
from framepack_engine.planning.sections import Kind
from lab.training.data.pictures import Dice
from lab.training.loop import Run, train
from lab.training.lora.clips import KeptClip, keep_clips, load_clips
from lab.training.recipe import StageNumbers
from lab.training.stages.diffusion import levels, velocity_of
from lab.training.stages.samples import section_of

_WITH_END = 0.25  #: share of i2v sections whose end image is given
_BLOCKS = ("transformer_blocks.", "single_transformer_blocks.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraNumbers:
    """rank: of each pair; alpha: its product is scaled by alpha/rank. batch: clips of one bucket a step and process.

    max_sections: longer videos are cut into stretches of so many.
    """

    rank: int = 16
    alpha: float = 16.0
    batch: int = 1
    window: int = 9
    max_sections: int = 4
    seed: int = 0
    stage: StageNumbers


class LowRanks(nn.Module):
    """A pair (down, up) for each matrix in the transformer's blocks, float32. `up` begins at zero: nothing changes yet.

    The transformer itself is no part of this module: neither its optimizer, its checkpoints nor its copies hold it.
    """

    def __init__(self, transformer: nn.Module, *, rank: int, alpha: float, seed: int) -> None:
        super().__init__()
        self.rank, self.alpha = rank, alpha
        self._transformer = weakref.ref(transformer)  # copied as a reference, and no submodule
        self._acting: int | None = None  # the id of the pairs that act: a copy of them does not
        self.pairs = nn.ParameterDict()
        for number, (name, matrix) in enumerate(targets(transformer).items()):
            down = Dice(seed, number).normal(rank, matrix.in_features) * matrix.in_features**-0.5
            self.pairs[f"{name}.lora_A.weight".replace(".", "/")] = nn.Parameter(down)
            self.pairs[f"{name}.lora_B.weight".replace(".", "/")] = nn.Parameter(torch.zeros(matrix.out_features, rank))

    def forward(self, **inputs: Any) -> Any:
        """The transformer's answer with these pairs beside its matrices."""
        with nullcontext() if self._acting == id(self) else self.acting():
            return self._base()(**inputs)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Inside, the pairs stay beside the matrices: checkpointing computes blocks again after `forward` is over."""
        hooks = [matrix.register_forward_hook(self._adding(name)) for name, matrix in targets(self._base()).items()]
        self._acting = id(self)
        try:
            yield
        finally:
            self._acting = None
            for hook in hooks:
                hook.remove()

    def _base(self) -> nn.Module:
        transformer = self._transformer()
        if transformer is None:
            raise EngineError("the transformer that these pairs belong to is gone")
        return transformer

    def _adding(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        down = self.pairs[f"{name}.lora_A.weight".replace(".", "/")]
        up = self.pairs[f"{name}.lora_B.weight".replace(".", "/")]

        def hook(_matrix: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            added = linear(linear(args[0].to(down.dtype), down), up) * (self.alpha / self.rank)
            return output + added.to(output.dtype)

        return hook

    def tensors(self) -> dict[str, Tensor]:
        """As diffusers names them in a file."""
        return {
            f"transformer.{name.replace('/', '.')}": value.detach().cpu().contiguous()
            for name, value in self.pairs.items()
        }


def targets(transformer: nn.Module) -> dict[str, nn.Linear]:
    """Every matrix of attention and feed-forward in both kinds of blocks; modulation is left alone."""
    return {
        name: part
        for name, part in transformer.named_modules()
        if isinstance(part, nn.Linear) and name.startswith(_BLOCKS) and ".norm" not in name
    }


class LoraStage:
    """Flow matching on the kept clips' sections, as the model's kind orders and packs them."""

    name = "lora"

    def __init__(
        self, transformer: Any, clips: list[KeptClip], numbers: LoraNumbers, *, kind: Kind, device: str
    ) -> None:
        """transformer: on the device, in the precision to train beside; it is frozen here."""
        transformer.requires_grad_(requires_grad=False)
        self._transformer = transformer
        self.pairs = LowRanks(transformer, rank=numbers.rank, alpha=numbers.alpha, seed=numbers.seed)
        self.model: nn.Module = self.pairs
        self._numbers, self._kind, self._device = numbers, kind, device
        self._buckets: dict[tuple[int, int, int], list[KeptClip]] = defaultdict(list)
        for clip in clips:
            self._buckets[clip.bucket].append(clip)
        self._clips = clips

    def loss(self, model: nn.Module, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Of one section of a batch: a clip, each as likely, and others of its bucket."""
        dice, window = Dice(self._numbers.seed, 10, step * world + rank), self._numbers.window
        bucket = self._buckets[dice.one_of(self._clips).bucket]
        batch = load_clips([dice.one_of(bucket) for _ in range(self._numbers.batch)], device=self._device)
        index = dice.whole(0, batch.sections(window) - 1)
        section = section_of(batch, kind=self._kind, index=index, window=window, with_end=dice.chance(_WITH_END))
        noise = dice.normal(*section.target.shape).to(section.target.device)
        velocity = velocity_of(
            model, section, batch.text, batch.image_embeds, noise=noise, sigma=levels(section.target, dice)
        )
        return {"loss": ((velocity - (noise - section.target)) ** 2).mean()}


def save_lora(path: Path, pairs: Any) -> None:
    """Write a LoRA in diffusers' format, float32, its alpha in the metadata; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    settings = {"transformer.r": pairs.rank, "transformer.lora_alpha": pairs.alpha}
    metadata = {"lora_adapter_metadata": json.dumps(settings)}  # one entry: safetensors writes several in any order
    safetensors.torch.save_file(pairs.tensors(), aside, metadata=metadata)
    aside.replace(path)


def train_lora(
    folder: Path,
    out: Path,
    numbers: LoraNumbers,
    run: Run,
    *,
    model: str,
    kind: Literal["i2v", "f1"] | None = None,
    resolution: int | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> None:
    """Keep the clips of `folder` in run.folder/clips, train, and write the LoRA to `out`.

    model, kind: as of `load_models`. resolution: of the size buckets; None: the model's own. The encoders are let go
    before training begins. Raises: EngineError.
    """
    state = PartialState(cpu=run.device == "cpu")
    device = str(state.device)
    entry, _ = locate(model, kind=kind, say=say)
    models = load_models(entry, device=device, kind=kind, say=say)

    with state.main_process_first():  # the others find what it kept
        clips = keep_clips(
            folder,
            run.folder / "clips",
            models,
            resolution=resolution or entry.resolution,
            window=numbers.window,
            max_sections=numbers.max_sections,
            on_video=lambda done, total: say(f"{done} of {total} videos encoded"),
        )
    transformer = models.transformer
    del models
    if device != "cpu":
        transformer.enable_gradient_checkpointing()
        torch.cuda.empty_cache()
    stage = LoraStage(transformer, clips, numbers, kind=entry.kind, device=device)
    with stage.pairs.acting():
        pairs = train(stage, numbers.stage, run)
    if state.is_main_process:
        save_lora(out, pairs)
    state.wait_for_everyone()
