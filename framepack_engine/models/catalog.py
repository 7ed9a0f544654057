"""The table of models: what each is, and where its parts are stored. Loads no torch and uses no network.

The only file that it reads is `about.json` of the model inside this package. Every model has six parts with weights or
vocabularies (transformer, VAE, two text encoders with a tokenizer each, one image encoder with its processor). They are
spread over three repositories in the official layout. The small models use the same layout, so one piece of code loads
all models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from framepack_engine.errors import ModelUnavailable
from framepack_engine.models.model_size import ModelSize

FOLDER = Path(__file__).parents[1] / "pocket"
ABOUT = "about.json"  #: the file of a shipped model's facts, beside its repositories

HUNYUAN = "hunyuanvideo-community/HunyuanVideo"
REDUX = "lllyasviel/flux_redux_bfl"
FRAMEPACK_I2V = "lllyasviel/FramePackI2V_HY"
FRAMEPACK_F1 = "lllyasviel/FramePack_F1_I2V_HY_20250503"

TINY_VERSION = "1"  #: raise it when tiny.py makes other files: the cache then gets a new folder


@dataclass(frozen=True, slots=True)
class Part:
    """Where one part is stored: a hub repository, a folder in it (empty: its root), and the commit to fetch."""

    repo: str
    folder: str
    revision: str


# The commits that people's caches hold, as cache paths in public repositories name them
# (`models--…/snapshots/<commit>`). They were not looked up on the hub.
_COMMITS = MappingProxyType(
    {
        HUNYUAN: "e8c2aaa66fe3742a32c11a6766aecbf07c56e773",
        REDUX: "45b801affc54ff2af4e5daf1b282e0921901db87",
        FRAMEPACK_I2V: "86cef4396041b6002c957852daac4c91aaa47c79",
        FRAMEPACK_F1: "ab239828e0b384fed75580f186f078717d4020f7",
    },
)
_SHARED = MappingProxyType(
    {
        "text_encoder": Part(HUNYUAN, "text_encoder", _COMMITS[HUNYUAN]),
        "text_encoder_2": Part(HUNYUAN, "text_encoder_2", _COMMITS[HUNYUAN]),
        "tokenizer": Part(HUNYUAN, "tokenizer", _COMMITS[HUNYUAN]),
        "tokenizer_2": Part(HUNYUAN, "tokenizer_2", _COMMITS[HUNYUAN]),
        "vae": Part(HUNYUAN, "vae", _COMMITS[HUNYUAN]),
        "image_encoder": Part(REDUX, "image_encoder", _COMMITS[REDUX]),
        "feature_extractor": Part(REDUX, "feature_extractor", _COMMITS[REDUX]),
    },
)


def _parts(transformer: str) -> Mapping[str, Part]:
    return MappingProxyType({**_SHARED, "transformer": Part(transformer, "", _COMMITS[transformer])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model by name.

    resolution: the class of its size buckets, px. honest: what a user can expect. path: of a "local" or "shipped"
    model. origin: "hub" is downloaded; "made" is drawn from a seed on this machine (`models/tiny.py`); "shipped" is
    inside this package; "local" is a folder in the official layout, or a transformer alone.
    """

    name: str
    kind: Literal["i2v", "f1"]
    origin: Literal["hub", "made", "shipped", "local"]
    resolution: int
    needs_image: bool
    honest: str
    parts: Mapping[str, Part] = field(repr=False)
    path: str = ""


_TINY_SAYS = "random weights, for tests: the picture is noise"

_I2V = ModelEntry(
    name="framepack-i2v",
    kind="i2v",
    origin="hub",
    resolution=640,
    needs_image=True,
    honest="FramePack 13B, made from the end to the start: steady over long videos, the start comes last",
    parts=_parts(FRAMEPACK_I2V),
)
_F1 = replace(
    _I2V,
    name="framepack-f1",
    kind="f1",
    needs_image=False,
    honest="FramePack-F1 13B, made forward: livelier motion, drifts more over long videos",
    parts=_parts(FRAMEPACK_F1),
)
_DOWNLOADED = (_I2V, _F1)
_MADE = (
    replace(_I2V, name="tiny", origin="made", resolution=128, honest=_TINY_SAYS),
    replace(_F1, name="tiny-f1", origin="made", resolution=128, honest=_TINY_SAYS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The facts in `about.json` about the model in its folder.

    resolution: class of its size buckets, px. revision: see `revision_of`. license: of the weights, as in SPDX.
    learnt_from: the pictures that it was trained with. size: of its parts, in float32.
    """

    resolution: int
    revision: str
    license: str
    learnt_from: str
    size: ModelSize

    def to_json(self) -> str:
        """Return the text of `about.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_shipped(folder: Path = FOLDER) -> Shipped | None:
    """Read `about.json` of the model in `folder`; None if there is none."""
    try:
        text = (folder / ABOUT).read_text()
    except FileNotFoundError:
        return None
    facts: dict[str, Any] = json.loads(text)
    size: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in facts.pop("size").items()
    }
    return Shipped(**facts, size=ModelSize(**size))


def revision_of(folder: Path) -> str:
    """Return a digest of all files under `folder` but `about.json`, of their names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / ABOUT):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def shipped_entries(shipped: Shipped | None, folder: Path = FOLDER) -> tuple[ModelEntry, ...]:
    """Return the models in this package's `folder`: one transformer serves both kinds.

    Both need an image: the transformer was not trained to draw from text alone.
    """
    if shipped is None:
        return ()
    can = f"a small demonstration, {shipped.resolution} px: it pans slowly and changes the light as a prompt asks"
    entry = ModelEntry(
        name="pocket",
        kind="i2v",
        origin="shipped",
        resolution=shipped.resolution,
        needs_image=True,
        honest=f"{can}; for real films use framepack-i2v",
        parts=MappingProxyType(
            {name: replace(part, revision=shipped.revision) for name, part in _parts(FRAMEPACK_I2V).items()}
        ),
        path=str(folder),
    )
    return (entry, replace(entry, name="pocket-f1", kind="f1"))


MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {entry.name: entry for entry in (*_DOWNLOADED, *shipped_entries(read_shipped()), *_MADE)}
)
CPU_MODEL = "pocket" if "pocket" in MODELS else "tiny"  #: the default without a GPU


def resolution_of(name: str) -> int:
    """Return the class of a model's size buckets in px; a model that the catalogue lacks has FramePack's."""
    return MODELS[name if name in MODELS else "framepack-i2v"].resolution


def known_models(local: str = "") -> Mapping[str, ModelEntry]:
    """Return the catalogue and the models of this machine that `local` lists: NAME=KIND:PATH, separated by commas.

    Raises: ModelUnavailable, which names the piece that is wrong.
    """
    models = dict(MODELS)
    for piece in filter(None, (text.strip() for text in local.split(","))):
        name, _, where = piece.partition("=")
        kind, _, path = where.partition(":")
        if not (name and path) or name in models or kind not in {"i2v", "f1"}:
            raise ModelUnavailable(f"{piece!r}: need NAME=i2v:PATH or NAME=f1:PATH, with an unused name")
        base = MODELS[f"framepack-{kind}"]
        models[name] = replace(base, name=name, origin="local", path=path, honest=f"this farm's own, of kind {kind}")
    return models


def f1_of(name: str, models: Mapping[str, ModelEntry] = MODELS) -> str:
    """Return the F1 model that belongs to `name`: itself, its namesake (`tiny-f1` of `tiny`), or FramePack's."""
    namesake = models.get(f"{name.removesuffix('-i2v')}-f1")
    if models[name].kind == "f1":
        return name
    return namesake.name if namesake is not None and namesake.kind == "f1" else "framepack-f1"


def model_entry(name: str) -> ModelEntry:
    """Look up a model. Raises: ModelUnavailable, which names the known models."""
    try:
        return MODELS[name]
    except KeyError as err:
        raise ModelUnavailable(f"no model is named {name!r}; known are {', '.join(MODELS)}", model=name) from err
