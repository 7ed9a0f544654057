"""The line about this process in `systemctl status`, if systemd started it as a service of Type=notify."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Literal

SOCKET = "NOTIFY_SOCKET"  #: the variable in which systemd names its socket, for the process that it started


def tell_systemd(status: str, *states: Literal["READY=1", "STOPPING=1"]) -> None:
    """Send a line for people, and what the service has reached. The line stays when the process has ended."""
    if not (place := os.environ.get(SOCKET)):
        return
    words = "\n".join([f"STATUS={' '.join(status.split())}", *states])
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.settimeout(1.0)  # it may not be there any more
        door.sendto(words.encode(), f"\0{place[1:]}" if place.startswith("@") else place)
