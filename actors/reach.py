"""Whether this machine reaches the ports of another machine's Ray."""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

_TRIES = 3
_ANSWER_S = 4.0  #: of each try; a firewall that drops packets answers nothing
_PAUSE_S = 1.0


class Doors(NamedTuple):
    """Ports of another machine: those where a program listens, and those where one may begin to listen any time."""

    address: str
    open: tuple[int, ...]
    later: tuple[int, ...] = ()


def doors_of(address: str, ports: tuple[int, ...], span: str) -> Doors:
    """Return the doors of a node. ports: of its raylet. span: its FARM_PORTS, or "" for any ports."""
    return Doors(address, ports, (int(span.rpartition("-")[2]),) if span else ())


def unreached(doors: Doors) -> str | None:
    """Return the first port that this machine does not reach, and why: "10.0.0.7:20000 (timed out)". It takes seconds.

    None: it reaches them all. A refused connection reaches the machine, but no program.
    """
    for port in (*doors.open, *doors.later):
        for tries in range(_TRIES):
            why = _try(doors.address, port, listens=port in doors.open)
            if why is None:
                break
            time.sleep(_PAUSE_S if tries < _TRIES - 1 else 0.0)
        else:
            return f"{doors.address}:{port} ({why})"
    return None


def _try(address: str, port: int, *, listens: bool) -> str | None:
    try:
        socket.create_connection((address, port), timeout=_ANSWER_S).close()
    except ConnectionRefusedError as err:
        return (err.strerror or str(err)) if listens else None
    except OSError as err:
        return err.strerror or str(err)
    return None


def own_address(towards: str) -> str:
    """Return the address of this machine's network card that leads to `towards` (HOST:PORT). Send nothing.

    Raises: OSError if no card leads there.
    """
    host, _, port = towards.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    family, kind, protocol, _, target = min(found, key=lambda each: each[0] != socket.AF_INET)  # Ray prefers it, too
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(target)
        address: str = probe.getsockname()[0]
        return address
