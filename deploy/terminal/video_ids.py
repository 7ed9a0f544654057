"""Ids as people read and type them: 1e3f90c2 for video_1e3f90c2…; the farm itself knows whole ids only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from farm.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from farm.client import FarmClient

_TYPED = re.compile(r"(video_|batch_|)([0-9a-fA-F]{1,32})")
_DIGITS = 8  #: of an id on the screen
_WHOLE = 32


def short(video_id: str) -> str:
    """Return an id's first 8 hex digits, after `batch_` for a batch. Leave a text of another form as it is."""
    return _cut(video_id, _DIGITS)


def shorts(video_ids: Iterable[str]) -> Mapping[str, str]:
    """Return the short form of each id, with as many digits as tell them apart."""
    ids = list(dict.fromkeys(video_ids))
    digits = _DIGITS
    while digits < _WHOLE and len({_cut(each, digits) for each in ids}) < len(ids):
        digits += 1
    return {each: _cut(each, digits) for each in ids}


def _cut(video_id: str, digits: int) -> str:
    kind, _, number = video_id.rpartition("_")
    is_id = kind in {"video", "batch"} and _TYPED.fullmatch(video_id)
    return f"{'batch_' if kind == 'batch' else ''}{number[:digits]}" if is_id else video_id


def whole_id(client: FarmClient, typed: str) -> str:
    """Return the id of the video, or of the batch, that the user means: as `whole_ids` for one."""
    return whole_ids(client, [typed])[0]


def whole_ids(client: FarmClient, typed: Iterable[str]) -> list[str]:
    """Return the ids of the videos and batches that the user means: each a whole id, or any prefix of one.

    A prefix needs no `video_`. The farm refuses a text of another form by itself. The farm lists its videos at most
    once. Raises: NotFound; ConfigError if a prefix fits several.
    """
    known: list[str] | None = None
    ids = []
    for text in typed:
        match = _TYPED.fullmatch(text.strip())
        wanted = f"{match[1] or 'video_'}{match[2].lower()}" if match else text
        if match and len(match[2]) < _WHOLE:
            if known is None:
                known = [*dict.fromkeys(_names(client))]
            wanted = _the_one(wanted, [each for each in known if each.startswith(wanted)])
        ids.append(wanted)
    return ids


def _the_one(prefix: str, found: list[str]) -> str:
    kind, _, digits = prefix.partition("_")
    if not found:
        raise NotFound(f"there is no {kind} whose id begins with {digits}; `framefarm list` shows the ids")
    if len(found) > 1:
        alike = ", ".join(shorts(found).values())
        raise ConfigError(f"{len(found)} ids begin with {digits}: {alike}; give more digits")
    return found[0]


def _names(client: FarmClient) -> Iterator[str]:
    for video in client.every():
        yield video["id"]
        if video["batch"]:
            yield video["batch"]["id"]
