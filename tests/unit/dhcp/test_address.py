"""Dotted quads, masks, and which addresses a host may have."""

import pytest

from sevpn.dhcp import address
from sevpn.dhcp.address import DhcpError


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-1", "1.2.3.x", "1.2.3.٣"]
)
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(DhcpError):
        address.parse_ip(text)


def test_masks() -> None:
    assert [address.mask_prefix(address.prefix_mask(n).to_bytes(4, "big")) for n in range(33)] == [
        *range(33)
    ]
    assert address.mask_prefix(bytes((255, 0, 255, 0))) is None
    assert address.network_of("10.1.2.3", 12) == "10.0.0.0"
    assert address.broadcast_of("10.1.2.3", 24) == "10.1.2.255"
    assert address.broadcast_of("10.1.2.3", 31) is None


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255"]
)
def test_addresses_no_host_has(text: str) -> None:
    assert not address.is_host_address(text)


def test_classes() -> None:
    assert [address.classful_prefix(f"{first}.0.0.1") for first in (10, 172, 192)] == [8, 16, 24]
