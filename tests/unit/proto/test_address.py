"""Addresses between text and bytes, against the standard library."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from sevpn.proto.address import ipv4_bytes, ipv4_text, ipv6_bytes


@pytest.mark.parametrize("text", ["0.0.0.0", "192.0.2.1", "255.255.255.255"])
def test_ipv4(text: str) -> None:
    assert ipv4_bytes(text) == socket.inet_aton(text)
    assert ipv4_text(ipv4_bytes(text)) == text


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-1", "a.b.c.d"])
def test_no_ipv4(text: str) -> None:
    with pytest.raises(ValueError, match="no IPv4"):
        ipv4_bytes(text)


@pytest.mark.parametrize(
    "text",
    ["::", "::1", "1::", "2001:db8::1", "fe80::1:2:3", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.1",
     "1:2:3:4:5:6:192.0.2.1", "ABCD:ef01::"],
)  # fmt: skip
def test_ipv6(text: str) -> None:
    assert ipv6_bytes(text) == ipaddress.IPv6Address(text).packed
    assert ipv6_bytes(text + "%eth0") == ipv6_bytes(text)


@pytest.mark.parametrize(
    "text",
    ["", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::1.2.3",
     "1:2:3:4:5:6:7::8:9", "1.2.3.4::", "1:2:3:4::5:6:7:8", "+1::", ":1:2:3:4:5:6:7:8"],
)  # fmt: skip
def test_no_ipv6(text: str) -> None:
    with pytest.raises(ValueError, match="no IPv"):
        ipv6_bytes(text)
