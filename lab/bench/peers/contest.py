"""Each video in a process of its own, one after another; then a row for each length."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, get_args

from framepack_engine.errors import EngineError
from framepack_engine.models.locate import locate
from lab.bench.child import Child
from lab.bench.peers.options import RANDOM_MODEL, Contender, PeersOptions

_CHILD = (sys.executable, "-m", "lab.bench.peers.child")
_LIMIT_S = 24 * 3600.0  #: of a video


def contest(options: PeersOptions, *, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Render each length by both contenders, and yield a row for each.

    Raises: EngineError if the model is not here or a process fails.
    """
    if options.model != RANDOM_MODEL:
        locate(options.model)  # a wrong name is refused before anything runs
    options.out.mkdir(parents=True, exist_ok=True)
    for sections in options.sections:
        found = dict[str, dict[str, Any]]()
        for contender in get_args(Contender):
            say(f"{sections} sections, {contender} …")
            found[contender] = _rendered(options, contender, sections)
        ours, theirs = found["engine"], found["diffusers"]
        yield {
            "sections": sections,
            "ratio": round(ours["s"] / theirs["s"], 3),
            "cpu_ratio": round(ours["cpu_s"] / theirs["cpu_s"], 3),
            **{f"engine_{name}": value for name, value in ours.items()},
            **{f"diffusers_{name}": value for name, value in theirs.items()},
        }


def _rendered(options: PeersOptions, contender: Contender, sections: int) -> dict[str, Any]:
    errors = options.out / "stderr.txt"
    with Child([*_CHILD, options.to_json(), contender, str(sections)], errors) as child:
        found = child.line(_LIMIT_S)
        if found is None:
            raise EngineError(f"{contender}, {sections} sections: {child.blame(_LIMIT_S)}; see {errors}")
        return found
