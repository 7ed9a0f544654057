"""Which file of a folder holds which video: what is made stays, and what is wanted otherwise becomes a new take."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from deploy.batch.report import Row
from deploy.batch.wishes import Wish
from framefarm_client.names import free_neighbour

_NOTES = ".framefarm-batch.json"  #: key of a wish -> the row of its report


class Takes:
    """The files of an output folder, and the wishes that they fulfil."""

    def __init__(self, folder: Path) -> None:
        """Read the folder's notes; a folder without them has no known file. Raises: OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._taken = folder, set[Path]()
        self._rows: dict[str, Row] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            self._rows = dict(json.loads((folder / _NOTES).read_text(encoding="utf-8")))

    def made(self, wish: Wish, key: str) -> Row | None:
        """Return the row of this very video, if its file is there already."""
        row = self._rows.get(f"{wish.name} {key}")
        return (
            {**row, "path": str(self._folder / row["file"])} if row and (self._folder / row["file"]).is_file() else None
        )

    def target(self, wish: Wish, key: str) -> Path:
        """Return the file to write. One that exists stays: it was made with another prompt, photo or flag."""
        known = self._rows.get(f"{wish.name} {key}")
        path = free_neighbour(self._folder / (known["file"] if known else f"{wish.name}.mp4"), besides=self._taken)
        self._taken.add(path)
        return path

    def note(self, wish: Wish, key: str, row: Row) -> None:
        """Remember what a written file holds."""
        self._rows[f"{wish.name} {key}"] = row
        new = self._folder / f"{_NOTES}.new"
        new.write_text(json.dumps(self._rows, indent=1), encoding="utf-8")
        new.replace(self._folder / _NOTES)
