"""The farm's HTTP port: who may ask there, and which ingress answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy import cli
from deploy.node.http_port import (
    bound_port,
    check_someone_may_ask,
    farm_url,
    handed_port,
    held_port,
    own_url,
    take_connections,
)
from farm.errors import ConfigError
from farm.keys import new_key
from farm.settings import FarmSettings
from tests.patience import patient


@pytest.mark.parametrize("host", ["10.0.0.5", "fd00::5", "no-such-host.invalid"])
def test_a_farm_that_nobody_can_ask_does_not_start(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without keys: exit 2 before anything starts, with the command that makes a key."""
    assert cli.main(["up", "--no-restart", "--host", host, "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert f"FARM_HOST={host}" in said
    assert "framefarm keys new NAME" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.7", "localhost", "0.0.0.0", "::1"])
def test_a_farm_that_this_machine_can_ask_may_start(host: str) -> None:
    """Without keys, too."""
    check_someone_may_ask(FarmSettings(host=host))


def test_keys_let_a_farm_listen_anywhere() -> None:
    """As for others."""
    check_someone_may_ask(FarmSettings(host="10.0.0.5", api_keys=new_key("alice")[1]))


@pytest.fixture
def settings() -> Iterator[FarmSettings]:
    """A farm's settings: any free port of 127.0.0.1. The path of Ray's folder must be short."""
    with tempfile.TemporaryDirectory() as folder:
        yield FarmSettings(port=0, ray_dir=folder)


@pytest.fixture
def elsewhere(settings: FarmSettings, monkeypatch: pytest.MonkeyPatch) -> FarmSettings:
    """The same, for another address of this machine, and with a port that is free on both."""
    monkeypatch.setattr("deploy.node.http_port.is_loopback", lambda host: host != "127.0.0.2")
    settings = settings.replaced(host="127.0.0.2", api_keys=new_key("alice")[1])
    with bound_port(settings) as doors:
        return settings.replaced(port=doors[0].getsockname()[1])


@contextlib.contextmanager
def open_port(settings: FarmSettings) -> Iterator[str]:
    """Hand out the farm's port at the path that this gives."""
    with bound_port(settings) as doors, held_port(doors, Path(settings.ray_dir)) as path:
        yield path


def test_this_machine_asks_on_127_0_0_1(elsewhere: FarmSettings) -> None:
    """The farm's own address leads there, too; both are closed when the farm ends."""
    addresses = [("127.0.0.2", elsewhere.port), ("127.0.0.1", elsewhere.port)]
    with open_port(elsewhere) as path:
        doors = handed_port(path)
        assert [door.getsockname() for door in doors] == addresses
        for door in doors:
            with door, socket.create_connection(door.getsockname(), timeout=patient(10)) as client:
                taken, _ = door.accept()
                with taken:
                    assert taken.getpeername() == client.getsockname()  # a farm without keys looks at this address
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=patient(10))
    assert own_url(elsewhere, f"http://127.0.0.2:{elsewhere.port}") == f"http://127.0.0.1:{elsewhere.port}"


def test_the_port_must_be_free_on_both_addresses(elsewhere: FarmSettings) -> None:
    """Else the command line would reach another program."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = elsewhere.replaced(port=other.getsockname()[1])
        with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:\d+"), bound_port(taken):
            raise AssertionError
    with bound_port(elsewhere) as doors:
        assert [door.getsockname()[1] for door in doors] == [elsewhere.port] * 2


def test_a_farm_that_starts_has_its_port(settings: FarmSettings) -> None:
    """Other programs cannot take it, clients are refused, and of two farms that start at once one gets it."""
    with bound_port(settings) as (door,):
        address = door.getsockname()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=patient(10))
        with (
            bound_port(settings.replaced(port=address[1])) as second,
            held_port([door], Path(settings.ray_dir)),
            pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{address[1]}: Address already in use"),
            held_port(second, Path(settings.ray_dir)),
        ):
            raise AssertionError


def test_a_farm_on_loopback_has_one_door(settings: FarmSettings) -> None:
    """Its own URL is the one for the command line, and one farm has the port."""
    assert own_url(settings, "http://127.0.0.1:8000") == "http://127.0.0.1:8000"
    with open_port(settings) as path:
        (door,) = handed_port(path)
        taken = settings.replaced(port=door.getsockname()[1])
        with door, pytest.raises(ConfigError, match="choose another with --port"), bound_port(taken):
            raise AssertionError


def test_nobody_else_gets_the_port(settings: FarmSettings) -> None:
    """The process that has the listening socket answers the farm's clients."""
    with open_port(settings) as path:
        assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
        with closing(handed_port(path)[0]) as door:
            assert not door.get_inheritable()
    assert not Path(path).parent.exists()
    with pytest.raises(RuntimeError, match="not on the head of FARM_RAY"):
        handed_port(path)


def test_a_connection_waits_for_the_next_ingress(settings: FarmSettings) -> None:
    """While none lives, nobody is refused."""
    with open_port(settings) as path:
        with closing(handed_port(path)[0]) as dead:
            address = dead.getsockname()
        with socket.create_connection(address, timeout=patient(10)) as client:
            client.sendall(b"hello")
            with closing(handed_port(path)[0]) as door:
                taken, _ = door.accept()
                with taken:
                    assert taken.recv(5) == b"hello"


async def test_the_ingress_with_fewer_connections_comes_first(settings: FarmSettings) -> None:
    """Else the one that is quicker by chance would take a whole crowd. Nobody else there, the full one takes them."""
    taken = asyncio.Queue[str]()

    class Told(asyncio.Protocol):
        def __init__(self, name: str) -> None:
            taken.put_nowait(name)

    async def knock(address: tuple[str, int]) -> str:
        _, writer = await asyncio.open_connection(*address)
        name = await asyncio.wait_for(taken.get(), patient(10))
        writer.close()
        await asyncio.sleep(0.05)  # who came too late waits for the next connection again
        return name

    with open_port(settings) as path:
        doors = [handed_port(path)[0] for _ in range(2)]
        address = doors[0].getsockname()
        full = asyncio.create_task(take_connections(doors[0], lambda: Told("full"), held=lambda: 1000, most=2000))
        idle = asyncio.create_task(take_connections(doors[1], lambda: Told("idle"), held=lambda: 0, most=2000))
        assert {await knock(address) for _ in range(5)} == {"idle"}
        idle.cancel()
        await asyncio.wait([idle])
        assert await knock(address) == "full"
        full.cancel()
        await asyncio.wait([full])


async def test_a_crowd_is_taken_in_few_waits(settings: FarmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ingress that is full alone takes several connections after each wait, or a farm could not answer a crowd."""
    taken, waits = asyncio.Queue[None](), []
    sleep = asyncio.sleep

    class Told(asyncio.Protocol):
        def __init__(self) -> None:
            taken.put_nowait(None)

    async def waited(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    with open_port(settings) as path:
        (door,) = handed_port(path)
        clients = [socket.create_connection(door.getsockname(), timeout=patient(10)) for _ in range(32)]
        monkeypatch.setattr(asyncio, "sleep", waited)
        taking = asyncio.create_task(take_connections(door, Told, held=lambda: 2000, most=2000))
        for _ in clients:
            await asyncio.wait_for(taken.get(), patient(10))
        taking.cancel()
        await asyncio.wait([taking])
        for client in clients:
            client.close()
    assert waits[:4] == [0.25] * 4
    assert len(waits) <= 6


def test_the_farm_may_listen_on_ipv6(settings: FarmSettings) -> None:
    """Its URL has the address in brackets."""
    with open_port(settings.replaced(host="::1")) as path, closing(handed_port(path)[0]) as door:
        port = door.getsockname()[1]
        socket.create_connection(("::1", port), timeout=patient(10)).close()
        assert farm_url(settings.replaced(host="::1", port=port)) == f"http://[::1]:{port}"


def test_what_a_killed_farm_left_is_removed(settings: FarmSettings) -> None:
    """Its folder, but not that of a farm that lives."""
    dead, living = (Path(settings.ray_dir) / f"http-{number}" for number in (2**22 + 1, os.getppid()))
    for folder in (dead, living):
        folder.mkdir()
    with open_port(settings):
        assert not dead.exists()
        assert living.exists()
