"""The farm's HTTP port: `framefarm up` holds it, and hands it to each ingress that starts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from typing_extensions import override

from farm.errors import ConfigError
from farm.settings import FarmSettings
from framefarm_client.address import is_loopback

log = logging.getLogger(__name__)
_LOOPBACK = "127.0.0.1"
_ALL = {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound
_WAITING = 2048  #: connections that no ingress has taken yet
_HAND_S = 60.0  #: for `up` to hand over its sockets, on a busy machine
_PER_MS, _MOST_MS = 8, 16  #: an ingress waits a millisecond for every 8 connections that it has, and at most 16
_FULL_MS = 250  #: an ingress that has as many as it may waits so long
_AT_ONCE = 8  #: connections that an ingress takes after one wait
_PAUSE_S = 0.1  #: after a connection that cannot be taken
#: on every connection, so that a client that vanished (a laptop that sleeps) does not keep one for ever
_WATCHED = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 120_000}


def listens_elsewhere(settings: FarmSettings) -> bool:
    """Tell whether the farm listens on an address that is not this machine's own."""
    if settings.host in _ALL or is_loopback(settings.host):
        return False
    try:
        found = socket.getaddrinfo(settings.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # the port's check says what is wrong with it
    return not all(is_loopback(str(address[0])) for *_, address in found)


def check_someone_may_ask(settings: FarmSettings) -> None:
    """Raises: ConfigError if the farm would reject everyone: it has no API keys, and this machine cannot reach it."""
    if listens_elsewhere(settings) and not settings.api_keys:
        raise ConfigError(
            f"FARM_HOST={settings.host}: without API keys a farm answers only 127.0.0.1, so nobody could use this one;"
            " make a key with `framefarm keys new NAME` and put its second line into FARM_API_KEYS, or leave out --host"
        )


def farm_url(settings: FarmSettings) -> str:
    """Return the farm's URL at the address that it listens on."""
    return (
        f"http://[{settings.host}]:{settings.port}"
        if ":" in settings.host
        else f"http://{settings.host}:{settings.port}"
    )


def own_url(settings: FarmSettings, url: str) -> str:
    """Return the URL for this machine's command line: `url`, or the same port of 127.0.0.1."""
    return f"http://{_LOOPBACK}:{url.rpartition(':')[2]}" if listens_elsewhere(settings) else url


@contextlib.contextmanager
def bound_port(settings: FarmSettings, *, wait_s: float = 0.0) -> Iterator[list[socket.socket]]:
    """Have the port, on FARM_HOST and on 127.0.0.1 for this machine's command line; connections are still refused.

    wait_s: for the ingresses of the farm before to let go of it. Raises: ConfigError.
    """
    port, until = settings.port, time.monotonic() + wait_s
    with contextlib.ExitStack() as bound:
        doors = list[socket.socket]()
        for host in (settings.host, _LOOPBACK) if listens_elsewhere(settings) else (settings.host,):
            doors.append(bound.enter_context(_door(host, port, until)))
            port = int(doors[0].getsockname()[1])
        yield doors


def _door(host: str, port: int, until: float) -> socket.socket:
    """Return a socket bound to that address, tried until then. Its options hold for each of its connections."""
    while True:
        with contextlib.ExitStack() as made:
            try:
                found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
                family = min(found, key=lambda each: each[0] != socket.AF_INET)[0]
                door = made.enter_context(socket.socket(family))
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                door.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name, value in _WATCHED.items():
                    if hasattr(socket, name):  # not every system has each of them
                        door.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
                door.bind((host, port))
            except OSError as err:
                if time.monotonic() >= until:
                    raise _refused(host, port, err) from err
            else:
                made.pop_all()
                return door
        time.sleep(0.1)


def _refused(host: str, port: int, err: OSError) -> ConfigError:
    return ConfigError(f"cannot listen on {host}:{port}: {err.strerror}; choose another with --port")


@contextlib.contextmanager
def held_port(doors: Sequence[socket.socket], folder: Path) -> Iterator[str]:
    """Listen for the ingresses; give the path of a Unix socket, in `folder`, that hands each of them the sockets.

    The kernel keeps connections until an ingress takes them. While one ingress is dead, frozen or busy, the others
    take them all; while all are dead, they wait for the next one. Only this user can open the Unix socket.
    Raises: ConfigError.
    """
    for door in doors:
        try:
            door.listen(_WAITING)
        except OSError as err:  # another farm started at the same time, and was quicker
            host, port = door.getsockname()[:2]
            raise _refused(host, port, err) from err

    class Hand(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # it died while it asked
                socket.send_fds(self.request, [b"."], [door.fileno() for door in doors])

    with contextlib.ExitStack() as held:
        for door in doors:  # closed here: a client that comes while the ingresses end is refused, and waits for nobody
            held.enter_context(door)
        path = f"{held.enter_context(_own_folder(folder))}/port"
        server = held.enter_context(socketserver.UnixStreamServer(path, Hand))
        threading.Thread(target=server.serve_forever, name="http-port", daemon=True).start()
        held.callback(server.shutdown)
        yield path


@contextlib.contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """Give a folder that only this user can open; remove those of processes that were killed."""
    for old in parent.glob("http-*"):
        number = old.name.removeprefix("http-")
        if number == str(os.getpid()) or not _lives(number):
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / f"http-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lives(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def handed_port(path: str) -> list[socket.socket]:
    """Return the listening sockets that `held_port` hands out at `path`. Raises: RuntimeError if it does not."""
    with socket.socket(socket.AF_UNIX) as hand:
        hand.settimeout(_HAND_S)
        try:
            hand.connect(path)
            _, numbers, *_ = socket.recv_fds(hand, 1, 2)
            if not numbers:
                raise ConnectionError  # it ended while it was asked
        except OSError as err:
            msg = f"`framefarm up` does not hand out its port at {path}: it ended, or is not on the head of FARM_RAY"
            raise RuntimeError(msg) from err
    for number in numbers:
        os.set_inheritable(number, False)
    return [socket.socket(fileno=number) for number in numbers]


async def take_connections(
    door: socket.socket, protocol: Callable[[], asyncio.Protocol], *, held: Callable[[], int], most: int
) -> None:
    """Take connections for ever. An ingress that holds more of them waits longer, so that the others come first.

    protocol: makes what handles a connection. held: how many this process has. most: how many it should have.
    """
    loop, is_well = asyncio.get_running_loop(), True
    with door:
        door.setblocking(False)
        while True:
            await _readable(door)
            pause_ms = min(held() // _PER_MS, _MOST_MS) if held() < most else _FULL_MS
            await asyncio.sleep(pause_ms / 1000)
            try:
                for _ in range(_AT_ONCE):
                    connection, _ = door.accept()
                    connection.setblocking(False)
                    await loop.connect_accepted_socket(protocol, connection)
                is_well = True
            except BlockingIOError:  # no more wait, or another ingress took them
                continue
            except OSError as err:  # the client is gone, or this process has as many files open as it may
                if is_well:
                    log.warning("connection_failed: %s", err)
                is_well = False
                await asyncio.sleep(_PAUSE_S)


async def _readable(door: socket.socket) -> None:
    loop, is_readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(door, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(door)
