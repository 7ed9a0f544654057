"""The addresses that a webhook may go to, tested over the whole address space."""

from __future__ import annotations

import base64
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.errors import ConfigError
from farm.receiver import check_secret, checked_url, is_public
from farm.settings import FarmSettings
from tests.hook_receiver import SECRET

#: the registries of special addresses, and multicast: https://www.iana.org/assignments/iana-ipv4-special-registry
#: and iana-ipv6-special-registry; those whose last column says that they are reachable from everywhere left out
NOT_PUBLIC_4 = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/29"),
    *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32"),
]
NOT_PUBLIC_6 = [
    *("::1/128", "::/128", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:2::/48", "2001:db8::/32", "3fff::/20"),
    *("5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]


def within(network: IPv4Network | IPv6Network) -> st.SearchStrategy[str]:
    """Draw addresses of a block, its ends more often than others."""
    first, last = int(network[0]), int(network[-1])
    kind = type(network[0])
    return st.one_of(st.sampled_from([first, last]), st.integers(first, last)).map(lambda number: str(kind(number)))


INSIDE = st.sampled_from([*NOT_PUBLIC_4, *NOT_PUBLIC_6]).flatmap(lambda block: within(ip_network(block)))
WRAPPINGS = ("::ffff:0:0/96", "64:ff9b::/96")


@given(INSIDE)
@example("169.254.169.254")
def test_no_special_address_is_public(address: str) -> None:
    """No loopback, private, link-local, multicast, documentation or reserved address is public."""
    assert not is_public(address)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv4_address_in_an_ipv6_one_is_what_it_is(inner: IPv4Address) -> None:
    """No wrapping (mapped, NAT64, 6to4) makes a private address public."""
    for block in WRAPPINGS:
        wrapped = IPv6Address(int(IPv6Address(block.partition("/")[0])) + int(inner))
        assert is_public(str(wrapped)) == is_public(str(inner))
    sixtofour = IPv6Address((0x2002 << 112) + (int(inner) << 80))
    assert is_public(str(sixtofour)) == is_public(str(inner))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_every_other_ipv4_address_is_public(address: IPv4Address) -> None:
    """The farm accepts every other address."""
    special = any(address in ip_network(block) for block in (*NOT_PUBLIC_4, "192.0.0.0/24"))
    assert is_public(str(address)) != special


@pytest.mark.parametrize("address", ["2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "2400:cb00::1"])
def test_the_internets_ipv6_addresses_are_public(address: str) -> None:
    """Addresses of well-known services are public."""
    assert is_public(address)


@given(INSIDE)
def test_a_url_with_such_an_address_is_refused_at_once(address: str) -> None:
    """The farm refuses a private address in any notation, unless the setting allows it."""
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ValueError, match="private network"):
        checked_url(f"https://{host}/x", allow_private=False)
    assert checked_url(f"https://{host}/x", allow_private=True).path == "/x"
    if ":" not in address:
        with pytest.raises(ValueError, match="private network"):
            checked_url(f"https://{int(IPv4Address(address))}/x", allow_private=False)


@given(st.text(max_size=80), st.sampled_from(["", "http://", "https://", "https://a.example"]))
def test_any_text_is_a_url_or_a_value_error(text: str, head: str) -> None:
    """Any text is a URL or a ValueError, whose message does not quote it."""
    try:
        url = checked_url(head + text, allow_private=False)
    except ValueError as err:
        assert len(text) < 12 or text not in str(err)  # noqa: PT017 - either way is right
    else:
        assert url.scheme in {"http", "https"}
        assert url.host


@given(st.binary(min_size=1, max_size=80))
def test_a_secret_is_whsec_and_24_to_64_bytes(key: bytes) -> None:
    """The farm accepts the secrets that Standard Webhooks specifies, and no others."""
    text = f"whsec_{base64.b64encode(key).decode()}"
    if 24 <= len(key) <= 64:
        assert check_secret(text) == text
    else:
        with pytest.raises(ValueError, match="24 to 64"):
            check_secret(text)


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"FARM_WEBHOOK_URL": "https://example.org/x"}, "FARM_WEBHOOK_SECRET"),
        ({"FARM_WEBHOOK_URL": "http://127.0.0.1/x", "FARM_WEBHOOK_SECRET": SECRET}, "FARM_WEBHOOK_ALLOW_PRIVATE"),
        ({"FARM_WEBHOOK_SECRET": "secret"}, "whsec_"),
        ({"FARM_WEBHOOK_ALLOW_PRIVATE": "maybe"}, "need 1 or 0"),
    ],
)
def test_impossible_settings_are_named(env: dict[str, str], text: str) -> None:
    """The farm reports impossible settings when it starts."""
    with pytest.raises(ConfigError, match=text):
        FarmSettings.from_env(env)


def test_settings_survive_their_way_into_another_process() -> None:
    """The settings that `render` passes to its own farm arrive unchanged."""
    env = {"FARM_WEBHOOK_URL": "http://[::1]:9000/x", "FARM_WEBHOOK_SECRET": SECRET, "FARM_WEBHOOK_ALLOW_PRIVATE": "1"}
    settings = FarmSettings.from_env(env)
    assert settings.webhook_allow_private is True
    assert FarmSettings.from_env(settings.to_env()) == settings
