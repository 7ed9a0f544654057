"""`make chaos CHAOS=--hosts` in minutes: each fault of a network or of a host's power once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.run import Wanted, run
from tests.hosts import skip_without_hosts
from tests.s3_servers import KEYS

pytestmark = [pytest.mark.acceptance, pytest.mark.hosts]


def test_every_promise_is_kept_while_networks_are_cut(tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, nothing is committed twice, and the bits are equal."""
    skip_without_hosts()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    kinds = [kind for kind in KINDS if kind.hosts]
    wanted = Wanted(
        seed=1,
        workers=1,
        nodes={"node-1": "v8"},
        lease_s=6.0,
        pause_s=0.5,
        at_once=1,
        requests=("middle", "short", "text"),
        kinds=kinds,
        on_hosts=True,
        each_once=True,
    )
    with ThreadPoolExecutor(1) as thread:  # it enters the hosts' network, and this one stays outside
        report = thread.submit(run, wanted, cache=tiny_cache).result()
    assert report.broken == [], report.as_text()
    assert {fault.kind for fault in report.faults} == {kind.name for kind in kinds}, report.as_text()
    assert report.compared > 0
