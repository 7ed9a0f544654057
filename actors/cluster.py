"""The Ray cluster as the farm sees it. What Ray keeps private is wrapped here and nowhere else."""

from __future__ import annotations

import hashlib
import json
import socket
from typing import NamedTuple

from actors.wire import Build
from farm.errors import ConfigError, Damaged, Unavailable
from farm.store import Store

NAMESPACE = "framepack-farm"
DISPATCHER = "dispatcher"
WORKER_RESOURCE = "farm_worker"  #: a node's Ray resource: how many workers it has room for
ON_HEAD = {"node:__internal_head__": 0.001}  #: a share of the resource that only the cluster's head has
NODE_LABEL = "farm/node"  #: a node's Ray label: its name in the farm


def worker_name(slot: str, node_id: str) -> str:
    """The actor name of the worker in `slot`; a worker that replaces a dead one takes the same name."""
    return f"{slot}@{node_id[:16]}"


_KEY = b"farm"  #: in Ray's own key-value store: what a machine that joins must know
_ANSWER_S = 5.0
_HEAD_SLOTS = "worker"  #: workers of a node without a name are worker-0, worker-1 …


class FarmNode(NamedTuple):
    """A living machine that has workers."""

    id: str
    name: str
    workers: int
    gpus: int
    draining: bool  #: it goes soon; nothing may begin there


class FarmNotice(NamedTuple):
    """What a farm tells machines that join: its store, an object there that proves it is the same store, its build."""

    storage: str
    s3_endpoint: str | None
    key: str
    sha256: str
    build: Build = Build()

    def is_of(self, store: Store) -> bool:
        """Whether that farm's store is this one, even under another name. Raises: StoreError."""
        try:
            return hashlib.sha256(store.get(self.key)).hexdigest() == self.sha256
        except Damaged:
            return False

    @classmethod
    def read(cls, data: bytes) -> FarmNotice:
        """Read what `publish` wrote, of another version too: it may say less or more."""
        said = json.loads(data)
        build = {name: value for name, value in said.pop("build", {}).items() if name in Build._fields}
        return cls(**{name: said[name] for name in cls._fields if name in said}, build=Build(**build))


def farm_nodes() -> list[FarmNode]:
    """Return the living nodes that declare workers. Takes a few ms; Ray must be connected."""
    import ray

    draining = ray._private.state.state.get_draining_nodes()  # noqa: SLF001 - no public call tells it
    return [
        FarmNode(
            id=node["NodeID"],
            name=node["Labels"].get(NODE_LABEL, _HEAD_SLOTS),
            workers=int(workers),
            gpus=int(node["Resources"].get("GPU", 0)),
            draining=node["NodeID"] in draining,
        )
        for node in ray.nodes()
        if node["Alive"] and (workers := node["Resources"].get(WORKER_RESOURCE, 0))
    ]


def ask_for_workers(number: int) -> None:
    """Ask Ray's autoscaler to keep nodes for this many workers in all, until the next call.

    The request names the resource that such nodes declare. Without an autoscaler it has no effect.
    """
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[{WORKER_RESOURCE: 1}] * number)


def publish(notice: FarmNotice) -> None:
    """Publish the notice in this cluster."""
    from ray.experimental.internal_kv import _internal_kv_put

    said = {**notice._asdict(), "build": notice.build._asdict()}
    _internal_kv_put(_KEY, json.dumps(said).encode(), overwrite=True, namespace=NAMESPACE.encode())


def published() -> FarmNotice | None:
    """Return the newest notice in this cluster, even if its farm is gone; None: there never was one."""
    from ray.experimental.internal_kv import _internal_kv_get

    data = _internal_kv_get(_KEY, namespace=NAMESPACE.encode())
    return None if data is None else FarmNotice.read(data)


def look_at(address: str) -> tuple[FarmNotice, dict[str, str]]:
    """Ask a cluster from outside for its farm's notice and living nodes (id -> name). The environment has the token.

    Raises: ConfigError if the token is not the farm's; Unavailable if no farm answers.
    """
    host, _, port = address.rpartition(":")
    try:  # Ray's own client would try for 40 s
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as err:
        raise Unavailable(f"nothing answers at {address} ({err.strerror or err}); is the farm up there?") from err
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # a compiled module
    from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]  # its names are made at import
    from ray.exceptions import AuthenticationError, RayError

    try:
        client = GcsClient(address=address)
        data = client.internal_kv_get(_KEY, namespace=NAMESPACE.encode(), timeout=_ANSWER_S)
        nodes = client.get_all_node_info(timeout=_ANSWER_S)
    except AuthenticationError as err:
        raise ConfigError(
            f"the farm at {address} rejects this token; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the farm's own"
        ) from err
    except RayError as err:
        raise Unavailable(f"no Ray answers at {address}: {str(err).partition(chr(10))[0]}") from err
    if data is None:
        raise Unavailable(f"the Ray cluster at {address} has no farm; start one there: framefarm up --ray {address}")
    alive = [node for node in nodes.values() if node.state == GcsNodeInfo.GcsNodeState.ALIVE]
    names = {node.node_id.hex(): node.labels.get(NODE_LABEL, _HEAD_SLOTS) for node in alive}
    return FarmNotice.read(data), names


def stay_on_loopback() -> None:
    """Make Ray listen on 127.0.0.1 alone. Call it before Ray starts in this process.

    Otherwise Ray replaces 127.0.0.1 by the machine's outward address and listens on all addresses. No setting prevents
    that (Ray 2.60: services.resolve_ip_for_localhost).
    """
    from ray._private import services

    services.resolve_ip_for_localhost = lambda host: host
