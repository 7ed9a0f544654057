"""`up --ray` on a cluster that has a farm: its own, which did not end well, or another's. Ray's answers are by hand."""

from __future__ import annotations

import hashlib
import socket
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from actors import cluster
from actors.cluster import DISPATCHER, FarmNotice
from deploy.node.http_port import bound_port
from deploy.node.local import take_over
from farm.errors import ConfigError
from farm.ledger.log import take_epoch
from farm.settings import FarmSettings
from farm.store import open_store
from tests.patience import patient

SERVE = "Serve, which has the port"
ACTORS = [DISPATCHER, "worker-0@aaaa"]


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The actors that were ended, of those that there are."""
    ended: list[str] = []
    monkeypatch.setattr(ray.util, "list_named_actors", lambda: ACTORS)
    monkeypatch.setattr(ray, "get_actor", lambda name, **_: name)
    monkeypatch.setattr(ray, "kill", ended.append)
    with warnings.catch_warnings(action="ignore"):  # of Ray's own code
        from ray import serve
    monkeypatch.setattr(serve, "status", lambda: SimpleNamespace(applications={"farm": "RUNNING"}))
    monkeypatch.setattr(serve, "shutdown", lambda: ended.append(SERVE))
    return ended


def farm_on(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatcher is in charge of that folder, and says so in Ray."""
    settings = FarmSettings(storage=str(storage))
    claim = take_epoch(open_store(settings))
    notice = FarmNotice(settings.storage, None, claim.key, hashlib.sha256(claim.data).hexdigest())
    monkeypatch.setattr(cluster, "published", lambda: notice)


def test_what_is_left_of_the_same_farm_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: list[str]
) -> None:
    """The store tells, not its name: the folder may be mounted elsewhere."""
    farm_on(tmp_path / "storage", monkeypatch)
    (tmp_path / "mounted").symlink_to(tmp_path / "storage")
    take_over(FarmSettings(storage=str(tmp_path / "mounted"), ray="10.0.0.5:6379"))
    assert killed == [*ACTORS, SERVE]


def test_another_farm_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: list[str]) -> None:
    """Its workers go on; who wanted the cluster hears of both stores."""
    farm_on(tmp_path / "theirs", monkeypatch)
    with pytest.raises(ConfigError, match=rf"10.0.0.5:6379 already runs a farm.*{tmp_path}/theirs.*{tmp_path}/mine"):
        take_over(FarmSettings(storage=str(tmp_path / "mine"), ray="10.0.0.5:6379"))
    assert killed == []


def test_a_farm_that_ended_leaves_its_cluster_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: list[str]
) -> None:
    """Its words are still in Ray; its dispatcher is not."""
    farm_on(tmp_path / "theirs", monkeypatch)
    monkeypatch.setattr(ray.util, "list_named_actors", lambda: ACTORS[1:])
    take_over(FarmSettings(storage=str(tmp_path / "mine"), ray="10.0.0.5:6379"))
    assert killed == [*ACTORS[1:], SERVE]


def test_a_port_that_a_dying_ingress_holds_is_waited_for() -> None:
    """`up --ray` gets the port of the farm before; one that somebody else keeps is named."""
    with socket.create_server(("127.0.0.1", 0)) as ingress:
        settings = FarmSettings(port=ingress.getsockname()[1], ray="10.0.0.5:6379")
        threading.Timer(0.3, ingress.close).start()
        with bound_port(settings, wait_s=patient(1)) as (door,):
            assert door.getsockname()[1] == settings.port
