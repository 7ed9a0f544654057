"""The models `tiny` and `tiny-f1`: every part of FramePack in its real class, a few MB, weights from a seed.

They are for tests: the picture is noise. `ensure_tiny` writes them once into the cache, in the official layout, so that
`models.shelf` loads them as any model. Training makes its parts with the same functions, in other widths.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from framepack_engine.models.catalog import FRAMEPACK_F1, FRAMEPACK_I2V, HUNYUAN, REDUX, TINY_VERSION

if TYPE_CHECKING:
    from torch import nn

SEED = 20250417
TEXT_DIM = 32
POOLED_DIM = 32
IMAGE_DIM = 32
IMAGE_SIZE_PX = 64
HEADS, HEAD_DIM = 2, 16

#: Llama 3's pre-tokenizer, from its published tokenizer.json
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<pad>"
MARKS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def cache_root(cache_dir: str | Path | None = None) -> Path:
    """Return the cache folder: `cache_dir`, else FARM_CACHE, else the user's own."""
    if cache_dir is not None:
        return Path(cache_dir)
    return Path(os.environ.get("FARM_CACHE") or platformdirs.user_cache_path("framepack-farm"))


def ensure_tiny(cache_dir: str | Path | None = None) -> Path:
    """Return the folder with the tiny repositories; write it first if it is missing (about 3 s).

    It is written aside and renamed, so several processes may call this at once.
    """
    root = cache_root(cache_dir)
    final = root / f"tiny-v{TINY_VERSION}"
    if final.is_dir():
        return final
    root.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=root))
    try:
        write_tiny(aside)
        aside.chmod(0o755)  # mkdtemp makes it private, but a cache may be shared
        aside.rename(final)
    except OSError:
        if not final.is_dir():  # another process may have been first; its folder is the same
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return final


def write_tiny(root: Path) -> None:
    """Write all tiny repositories into the empty folder `root`: the same bytes on every machine."""
    hunyuan, redux = root / HUNYUAN, root / REDUX
    llama, clip = llama_tokenizer(), clip_tokenizer()
    llama.save_pretrained(hunyuan / "tokenizer")
    clip.save_pretrained(hunyuan / "tokenizer_2")
    small_processor().save_pretrained(redux / "feature_extractor")
    makers: tuple[tuple[Path, Callable[[], Any]], ...] = (
        (hunyuan / "text_encoder", lambda: small_llama(llama)),
        (hunyuan / "text_encoder_2", lambda: small_clip(clip)),
        (hunyuan / "vae", _vae),
        (redux / "image_encoder", small_siglip),
        (root / FRAMEPACK_I2V, lambda: _transformer("i2v")),
        (root / FRAMEPACK_F1, lambda: _transformer("f1")),
    )
    for folder, make in makers:
        make().save_pretrained(folder)


def llama_tokenizer(texts: Sequence[str] = ()) -> Any:
    """Make a byte-level BPE tokenizer with Llama 3's pre-tokenizer and special tokens. It decodes any text unchanged.

    texts: each of their words becomes one token.
    Returns: a transformers `PreTrainedTokenizerFast` that pads on the right.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from framepack_engine.planning.prompt_template import TEMPLATE

    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ],
    )
    text = TEMPLATE
    for mark in MARKS:
        text = text.replace(mark, "\0")
    words = [piece for part in (*text.split("\0"), *texts) for piece, _ in cut.pre_tokenize_str(part)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = merges_for(words)
    vocabulary = {token: i for i, token in enumerate([*letters, *("".join(pair) for pair in merges)])}

    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = cut
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in (BOS, EOS, *MARKS, PAD)])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        special_tokens=[(BOS, backend.token_to_id(BOS))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="right",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def merges_for(words: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Return merge rules, in rank order, with which byte-pair encoding makes one token of each word.

    words: as sequences of symbols. A later rule cannot break an earlier word: earlier rules rank first.
    """
    merges: list[tuple[str, str]] = []
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        symbols = list(word)
        while len(symbols) > 1:
            rank, at = min((ranks.get((a, b), len(ranks)), i) for i, (a, b) in enumerate(pairwise(symbols)))
            if rank == len(ranks):
                ranks[symbols[0], symbols[1]] = rank
                merges.append((symbols[0], symbols[1]))
            symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
    return merges


def clip_tokenizer(words: Sequence[str] = ()) -> Any:
    """Make a CLIP tokenizer of single bytes, with CLIP's treatment of case, spaces, start and end.

    words: each of these, in lower-case ASCII letters, becomes one token.
    Returns: a transformers `CLIPTokenizer`; its end token has the highest id, as in CLIP's own.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = merges_for([[*word[:-1], f"{word[-1]}</w>"] for word in words])
    single = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens = [*single, "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, model_max_length=77)


def small_llama(tokenizer: Any, *, width: int = TEXT_DIM, layers: int = 3) -> nn.Module:
    """Make a Llama for this tokenizer. width: of the hidden states, a multiple of 4.

    layers: at least 3; FramePack reads the hidden states [-3], which of three layers are the first behind attention.
    """
    from transformers import LlamaConfig, LlamaModel

    model: nn.Module = LlamaModel(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
        ),
    )
    draw_weights(model, name="text_encoder")
    return model


def small_clip(tokenizer: Any, *, width: int = POOLED_DIM) -> nn.Module:
    """Make a CLIP text model for this tokenizer. width: of the pooled output, a multiple of 2."""
    from transformers import CLIPTextConfig, CLIPTextModel

    model: nn.Module = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        ),
    )
    draw_weights(model, name="text_encoder_2")
    return model


def small_siglip() -> nn.Module:
    """Make a SigLIP that sees 16 patches."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    model: nn.Module = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=IMAGE_DIM,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=IMAGE_SIZE_PX,
            patch_size=16,
        ),
    )
    draw_weights(model, name="image_encoder")
    return model


def small_processor() -> Any:
    """Make the processor that resizes pictures for `small_siglip`."""
    from transformers import SiglipImageProcessorPil

    return SiglipImageProcessorPil(
        size={"height": IMAGE_SIZE_PX, "width": IMAGE_SIZE_PX},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def _vae() -> nn.Module:
    from diffusers import AutoencoderKLHunyuanVideo

    model: nn.Module = AutoencoderKLHunyuanVideo(
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=0.476986,  # the official one
    )
    draw_weights(model, name="vae", gain=lambda key: 0.5 if key.startswith("decoder.conv_out") else 1.0)
    return model


def _transformer(kind: str) -> nn.Module:
    from diffusers import HunyuanVideoFramepackTransformer3DModel

    model: nn.Module = HunyuanVideoFramepackTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_DIM,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=TEXT_DIM,
        pooled_projection_dim=POOLED_DIM,
        rope_axes_dim=(4, 6, 6),
        has_image_proj=True,
        image_proj_dim=IMAGE_DIM,
        has_clean_x_embedder=True,
    )
    draw_weights(model, name=f"transformer.{kind}")
    return model


def draw_weights(model: nn.Module, *, name: str, gain: Callable[[str], float] = lambda _: 1.0) -> None:
    """Fill every parameter of `model` in place, each from a seed of its own name, and set evaluation mode.

    Matrices and kernels are normal with variance gain² / fan-in, norms near one, biases near zero. gain: maps a
    parameter's name to its factor.
    """
    import torch

    with torch.no_grad():
        for key, parameter in model.named_parameters():
            seed = SEED + zlib.crc32(f"{name}.{key}".encode())
            drawn = torch.randn(parameter.shape, generator=torch.Generator("cpu").manual_seed(seed))
            if parameter.ndim >= 2:
                drawn *= gain(key) * parameter[0].numel() ** -0.5
            elif key.endswith("weight"):
                drawn = 1 + 0.05 * drawn
            else:
                drawn *= 0.05
            parameter.copy_(drawn)
    model.eval()
