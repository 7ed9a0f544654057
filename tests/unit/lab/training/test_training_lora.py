"""A LoRA is trained from a folder of clips, and acts in the engine as it did in training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors import safe_open
from torch import nn

from framepack_engine.errors import EngineError
from framepack_engine.frames.video import encode_clip
from framepack_engine.models.shelf import Models, load_models
from framepack_engine.planning.spec import Lora, RenderSpec
from framepack_engine.sampling import context
from framepack_engine.sampling.artifacts import Conditioning
from framepack_engine.sampling.lora.formats import read_lora
from framepack_engine.sampling.transformer import Question, Transformer
from lab.training.data.clips import ClipMaker
from lab.training.loop import Run, train
from lab.training.lora.clips import KeptClip, keep_clips, load_clips
from lab.training.lora.stage import LoraNumbers, LoraStage, LowRanks, save_lora, targets
from lab.training.recipe import StageNumbers
from lab.training.stages.diffusion import velocity_of
from lab.training.stages.samples import section_of

WINDOW = 2
NUMBERS = LoraNumbers(
    rank=4, alpha=8, window=WINDOW, stage=StageNumbers(steps=15, rate=5e-2, warmup=1, save_every=100, average=0.0)
)


def write_video(path: Path, *, frames: int, seed: int, height: int = 64, width: int = 64) -> None:
    """A video that moves, with words beside it."""
    clip = ClipMaker(seed=seed, photo_share=0).clip(0, height=height, width=width, frames=frames, motion="pan_left")
    encode_clip(((clip.frames + 1) * 127.5).to(torch.uint8).permute(1, 2, 3, 0).numpy(), path, crf=10)
    path.with_suffix(".txt").write_text("Pan left,\n  in my style.\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos: one of three sections and a bit, one of a single section in another shape."""
    root = tmp_path_factory.mktemp("clips")
    write_video(root / "long.mp4", frames=27, seed=1)
    write_video(root / "wide.mp4", frames=9, seed=2, height=48, width=96)
    return root


@pytest.fixture(scope="module")
def kept(folder: Path, tiny_models: Models) -> list[KeptClip]:
    """The folder's clips, encoded by the tiny model in stretches of at most two sections."""
    return keep_clips(folder, folder / "kept", tiny_models, resolution=64, window=WINDOW, max_sections=2)


def test_long_videos_become_stretches_of_whole_sections(kept: list[KeptClip]) -> None:
    """Three sections are a stretch of two and one of one; each size and length is a bucket of its own."""
    assert [(clip.source.name, clip.sections) for clip in kept] == [
        ("long.mp4", 2),
        ("long.mp4", 1),
        ("wide.mp4", 1),
    ]
    assert len({clip.bucket for clip in kept}) == 3
    for clip in kept:
        assert load_clips([clip], device="cpu").sections(WINDOW) == clip.sections


def test_what_is_kept_is_not_encoded_again(
    folder: Path, kept: list[KeptClip], tiny_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look finds the files by what is in them; other words are another file."""
    before = {clip.path: clip.path.stat().st_mtime_ns for clip in kept}

    def encode(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("encoded again")

    with monkeypatch.context() as patch:
        patch.setattr(tiny_models.vae, "encode", encode)
        again = keep_clips(folder, folder / "kept", tiny_models, resolution=64, window=WINDOW, max_sections=2)
        assert {clip.path: clip.path.stat().st_mtime_ns for clip in again} == before
        shutil.copytree(folder, folder / "other", ignore=shutil.ignore_patterns("kept", "long*"))
        (folder / "other/wide.txt").write_text("Pan right.")
        with pytest.raises(AssertionError, match="encoded again"):
            keep_clips(folder / "other", folder / "kept", tiny_models, resolution=64, window=WINDOW, max_sections=2)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, tiny_models: Models) -> None:
    """No video, no words, too few frames, or no video inside: the message names the file and what is wanted."""

    def keep() -> None:
        keep_clips(tmp_path, tmp_path / "kept", tiny_models, resolution=64, window=WINDOW, max_sections=1)

    with pytest.raises(EngineError, match=r"has no video \(\.mp4"):
        keep()
    write_video(tmp_path / "a.mp4", frames=8, seed=1)
    with pytest.raises(EngineError, match=r"a\.mp4 has 8 frames .* need 9"):
        keep()
    (tmp_path / "a.txt").unlink()
    with pytest.raises(EngineError, match=r"a\.txt is missing"):
        keep()
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    with pytest.raises(EngineError, match=r"a\.mp4: the file is not an mp4"):
        keep()


def trained(models: Models, clips: list[KeptClip], run: Run) -> tuple[LoraStage, Any]:
    """The stage and the pairs' running mean after a run."""
    stage = LoraStage(models.transformer, clips, NUMBERS, kind="i2v", device="cpu")
    with stage.pairs.acting():
        return stage, train(stage, NUMBERS.stage, run)


def test_training_leaves_the_base_alone_and_learns(kept: list[KeptClip], tiny_models: Models, tmp_path: Path) -> None:
    """The loss over the same steps is lower afterwards; the transformer has its weights' bits still, and no hook."""
    base = {name: value.clone() for name, value in tiny_models.transformer.state_dict().items()}
    stage, mean = trained(tiny_models, kept, Run(folder=tmp_path))
    fresh = LoraStage(tiny_models.transformer, kept, NUMBERS, kind="i2v", device="cpu")
    with torch.no_grad():
        losses = [
            sum(float(stage.loss(model, step, 0, 1)["loss"]) for step in range(100, 104))
            for model in (fresh.model, mean)
        ]
    assert losses[1] < 0.9 * losses[0]
    assert all(torch.equal(value, base[name]) for name, value in tiny_models.transformer.state_dict().items())
    assert not any(part._forward_hooks for part in tiny_models.transformer.modules())
    assert sum(parameter.numel() for parameter in mean.parameters()) < sum(value.numel() for value in base.values())


def test_checkpointed_blocks_train_to_the_same_bits(kept: list[KeptClip], tiny_models: Models, tmp_path: Path) -> None:
    """As on a GPU: blocks are computed again in backward, with the pairs beside them there too."""
    _, plain = trained(tiny_models, kept, Run(folder=tmp_path / "plain", steps=2))
    tiny_models.transformer.enable_gradient_checkpointing()
    try:
        _, checkpointed = trained(tiny_models, kept, Run(folder=tmp_path / "checkpointed", steps=2))
    finally:
        tiny_models.transformer.disable_gradient_checkpointing()
    assert any(bool(value.any()) for name, value in plain.named_parameters() if "lora_B" in name)
    for (name, value), again in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert torch.equal(value, again), name


def test_a_lora_run_resumes_to_the_same_bits(kept: list[KeptClip], tiny_models: Models, tmp_path: Path) -> None:
    """Three steps, or two and one more: the same file."""
    _, whole = trained(tiny_models, kept, Run(folder=tmp_path / "whole", steps=3))
    _, half = trained(tiny_models, kept, Run(folder=tmp_path / "half", steps=2))
    _, rest = trained(tiny_models, kept, Run(folder=tmp_path / "half", steps=3, resume=True))
    for name, pairs in (("whole", whole), ("half", half), ("rest", rest)):
        save_lora(tmp_path / f"{name}.safetensors", pairs)
    files = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("whole", "half", "rest")]
    assert files[0] == files[2] != files[1]


def test_the_file_acts_in_the_engine_as_it_did_in_training(
    kept: list[KeptClip], tiny_models: Models, tmp_path: Path
) -> None:
    """Read through the engine's LoRA door, at weight 1, the velocity of a section is the one that was trained."""
    transformer = tiny_models.transformer
    pairs = LowRanks(transformer, rank=4, alpha=8.0, seed=3)
    generator = torch.Generator().manual_seed(1)
    for parameter in pairs.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    save_lora(tmp_path / "mine.safetensors", pairs)
    linears = {name: part for name, part in transformer.named_modules() if isinstance(part, nn.Linear)}
    assert set(read_lora(tmp_path / "mine.safetensors", linears)) == set(targets(transformer))
    with safe_open(tmp_path / "mine.safetensors", framework="pt") as file:
        assert "lora_adapter_metadata" in file.metadata()

    clips = load_clips([kept[0]], device="cpu")
    section = section_of(clips, kind="i2v", index=1, window=WINDOW)
    spec = RenderSpec(
        kind="i2v", sections=2, height=64, width=64, seed=0, prompt="", latent_window_size=WINDOW,
        loras=(Lora("mine"),),
    )  # fmt: skip
    x = torch.randn(section.target.shape, generator=generator)
    engine = Transformer(transformer)

    def asked() -> torch.Tensor:
        conditioning = Conditioning(
            prompt_embeds=clips.text[0][0],
            pooled_prompt_embeds=clips.text[0][1],
            image_embeds=clips.image_embeds,
            start_latent=clips.start,
        )
        packed = context.pack("i2v", section.history, section.start)
        question = Question(engine, spec, conditioning, context=packed, layout=section.layout, sigmas=(0.6,))
        return question.ask(x, 0.6, caches=(), step=0).velocity

    with torch.no_grad():
        plain = asked()
        noise = (x - 0.4 * section.target) / 0.6
        learned = velocity_of(pairs, section, clips.text, clips.image_embeds, noise=noise, sigma=torch.tensor([0.6]))
        engine.loras.use(spec.loras, folder=tmp_path)
        with engine.loras.at_work():
            with_lora = asked()
    torch.testing.assert_close(with_lora, learned, atol=1e-4, rtol=1e-4)
    assert float((plain - learned).abs().max()) > 0.01


def test_half_precision_trains_beside_a_base_in_bfloat16(
    kept: list[KeptClip], tiny_cache: Path, tmp_path: Path
) -> None:
    """As on a GPU: the base in bfloat16, steps under autocast; the pairs stay float32 and finite."""
    models = load_models("tiny", cache_dir=tiny_cache, dtype=torch.bfloat16)
    AcceleratorState._reset_state(reset_partial_state=True)  # one precision a process otherwise
    try:
        _, mean = trained(models, kept, Run(folder=tmp_path, steps=2, precision="bf16"))
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    values = list(mean.parameters())
    assert {value.dtype for value in values} == {torch.float32}
    assert all(bool(value.isfinite().all()) for value in values)
    assert any(bool(value.any()) for name, value in mean.named_parameters() if "lora_B" in name)
