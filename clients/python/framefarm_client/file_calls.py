"""Pictures that are sent once, so that requests can name them: each call once, as coroutines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from framefarm_client.connection import Connected, ImageFile, NotSent, part_of, segment


async def upload(farm: Connected, file: ImageFile, *, purpose: str = "vision") -> dict[str, Any]:
    """Send a picture; return the file object, which may stand for a picture in `submit`, `estimate` and `remix`.

    The farm erases it at its `expires_at`. The same bytes again: the same file, kept longer.
    Raises: UnsupportedImage, TooLarge; Unavailable if no farm answers; OSError.
    """
    part = await farm.connection.wire.aside(lambda: part_of(file))
    return await farm.connection.ask("POST", "/v1/files", data={"purpose": purpose}, files={"file": part})


async def get_file(farm: Connected, file_id: str) -> dict[str, Any]:
    """Return the file object. Raises: NotFound."""
    return await farm.connection.ask("GET", _path(file_id))


async def files(farm: Connected) -> AsyncGenerator[dict[str, Any], None]:
    """Iterate over your files, newest first."""
    query = {"limit": "100"}
    while True:
        page = await farm.connection.ask("GET", "/v1/files", params=query)
        for file in page["data"]:
            yield file
        if not page["has_more"] or not page["data"]:
            return
        query["after"] = page["last_id"]


async def fetch_file(farm: Connected, file_id: str, out: str | Path) -> Path:
    """Write a file, as it was sent, to `out`. Raises: NotFound, Damaged."""

    async def once() -> None:
        async with farm.connection.stream("GET", f"{_path(file_id)}/content") as response:
            await farm.connection.write(response, Path(out))

    await farm.connection.patiently(once)
    return Path(out)


async def delete_file(farm: Connected, file_id: str) -> dict[str, Any]:
    """Erase a file before it expires. Videos keep their own copies. Raises: NotFound."""
    # not sent twice once it may have arrived: the second answer would be NotFound
    return await farm.connection.ask("DELETE", _path(file_id), again=(NotSent,))


def _path(file_id: str) -> str:
    return f"/v1/files/{segment(file_id)}"
