"""Metrics are recorded where they occur, merged from all nodes into one page, and documented."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from actors.meter import PREFIX, merged
from deploy.planner import EngineMedia, EnginePlanner
from farm.contract import Failure, MetricsDoor, OrderKey
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import StoreError
from farm.ingress import create_app
from farm.ingress.ready import Readiness
from farm.ingress.streams.feed import Feed
from farm.ingress.streams.watches import Watches
from farm.jobs import Jobs, Record
from farm.keys import new_key
from farm.metrics import SERIES, Meter
from farm.settings import FarmSettings
from farm.store import FolderStore, MeteredStore, ObjectMissing
from tests.imports import ROOT
from tests.unit.conftest import DispatcherHere, Hand

Accept = Callable[..., Record]
SERIES_PAGE = ROOT / "docs" / "reference" / "metrics.md"


class Recorder(Meter):
    """A meter that keeps every value; an unknown name or label is an error."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def _take(self, kind: str, name: str, value: float, labels: dict[str, str]) -> None:
        assert SERIES[name].kind == kind
        assert set(labels) == set(SERIES[name].labels)
        self.values[name, *(labels[label] for label in SERIES[name].labels)].append(value)

    @override
    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        self._take("counter", name, value, labels)

    @override
    def set(self, name: str, value: float, **labels: str) -> None:
        self._take("gauge", name, value, labels)

    @override
    def observe(self, name: str, value: float, **labels: str) -> None:
        self._take("histogram", name, value, labels)


def test_the_dispatcher_counts(jobs: Jobs, accept: Accept) -> None:
    """The dispatcher counts leases, failures by code, videos by status and workers by state."""
    meter = Recorder()
    dispatcher = Dispatcher(jobs, FarmSettings(), meter=meter)
    hand, first, second = Hand(jobs, dispatcher), accept().job.id, accept().job.id
    dispatcher.nudge(first)
    dispatcher.nudge(second)
    order = hand.take()
    dispatcher.tick()
    assert meter.values["framefarm_videos", "queued"][-1] == 1
    assert meter.values["framefarm_videos", "in_progress"][-1] == 1
    assert (meter.values["framefarm_workers", "busy"][-1], meter.values["framefarm_workers", "idle"][-1]) == (1, 0)
    failure = Failure(job=order.job.id, key=order.key, attempt=order.attempt, worker="hand", code="oom", message="m")
    dispatcher.give_up(failure)
    jobs.wish(second if order.job.id == first else first, "cancel", owner="local")
    dispatcher.sweep()
    assert meter.values["framefarm_leases", "encode"] == [1]
    assert meter.values["framefarm_leases_ended", "failed_attempt"] == [1]
    assert meter.values["framefarm_failures", "oom"] == [1]
    assert meter.values["framefarm_videos_ended", "cancelled"] == [1]
    assert OrderKey(stage="encode") == order.key


def test_a_store_is_timed_by_operation(tmp_path: Path) -> None:
    """Each call counts once. A missing object is no error; a failing store is one."""
    meter = Recorder()
    store = MeteredStore(FolderStore(tmp_path), meter)
    store.put_if_absent("a/b", b"1")
    assert (store.get("a/b"), store.list("a/"), store.size("a/b")) == (b"1", ["a/b"], 1)
    with pytest.raises(ObjectMissing):
        store.get("a/c")
    with pytest.raises(StoreError):
        store.delete("a")  # a folder of the file system
    counts = {
        labels[1]: len(values) for labels, values in meter.values.items() if labels[0] == "framefarm_store_seconds"
    }
    assert counts == {"put": 1, "get": 2, "list": 1, "size": 1, "delete": 1}
    assert meter.values["framefarm_store_errors", "delete"] == [1]
    assert all(value >= 0 for values in meter.values.values() for value in values)


def test_watchers_are_counted(jobs: Jobs, door: DispatcherHere, accept: Accept) -> None:
    """The gauge follows the number of open streams."""
    meter = Recorder()
    watches = Watches(jobs, Feed(jobs, door, Readiness(jobs.store, door)), meter=meter)
    with watches.following(accept().asked), watches.following(accept().asked):
        pass
    assert meter.values["framefarm_watchers",] == [1, 2, 1, 0]


PAGE = """# HELP ray_node_cpu cores
# TYPE ray_node_cpu gauge
ray_node_cpu{{node="{node}"}} 2.0
# HELP ray_framefarm_sections_total sections made
# TYPE ray_framefarm_sections_total counter
ray_framefarm_sections_total{{WorkerId="{node}",device="CPU",otel_scope_name="ray"}} {made}
"""


def test_pages_of_several_nodes_become_one() -> None:
    """The page shows each family once with every node's numbers, without Ray's own series."""
    page = merged([PAGE.format(node="a", made=3.0), PAGE.format(node="b", made=4.0), ""])
    assert page.count("# TYPE") == 1
    (family,) = text_string_to_metric_families(page)
    assert (family.name, family.type) == (f"{PREFIX}framefarm_sections", "counter")
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"WorkerId": "a", "device": "CPU"}, 3.0),
        ({"WorkerId": "b", "device": "CPU"}, 4.0),
    ]


class OnePage(MetricsDoor):
    """A farm with one metric."""

    @override
    async def page(self) -> str:
        return merged([PAGE.format(node="a", made=3.0)])


def test_the_page_needs_a_key_where_there_are_keys(jobs: Jobs, door: DispatcherHere) -> None:
    """Prometheus must send a key as a bearer token. A process without metrics says so."""
    secret, entry = new_key("ops")
    parts = {"jobs": jobs, "door": door, "planner": EnginePlanner(), "media": EngineMedia()}
    with TestClient(create_app(settings=FarmSettings(api_keys=entry), metrics=OnePage(), **parts)) as http:  # type: ignore[arg-type]
        assert http.get("/metrics").status_code == 401
        answer = http.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert [family.name for family in text_string_to_metric_families(answer.text)] == [f"{PREFIX}framefarm_sections"]
    with TestClient(create_app(settings=FarmSettings(api_keys=entry), **parts)) as http:  # type: ignore[arg-type]
        answer = http.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_the_docs_name_every_series() -> None:
    """The table in docs/reference/metrics.md lists SERIES under the names on the page."""
    rows = re.findall(r"^\| `(ray_framefarm_\w+)` \| (\w+) \| (.*?) \|", SERIES_PAGE.read_text(), re.MULTILINE)
    told = {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert told == {
        (f"{PREFIX}{name}{'_total' if series.kind == 'counter' else ''}", series.kind, series.labels)
        for name, series in SERIES.items()
    }
