"""The trained model that lies inside this package, in the folder `pocket`. Loads no torch.

The folder is in the official layout, with one transformer for both kinds. It is there once `framefarm train ship` has
copied a model into it; `about.json`, written last, turns it on. Without it this package has no model `pocket`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from framepack_engine.model_size import ModelSize

FOLDER = Path(__file__).with_name("pocket")
ABOUT = "about.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What `about.json` says of the model in its folder.

    resolution: class of its size buckets, px. revision: digest of its files, see `revision_of`. license: of the
    weights, as in SPDX. learnt_from: the pictures. size: of its parts, in float32.
    """

    resolution: int
    revision: str
    license: str
    learnt_from: str
    size: ModelSize

    def to_json(self) -> str:
        """As `read_shipped` reads it."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_shipped(folder: Path = FOLDER) -> Shipped | None:
    """What is said of the model that `folder` holds; None where it holds none."""
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
    """Digest of every file's name and bytes under `folder`, but `about.json`: another model has another."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / ABOUT):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
