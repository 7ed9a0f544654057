"""Whether one machine reaches another: real sockets, on this machine's own addresses."""

from __future__ import annotations

import socket

import pytest

from actors import reach
from actors.reach import own_address, ports_of, unreached


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries."""
    monkeypatch.setattr(reach, "_PAUSE_S", 0.0)


def test_open_ports_are_reached() -> None:
    """And a port of the range that nobody listens on yet counts as reached: the machine itself refuses."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as later:
        later.bind(("127.0.0.1", 0))  # taken, but nobody listens
        span = f"{later.getsockname()[1] - 5}-{later.getsockname()[1]}"
        assert unreached(ports_of("127.0.0.1", (listener.getsockname()[1],), span)) is None


def test_a_program_that_does_not_answer_is_named() -> None:
    """By its address and port, with the reason."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert unreached(ports_of("127.0.0.1", (port,), "")) == f"127.0.0.1:{port} (Connection refused)"


def test_the_address_is_that_of_the_card_that_leads_there() -> None:
    """On loopback it is loopback, by name too."""
    assert own_address("127.0.0.1:6379") == own_address("localhost:6379") == "127.0.0.1"
    with pytest.raises(OSError, match=r".+"):
        own_address("no-such-host.invalid:6379")
