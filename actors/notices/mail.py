"""Messages between a machine and its farm about its cloud's notice, in Ray's key-value store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from actors.cluster import ANSWER_S, NAMESPACE, FarmNode, asking, id_of, own_client
from actors.notices.notice import CloudNotice

_STANDS, _TAKEN_IN, _LEFT = "notice", "noticed", "left"  #: messages about a machine: one key each


class _Mail:
    """All that is written of one machine. timeout: of the client, in seconds; None: it waits for Ray."""

    def __init__(self, client: Any, node_id: str, *, timeout: float | None = None) -> None:
        self._client, self._node_id = client, node_id
        self._how: dict[str, Any] = {"namespace": NAMESPACE.encode(), "timeout": timeout}

    def put(self, what: str, notice: CloudNotice) -> None:
        self._client.internal_kv_put(_key(what, self._node_id), notice.to_bytes(), overwrite=True, **self._how)

    def is_there(self, what: str, notice: CloudNotice) -> bool:
        return bool(self._client.internal_kv_get(_key(what, self._node_id), **self._how) == notice.to_bytes())

    def delete(self, what: str) -> None:
        self._client.internal_kv_del(_key(what, self._node_id), del_by_prefix=False, **self._how)


def _key(what: str, node_id: str) -> bytes:
    return f"{what}/{node_id}".encode()


def post_notice(address: str, node: str, notice: CloudNotice | None) -> bool:
    """Tell a farm from outside the notice that stands of a machine, by its name or Ray's id; None: none stands.

    Returns: False if no such machine is alive. Raises: ConfigError, Unavailable.
    """
    with asking(address) as client:
        node_id = id_of(client, node)
        if node_id is None:
            return False
        mail = _Mail(client, node_id, timeout=ANSWER_S)
        if notice is None:
            mail.delete(_STANDS)
        else:
            mail.put(_STANDS, notice)
    return True


def has_left(address: str, node: str, notice: CloudNotice) -> bool:
    """Ask a farm from outside whether a machine with that notice has no worker any more.

    Raises: ConfigError, Unavailable.
    """
    with asking(address) as client:
        return _Mail(client, id_of(client, node) or "", timeout=ANSWER_S).is_there(_LEFT, notice)


def with_notices(nodes: Collection[FarmNode]) -> list[FarmNode]:
    """Return the nodes with the notices that stand; a notice that is no hint drains its node."""
    keys = [_key(_STANDS, node.id) for node in nodes]
    found = own_client().internal_kv_multi_get(keys, namespace=NAMESPACE.encode())
    standing = {key: CloudNotice.read(data) for key, data in found.items()}
    return [_noticed(node, standing.get(key)) for node, key in zip(nodes, keys, strict=True)]


def _noticed(node: FarmNode, notice: CloudNotice | None) -> FarmNode:
    ends = notice is not None and not notice.is_hint
    return node._replace(notice=notice, draining=node.draining or ends)


def is_new_notice(node_id: str, notice: CloudNotice) -> bool:
    """Note that the farm has taken in a notice; return whether it is the first to do so."""
    mail = _Mail(own_client(), node_id)
    if mail.is_there(_TAKEN_IN, notice):
        return False
    mail.put(_TAKEN_IN, notice)
    return True


def answer_left(node_id: str, notice: CloudNotice) -> None:
    """Tell a machine with that notice that no worker of it is left."""
    _Mail(own_client(), node_id).put(_LEFT, notice)


def forget_notice(node_id: str, *, is_dead: bool) -> None:
    """Forget the farm's messages about a machine's notice. A machine deletes its own messages while it lives."""
    mail = _Mail(own_client(), node_id)
    for what in (_TAKEN_IN, _LEFT, *([_STANDS] if is_dead else [])):
        mail.delete(what)
