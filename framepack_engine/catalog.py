"""Which models can be asked for, and where their parts lie. A table: no torch, no files, no network.

Every model has six parts with weights or vocabularies (transformer, VAE, two text encoders with a tokenizer each, one
image encoder with its processor), spread over three repositories in the layout of the official ones; the tiny models
use the same layout, so that one piece of code loads all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from framepack_engine.errors import ModelUnavailable

HUNYUAN = "hunyuanvideo-community/HunyuanVideo"
REDUX = "lllyasviel/flux_redux_bfl"
FRAMEPACK_I2V = "lllyasviel/FramePackI2V_HY"
FRAMEPACK_F1 = "lllyasviel/FramePack_F1_I2V_HY_20250503"

TINY_VERSION = "1"  #: a changed recipe in tiny.py takes the next number, and with it a new folder


@dataclass(frozen=True, slots=True)
class Part:
    """One loadable folder: a hub repository, the folder in it (empty: its root), and the revision to fetch."""

    repo: str
    folder: str
    revision: str


# The revisions are branches, not commits: this table was written where the hub cannot be reached, and an invented
# hash would be worse than none. Pinning them to commits is one edit here, and nowhere else.
_SHARED = MappingProxyType(
    {
        "text_encoder": Part(HUNYUAN, "text_encoder", "main"),
        "text_encoder_2": Part(HUNYUAN, "text_encoder_2", "main"),
        "tokenizer": Part(HUNYUAN, "tokenizer", "main"),
        "tokenizer_2": Part(HUNYUAN, "tokenizer_2", "main"),
        "vae": Part(HUNYUAN, "vae", "main"),
        "image_encoder": Part(REDUX, "image_encoder", "main"),
        "feature_extractor": Part(REDUX, "feature_extractor", "main"),
    },
)


def _parts(transformer: str) -> Mapping[str, Part]:
    return MappingProxyType({**_SHARED, "transformer": Part(transformer, "", "main")})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model by name. `resolution` is the class of its size buckets in px; `honest` says what to expect of it.

    origin: "hub" is downloaded, "made" is drawn from a seed on this machine by `framepack_engine.tiny`.
    """

    name: str
    kind: Literal["i2v", "f1"]
    origin: Literal["hub", "made"]
    resolution: int
    needs_image: bool
    honest: str
    parts: Mapping[str, Part] = field(repr=False)


_TINY_SAYS = "random weights: it proves the machinery, the picture is noise"

MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ModelEntry(
                name="framepack-i2v",
                kind="i2v",
                origin="hub",
                resolution=640,
                needs_image=True,
                honest="FramePack 13B, made from the end to the start: steady over long videos, the start comes last",
                parts=_parts(FRAMEPACK_I2V),
            ),
            ModelEntry(
                name="framepack-f1",
                kind="f1",
                origin="hub",
                resolution=640,
                needs_image=True,
                honest="FramePack-F1 13B, made forward: livelier motion, drifts more over long videos",
                parts=_parts(FRAMEPACK_F1),
            ),
            ModelEntry(
                name="tiny",
                kind="i2v",
                origin="made",
                resolution=128,
                needs_image=True,
                honest=_TINY_SAYS,
                parts=_parts(FRAMEPACK_I2V),
            ),
            ModelEntry(
                name="tiny-f1",
                kind="f1",
                origin="made",
                resolution=128,
                needs_image=True,
                honest=_TINY_SAYS,
                parts=_parts(FRAMEPACK_F1),
            ),
        )
    },
)


def model_entry(name: str) -> ModelEntry:
    """Look a model up by name.

    Raises: ModelUnavailable naming what there is.
    """
    try:
        return MODELS[name]
    except KeyError as err:
        raise ModelUnavailable(f"no model named {name!r}; there are {', '.join(MODELS)}", model=name) from err
