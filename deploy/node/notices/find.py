"""Finds out in which cloud this machine is."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

import httpx

from deploy.node.notices.aws import Aws
from deploy.node.notices.azure import Azure
from deploy.node.notices.gcp import Gcp
from deploy.node.notices.metadata import ADDRESS, GCP_ADDRESS, Cloud, Metadata, Unanswered

log = logging.getLogger(__name__)
_CONNECT_S = 1.0
_AGAIN_S, _TRIES = 5.0, 12  #: where a service answers that cannot say now which one it is


def find_cloud(name: str, *, base: str = "", pause: Callable[[float], object] = time.sleep) -> Cloud | None:
    """Return the cloud of that FARM_CLOUD. For auto, find out, and ask nothing where nobody listens.

    base: the service's address; "": the clouds' own.
    """
    if name == "none":
        return None
    base = base or (GCP_ADDRESS if name == "gcp" else ADDRESS)
    if name != "auto":
        service = Metadata(base)
        return next(cloud for cloud in _clouds(service) if cloud.name == name)
    if not _listens(base):
        log.debug("no_cloud: there is no metadata service")
        return None
    service = Metadata(base)
    found = _asked(_clouds(service), pause)
    if found is None:
        service.close()
        log.debug("no_cloud: the metadata service is of no cloud that the farm knows")
    else:
        log.info("cloud_found", extra={"cloud": found.name})
    return found


def _clouds(service: Metadata) -> tuple[Cloud, ...]:
    return Aws(service), Gcp(service), Azure(service)


def _asked(clouds: tuple[Cloud, ...], pause: Callable[[float], object]) -> Cloud | None:
    """Return the cloud that knows its own questions; ask again while the service fails."""
    for left in reversed(range(_TRIES)):
        is_sure = True
        for cloud in clouds:
            try:
                if cloud.is_here():
                    return cloud
            except Unanswered:
                is_sure = False
        if is_sure:
            break
        if left:
            pause(_AGAIN_S)
    return None


def _listens(base: str) -> bool:
    url = httpx.URL(base)
    try:
        socket.create_connection((url.host, url.port or 80), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True
