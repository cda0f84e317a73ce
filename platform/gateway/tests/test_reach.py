from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reach import reachable


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111"])
def test_the_public_internet_is_reachable(text: str) -> None:
    assert reachable(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "168.63.129.16", "100.100.100.200",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:1.1.1.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_nothing_else_is(text: str) -> None:
    assert not reachable(ip_address(text))


def test_what_the_operator_allows_is_reachable_and_nothing_beside_it() -> None:
    allowed = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert reachable(ip_address("10.1.2.3"), allowed)
    assert reachable(ip_address("fd00::1"), allowed)
    assert not reachable(ip_address("192.168.1.1"), allowed)
    assert not reachable(ip_address("::ffff:10.1.2.3"), allowed)


@pytest.mark.parametrize("text", ["169.254.169.254", "168.63.129.16", "fd00:ec2::254"])
def test_a_cloud_s_metadata_is_not_even_with_everything_allowed(text: str) -> None:
    assert not reachable(ip_address(text), (ip_network("0.0.0.0/0"), ip_network("::/0")))


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_reachable(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_link_local:
        assert not reachable(address)
