"""Whether this machine reaches the ports of another machine's Ray."""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

_TRIES = 3
_ANSWER_S = 4.0  #: of each try; a firewall that drops packets answers nothing
_PAUSE_S = 1.0


class Ports(NamedTuple):
    """Ports of another machine: those where a program listens, and those where one may begin to listen any time."""

    address: str
    open: tuple[int, ...]
    later: tuple[int, ...] = ()


def ports_of(address: str, ports: tuple[int, ...], span: str) -> Ports:
    """Return the ports of a node that are tried. ports: of its raylet. span: its FARM_PORTS, or "" for any ports."""
    return Ports(address, ports, (int(span.rpartition("-")[2]),) if span else ())


def unreached(ports: Ports) -> str | None:
    """Return the first port that this machine does not reach, and why: "10.0.0.7:20000 (timed out)". It takes seconds.

    None: it reaches them all. Where a program listens, a refused connection counts as unreached. Where none may listen
    yet, it counts as reached: the machine refuses it so, but a firewall that rejects with a TCP reset looks the same.
    """
    for port in (*ports.open, *ports.later):
        for tries in range(_TRIES):
            why = _try(ports.address, port, listens=port in ports.open)
            if why is None:
                break
            time.sleep(_PAUSE_S if tries < _TRIES - 1 else 0.0)
        else:
            return f"{ports.address}:{port} ({why})"
    return None


def _try(address: str, port: int, *, listens: bool) -> str | None:
    try:
        socket.create_connection((address, port), timeout=_ANSWER_S).close()
    except ConnectionRefusedError as err:
        return (err.strerror or str(err)) if listens else None
    except OSError as err:
        return err.strerror or str(err)
    return None


def address_of(host: str) -> str:
    """Return the address of a host's name, IPv4 before IPv6 as Ray prefers it; an address stays as it is.

    Raises: OSError if nobody knows the name.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])


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
