"""The farm's numbers in Ray: each process records its own, and Ray's agent on each node shows them to Prometheus."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpx
import ray
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from ray.util import metrics
from typing_extensions import override

from farm.contract import MetricsDoor
from farm.errors import Unavailable
from farm.metrics import SERIES, Meter

log = logging.getLogger(__name__)
PREFIX = "ray_"  #: Ray puts it before every name
_ANSWER_S = 3.0
_REPEAT_S = 1.0  #: less than the time between two reports
_NOISE = "otel_scope_"  #: labels that say nothing of a farm


class RayMeter(Meter):
    """Records into this process's Ray worker, which reports every `RAY_metrics_report_interval_ms`.

    Ray reports a gauge's value once and then forgets it, so a thread repeats each gauge until the process ends.
    A series appears with its first number.
    """

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._making = threading.Lock()
        self._levels: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    @override
    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        if value > 0:  # Ray refuses to count nothing
            self._series(name).inc(value, labels)

    @override
    def set(self, name: str, value: float, **labels: str) -> None:
        with self._making:
            first = not self._levels
            self._levels[name, tuple(labels.items())] = value
        self._series(name).set(value, labels)
        if first:
            threading.Thread(target=self._repeat, name="gauges", daemon=True).start()

    @override
    def observe(self, name: str, value: float, **labels: str) -> None:
        self._series(name).observe(value, labels)

    def _repeat(self) -> None:
        while True:
            time.sleep(_REPEAT_S)
            with self._making:
                levels = list(self._levels.items())
            for (name, labels), value in levels:
                self._series(name).set(value, dict(labels))

    def _series(self, name: str) -> Any:
        with self._making:
            if name not in self._made:
                kind, help_, labels, bounds = SERIES[name]
                made: Any
                if kind == "histogram":
                    made = metrics.Histogram(name, help_, boundaries=list(bounds), tag_keys=labels)
                else:
                    made = (metrics.Counter if kind == "counter" else metrics.Gauge)(name, help_, tag_keys=labels)
                self._made[name] = made
            return self._made[name]


class RayMetrics(MetricsDoor):
    """Gathers the pages of all nodes' agents."""

    async def page(self) -> str:
        """Implement MetricsDoor. Leave out a node that does not answer, and log it."""
        try:
            nodes = await asyncio.wait_for(asyncio.to_thread(ray.nodes), _ANSWER_S)
        except (ray.exceptions.RayError, TimeoutError) as err:
            raise Unavailable("Ray does not say which nodes there are; ask again in a moment") from err
        alive = [node for node in nodes if node["Alive"]]
        urls = [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in alive]
        async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as http:
            pages = [page for page in await asyncio.gather(*(_fetch(http, url) for url in urls)) if page is not None]
        if not pages:
            raise Unavailable("no node's metrics agent answers; ask again in a moment")
        return await asyncio.to_thread(merged, pages)


async def _fetch(http: httpx.AsyncClient, url: str) -> str | None:
    try:
        answer = await http.get(url)
        answer.raise_for_status()
    except httpx.HTTPError as err:
        log.warning("metrics_missing: %s", type(err).__name__, extra={"url": url})
        return None
    return answer.text


def merged(pages: Iterable[str]) -> str:
    """Merge the farm's own families of several Prometheus pages into one page."""
    families: dict[str, Metric] = {}
    for page in pages:
        for family in text_string_to_metric_families(_ours(page)):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                labels = {name: value for name, value in sample.labels.items() if not name.startswith(_NOISE)}
                whole.samples.append(sample._replace(labels=labels))
    return generate_latest(_Families(families.values())).decode()


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    @override
    def collect(self) -> Iterable[Metric]:
        return self._families


def _ours(page: str) -> str:
    """Return the lines of the farm's series, and skip Ray's own, which are many more."""
    ours = (f"{PREFIX}framefarm_", f"# HELP {PREFIX}framefarm_", f"# TYPE {PREFIX}framefarm_")
    return "".join(f"{line}\n" for line in page.splitlines() if line.startswith(ours))
