"""Messages as the kernel's headers define them, and answers that are cut or wrong."""

from __future__ import annotations

import errno
import struct

import pytest

from sevpn.host import codec, netlink

pytestmark = pytest.mark.no_sanitizer

HEADER = struct.Struct("=IHHII")


def test_a_route_to_the_byte() -> None:
    route = codec.Route("10.2.0.0", 16, "10.1.0.1", 7, 50, 254)
    data = codec.encode_route(codec.RTM_NEWROUTE, 0x600, route)
    assert HEADER.unpack_from(data) == (len(data), 24, 0x601, 0, 0)
    # rtmsg: family, lengths, tos, table, protocol, scope, type, flags
    assert data[16:28] == bytes([2, 16, 0, 0, 254, 83, 0, 1, 0, 0, 0, 0])
    attributes = {
        1: bytes([10, 2, 0, 0]),
        5: bytes([10, 1, 0, 1]),
        4: struct.pack("=I", 7),
        6: struct.pack("=I", 50),
        15: struct.pack("=I", 254),
    }
    expected = b"".join(struct.pack("=HH", 8, kind) + value for kind, value in attributes.items())
    assert data[28:] == expected


@pytest.mark.parametrize(
    ("network", "gateway", "table"),
    [
        ("10.2.0.0", "10.1.0.1", 254),
        ("10.2.0.0", None, 70_000),
        ("2001:db8::", "fe80::1", 254),
        ("10.2.0.0", "fe80::1", 254),
    ],
)
def test_routes_survive_the_round_trip(network: str, gateway: str | None, table: int) -> None:
    route = codec.Route(network, 24, gateway, 3, 9, table)
    back = codec.decode_route(codec.encode_route(codec.RTM_NEWROUTE, 0, route))
    for name in ("family", "network", "prefix_len", "gateway", "ifindex", "metric", "table"):
        assert getattr(back, name) == getattr(route, name), name
    assert back.protocol == codec.PROTOCOL_OURS


def test_addresses_rules_and_links_survive_the_round_trip() -> None:
    address = codec.decode_address(
        codec.encode_address(20, 0, codec.Address(4, "10.0.0.5", 24, "10.0.0.255"))
    )
    assert (address.ifindex, address.local, address.prefix_len) == (4, "10.0.0.5", 24)
    assert (address.broadcast, address.peer) == ("10.0.0.255", "10.0.0.5")
    rule = codec.decode_rule(codec.encode_rule(32, 0, codec.Rule("10.0.0.5", 70_000)))
    assert (rule.source, rule.prefix_len, rule.table, rule.protocol) == ("10.0.0.5", 32, 70_000, 83)
    link = codec.decode_link(codec.encode_link(codec.Link(4, "02:00:00:00:00:01", 1400, True)))
    assert (link.ifindex, link.mac, link.mtu_bytes, link.is_up) == (
        4,
        "02:00:00:00:00:01",
        1400,
        True,
    )


def test_prefixes_of_both_families() -> None:
    assert codec.is_in_prefix("10.2.3.4", codec.Route("10.2.0.0", 16, None, 1))
    assert not codec.is_in_prefix("10.3.3.4", codec.Route("10.2.0.0", 16, None, 1))
    assert codec.is_in_prefix("2001:db8::1", codec.Route("::", 0, None, 1))
    assert not codec.is_in_prefix("2001:db8::1", codec.Route("2001:db9::", 32, None, 1))


def error_message(code: int, flags: int = 0, attributes: bytes = b"") -> bytes:
    body = struct.pack("=i", code) + HEADER.pack(16, 24, 0, 1, 0) + attributes
    return HEADER.pack(16 + len(body), 2, flags, 1, 0) + body


def test_the_kernels_own_sentence_is_kept() -> None:
    text = b"Nexthop has invalid gateway\0"
    attribute = struct.pack("=HH", 4 + len(text), 1) + text
    with pytest.raises(OSError, match=r"unreachable: Nexthop has invalid gateway$") as caught:
        netlink._raise_error(error_message(-101, 0x200, attribute), 0x200)
    assert caught.value.errno == errno.ENETUNREACH


def test_an_acknowledgement_is_no_error() -> None:
    netlink._raise_error(error_message(0), 0)


@pytest.mark.parametrize("size", [17, 19])
def test_cut_answers_are_errors(size: int) -> None:
    with pytest.raises(OSError, match="too early"):
        netlink._raise_error(error_message(-1)[:size], 0)
    with pytest.raises(OSError, match="too early"):
        netlink._parts(error_message(-1)[:size])


def test_an_attribute_without_length_ends_the_search() -> None:
    with pytest.raises(PermissionError):
        netlink._raise_error(error_message(-1, 0x200, b"\0\0\1\0"), 0x200)
