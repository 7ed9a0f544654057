"""A farm on one of this machine's other addresses: who may ask it, and how this machine's command line does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from deploy import cli
from deploy.node import local
from deploy.node.loopback import also_on_loopback, check_someone_may_ask
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
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[FarmSettings]:
    """A farm's settings whose host is another address of this machine, with a server that answers in capitals."""
    server = socket.create_server(("127.0.0.2", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line:
                while data := line.recv(1 << 16):
                    line.sendall(data.upper())

    threading.Thread(target=serve, daemon=True).start()
    monkeypatch.setattr("deploy.node.loopback.is_loopback", lambda host: host != "127.0.0.2")
    yield FarmSettings(host="127.0.0.2", port=server.getsockname()[1], api_keys=new_key("alice")[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_this_machine_asks_on_127_0_0_1(elsewhere: FarmSettings) -> None:
    """Every byte arrives, both ways, until one side ends; the door closes with the farm."""
    address = ("127.0.0.1", elsewhere.port)
    with also_on_loopback(elsewhere, f"http://{elsewhere.host}:{elsewhere.port}") as url:
        assert url == f"http://127.0.0.1:{elsewhere.port}"
        sent = b"abc" * 100_000
        for _ in range(2):
            with socket.create_connection(address, timeout=patient(10)) as line:
                threading.Thread(target=lambda line=line: (line.sendall(sent), line.shutdown(socket.SHUT_WR))).start()
                heard = b""
                while data := line.recv(1 << 16):
                    heard += data
            assert heard == sent.upper()


def test_the_port_must_be_free_on_both_addresses(elsewhere: FarmSettings) -> None:
    """Else the command line would reach another program."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = elsewhere.replaced(port=other.getsockname()[1])
        with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:\d+"):
            local.free_port(taken)
    assert local.free_port(elsewhere.replaced(port=0))


def test_a_farm_on_loopback_has_one_door() -> None:
    """Its own URL is the one for the command line."""
    with also_on_loopback(FarmSettings(), "http://127.0.0.1:8000") as url:
        assert url == "http://127.0.0.1:8000"
