"""Log, count and answer the clouds' notices. The draining itself is elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Collection

from actors.cluster import FarmNode
from actors.notices.mail import answer_left, forget_notice, is_new_notice
from actors.notices.notice import CloudNotice
from farm.metrics import Meter

log = logging.getLogger(__name__)


class NoticeBoard:
    """The notices of the living machines."""

    def __init__(self, meter: Meter) -> None:
        """Know of none."""
        self._meter = meter
        self._standing = dict[str, CloudNotice]()  # by Ray's id of the machine
        self._left = set[str]()  # machines that were told that no worker of theirs is left

    def look(self, nodes: Collection[FarmNode], busy: Collection[str]) -> None:
        """Take the living machines as they are now, and the ids of those that have workers. Call it often."""
        for node in nodes:
            if node.notice is None:
                self._end(node)
                continue
            if node.notice != self._standing.get(node.id):
                self._begin(node, node.notice)
            if node.id not in busy and node.id not in self._left:
                answer_left(node.id, node.notice)
                self._left.add(node.id)
        for gone in self._standing.keys() - {node.id for node in nodes}:
            self._forget(gone, is_dead=True)

    def _begin(self, node: FarmNode, notice: CloudNotice) -> None:
        self._standing[node.id] = notice
        self._left.discard(node.id)
        if is_new_notice(node.id, notice):  # else an earlier dispatcher counted it
            where = {"cloud": notice.cloud, "kind": notice.kind, "deadline": notice.deadline, "node": node.name}
            log.warning("notice", extra=where)
            self._meter.add("framefarm_notices", cloud=notice.cloud, kind=notice.kind)

    def _end(self, node: FarmNode) -> None:
        if notice := self._standing.get(node.id):
            where = {"cloud": notice.cloud, "kind": notice.kind, "node": node.name}
            log.info("notice_taken_back", extra=where)
            self._forget(node.id, is_dead=False)

    def _forget(self, node_id: str, *, is_dead: bool) -> None:
        del self._standing[node_id]
        self._left.discard(node_id)
        forget_notice(node_id, is_dead=is_dead)
