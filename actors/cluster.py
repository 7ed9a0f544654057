"""The Ray cluster as the farm sees it. Ray's private functions are wrapped here and nowhere else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

from actors.notices.notice import CloudNotice
from actors.reach import Ports, ports_of
from actors.wire import Build
from farm.errors import ConfigError, Damaged, Unavailable
from farm.store import Store

NAMESPACE = "framepack-farm"
DISPATCHER = "dispatcher"
WORKER_RESOURCE = "farm_worker"  #: a node's Ray resource: how many workers it has room for
ON_HEAD = {"node:__internal_head__": 0.001}  #: a share of the resource that only the cluster's head has
NODE_LABEL = "farm/node"  #: a node's Ray label: its name in the farm
PORTS_LABEL = "farm/ports"  #: another: its FARM_PORTS


def worker_name(slot: str, node_id: str) -> str:
    """The actor name of the worker in `slot`; a worker that replaces a dead one takes the same name."""
    return f"{slot}@{node_id[:16]}"


_KEY = b"farm"  #: in Ray's own key-value store: what a machine that joins must know
_SIGN = b"sign"  #: another: changes for as long as the dispatcher lives
ANSWER_S = 5.0  #: of tables that are asked from outside
_HEAD_SLOTS = "worker"  #: workers of a node without a name are worker-0, worker-1 …


class FarmNode(NamedTuple):
    """A living machine."""

    id: str
    name: str
    workers: int
    gpus: int
    draining: bool  #: it goes soon; nothing may begin there
    ports: Ports = Ports("", ())  #: where the head must reach it
    notice: CloudNotice | None = None  #: its cloud's notice that it ends

    @property
    def closing(self) -> bool:
        """Whether it finishes its work and begins nothing new, because its end is likely."""
        return self.notice is not None and not self.draining


class FarmNotice(NamedTuple):
    """A farm's facts for machines that join: its store, an object there that proves it is the same store, its build."""

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
    """Return the living nodes, without their clouds' notices. Takes a few ms; Ray must be connected."""
    import ray

    draining = ray._private.state.state.get_draining_nodes()  # noqa: SLF001 - no public call tells it
    return [
        FarmNode(
            id=node["NodeID"],
            name=node["Labels"].get(NODE_LABEL, _HEAD_SLOTS),
            workers=int(node["Resources"].get(WORKER_RESOURCE, 0)),
            gpus=int(node["Resources"].get("GPU", 0)),
            draining=node["NodeID"] in draining,
            ports=ports_of(
                node["NodeManagerAddress"],
                (node["NodeManagerPort"], node["ObjectManagerPort"]),
                node["Labels"].get(PORTS_LABEL, ""),
            ),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def ask_for_workers(number: int) -> None:
    """Ask Ray's autoscaler to keep nodes for this many workers in all, until the next call.

    The request names the resource that such nodes declare. Without an autoscaler it has no effect.
    """
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[{WORKER_RESOURCE: 1}] * number)


def publish(notice: FarmNotice) -> None:
    """Publish the notice in this cluster."""
    said = {**notice._asdict(), "build": notice.build._asdict()}
    _write(_KEY, json.dumps(said))


def published() -> FarmNotice | None:
    """Return the newest notice in this cluster, even if its farm is gone; None: there never was one."""
    data = _read(own_client(), _KEY)
    return None if data is None else FarmNotice.read(data)


class FarmLook(NamedTuple):
    """A farm as a machine that joins sees it. nodes: the living ones, id -> name."""

    notice: FarmNotice
    nodes: dict[str, str]
    head: Ports


def look_at(address: str) -> FarmLook:
    """Ask a cluster from outside for its farm. The environment has the token.

    Raises: ConfigError if the token is not the farm's; Unavailable if no farm answers.
    """
    with asking(address) as client:
        data = _read(client, _KEY)
        alive = _living(client)
    if data is None:
        raise Unavailable(f"the Ray cluster at {address} has no farm; start one there: framefarm up --ray {address}")
    names = {node.node_id.hex(): _name_of(node) for node in alive}
    head = next((node for node in alive if node.is_head_node), None)
    if head is None:
        raise Unavailable(f"the Ray at {address} has no head yet")
    raylet = (head.node_manager_port, head.object_manager_port)
    ports = ports_of(head.node_manager_address, raylet, head.labels.get(PORTS_LABEL, ""))
    return FarmLook(FarmNotice.read(data), names, ports)


def _living(client: Any) -> list[Any]:
    """Return the facts of each living node in Ray's tables."""
    from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]  # its names are made at import

    nodes = client.get_all_node_info(timeout=ANSWER_S).values()
    return [node for node in nodes if node.state == GcsNodeInfo.GcsNodeState.ALIVE]


def _name_of(node: Any) -> str:
    name: str = node.labels.get(NODE_LABEL, _HEAD_SLOTS)
    return name


@contextlib.contextmanager
def asking(address: str) -> Iterator[Any]:
    """Give a client of Ray's tables. Raises: ConfigError, Unavailable."""
    host, _, port = address.rpartition(":")
    try:  # Ray's own client would try for 40 s
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as err:
        raise Unavailable(f"nothing answers at {address} ({err.strerror or err}); is the farm up there?") from err
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # a compiled module
    from ray.exceptions import AuthenticationError, RayError

    try:
        yield GcsClient(address=address)
    except AuthenticationError as err:
        raise ConfigError(
            f"the farm at {address} rejects this token; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the farm's own"
        ) from err
    except RayError as err:
        raise Unavailable(f"no Ray answers at {address}: {str(err).partition(chr(10))[0]}") from err


HEARD = "heard"  #: the farm's word for a machine whose worker has asked for an order


def tell_node(node_id: str, word: str) -> None:
    """Tell a machine that joins how it goes: HEARD, or what keeps the farm from hearing it."""
    _write(_word_key(node_id), word)


def give_sign() -> None:
    """Let machines that joined know that the dispatcher lives; Ray's head may outlive it."""
    _write(_SIGN, str(time.time()))


class Told(NamedTuple):
    """A farm's answer to a machine. word: how its join goes; None: nothing yet. sign: the dispatcher's newest."""

    word: str | None
    sign: str


def told(address: str, name: str) -> Told:
    """Ask a cluster from outside what the farm tells the living machine of that name.

    Raises: ConfigError, Unavailable.
    """
    with asking(address) as client:
        word, sign = _read(client, _word_key(id_of(client, name) or "")), _read(client, _SIGN)
    return Told(None if word is None else str(word, "utf-8"), str(sign or b"", "utf-8"))


def _write(key: bytes, text: str) -> None:
    own_client().internal_kv_put(key, text.encode(), overwrite=True, namespace=NAMESPACE.encode())


def _read(client: Any, key: bytes) -> bytes | None:
    data: bytes | None = client.internal_kv_get(key, namespace=NAMESPACE.encode(), timeout=ANSWER_S)
    return data


def _word_key(node_id: str) -> bytes:
    return f"node/{node_id}".encode()


def id_of(client: Any, node: str) -> str | None:
    """Return Ray's id of the living node with that name or id; None: there is none."""
    living = _living(client)
    return next((each.node_id.hex() for each in living if node in {each.node_id.hex(), _name_of(each)}), None)


def own_client() -> Any:
    """Return the client of Ray's tables that this process has; Ray must be connected."""
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    return internal_kv_get_gcs_client()


def stay_on_loopback() -> None:
    """Make Ray listen on 127.0.0.1 alone. Call it before Ray starts in this process.

    Otherwise Ray replaces 127.0.0.1 by the machine's outward address and listens on all addresses. No setting prevents
    that (Ray 2.60: services.resolve_ip_for_localhost).
    """
    from ray._private import services

    services.resolve_ip_for_localhost = lambda host: host


def use_ports(programs: dict[str, int], processes: list[int]) -> None:
    """Make a head that starts in this process listen on these ports. Call it before `ray.init`.

    `ray start` has flags for them, `ray.init` has none (Ray 2.60). programs: by the names of those flags.
    """
    parameter: Any = import_module("ray._private.parameter")
    names = {"dashboard_agent_grpc_port": "metrics_agent_port"}
    ports = {names.get(name, name): port for name, port in programs.items()}

    class RayParams(parameter.RayParams):
        def __init__(self, **given: Any) -> None:
            worker_ports = ",".join(map(str, processes))
            super().__init__(**given | ports | {"worker_port_list": worker_ports})

    parameter.RayParams = RayParams
    os.environ |= {"RAY_prestart_worker_first_driver": "0"}  # each of those that Ray starts in advance takes a port
