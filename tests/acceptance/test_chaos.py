"""`make chaos` in minutes: a few kinds of faults, each once. `make long` has every kind that is over soon.

Of the others, test_survival.py kills a worker and a dispatcher, test_watched_farm.py kills an ingress, and
test_farm_on_s3.py loses answers.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.run import Wanted, run
from tests.s3_servers import KEYS

pytestmark = [pytest.mark.acceptance]
FEW = {"worker frozen past its lease", "store killed"}
#: the others restart the farm, which takes 10 s each, or wait for a moment that may not come
MANY = {
    "worker killed",
    "worker killed as it commits",
    "worker frozen past its lease",
    "worker drained",
    "dispatcher killed",
    "dispatcher frozen past a lease",
    "ingress killed",
    "head killed, all of it",
    "node's raylet killed",
    "store killed",
    "store answers errors",
    "store loses answers",
    "store hangs",
}
#: may find nothing to hit: no commit in time, no worker to drain, no raylet; the others wait for what they hit
LUCKY = {"worker killed as it commits", "worker drained", "node's raylet killed"}


@pytest.mark.parametrize(
    ("names", "nodes"), [(FEW, {}), pytest.param(MANY, {"node-1": "v8"}, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_every_promise_is_kept_under_faults(
    names: AbstractSet[str], nodes: dict[str, str], tiny_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes and the store die, freeze and err while videos are made, one of them poison; no promise is broken."""
    assert names <= {kind.name for kind in KINDS}
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    wanted = Wanted(
        seed=1,
        workers=1,
        nodes=nodes,
        lease_s=4.0,
        pause_s=0.5,
        at_once=1,
        requests=("middle", "short", "text") if nodes else ("short", "text"),
        kinds=[kind for kind in KINDS if kind.name in names],
        each_once=True,
    )
    report = run(wanted, cache=tiny_cache)
    assert report.broken == [], report.as_text()
    assert {fault.kind for fault in report.faults} >= names - LUCKY, report.as_text()
    assert report.compared > 0
    assert report.poison_deaths >= 3
