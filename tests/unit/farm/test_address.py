"""A farm's address as people type it, and the environment's proxies."""

from __future__ import annotations

import pytest

from farm.client import FarmClient
from farm.errors import ConfigError, Unavailable
from framefarm_client.address import farm_url, proxy_to

NOWHERE = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sets its own."""
    for name in ("http", "https", "all", "no"):
        for spelled in (f"{name}_proxy", f"{name}_proxy".upper()):
            monkeypatch.delenv(spelled, raising=False)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123/"),
        ("http://127.0.0.1:8123/v1", "http://127.0.0.1:8123/"),
        ("http://127.0.0.1:8123/v1/", "http://127.0.0.1:8123/"),
        ("127.0.0.1:8123", "http://127.0.0.1:8123/"),
        ("localhost:8123/v1", "http://localhost:8123/"),
        ("[::1]:8123", "http://[::1]:8123/"),
        (" https://gpu.example/farm/v1 ", "https://gpu.example/farm"),
    ],
)
def test_addresses_may_lack_their_scheme_and_name_v1(typed: str, meant: str) -> None:
    """Both are what people copy from elsewhere."""
    assert str(farm_url(typed)) == meant


@pytest.mark.parametrize("typed", ["", "http://", "ftp://a", "http://a:b", "http://a:99999999", "a b\n"])
def test_no_address_is_said_in_one_line(typed: str) -> None:
    """It names the flag, the variable and what to type."""
    with pytest.raises(ConfigError, match=r"--url \(FARM_URL\) .* write http://HOST:PORT$"):
        farm_url(typed)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9:1"])
@pytest.mark.parametrize("proxy", [f"http://{NOWHERE}", f"socks5://{NOWHERE}"])
def test_this_machine_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, url: str, proxy: str) -> None:
    """The farm and its command line talk over loopback."""
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert proxy_to(farm_url(url)) is None
    FarmClient(url).__exit__()


def test_other_hosts_go_through_the_proxy_and_a_failure_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name comes without the password."""
    monkeypatch.setenv("http_proxy", f"http://ann:secret@{NOWHERE}")
    monkeypatch.setenv("NO_PROXY", "near.example")
    assert proxy_to(farm_url("http://near.example")) is None
    with (
        FarmClient("http://far.example", patience_s=0) as client,
        pytest.raises(Unavailable, match=rf"far\.example through the proxy http://{NOWHERE} \(http_proxy\)") as caught,
    ):
        client.models()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", [f"gopher://{NOWHERE}", "http://a:b"])
def test_a_proxy_that_cannot_be_used_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """It names the variable."""
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(ConfigError, match="all_proxy"):
        FarmClient("http://far.example")


def test_socks_without_its_package_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The httpx package then raises an ImportError."""
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"socks5://{NOWHERE}")
    with pytest.raises(ConfigError, match=r"socks5://127.0.0.1:9 \(all_proxy\) cannot be used: install httpx\[socks\]"):
        FarmClient("http://far.example")
