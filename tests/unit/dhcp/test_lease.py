"""What a reply grants: each value checked, each bad one dropped or the reply refused."""

import pytest

from sevpn.dhcp import message as msg
from sevpn.dhcp.address import DhcpError, parse_ip
from sevpn.dhcp.domains import encode_search
from sevpn.dhcp.lease import Lease, build_lease
from sevpn.dhcp.routes import encode_routes
from sevpn.dhcp.timers import INFINITE_S

MAC = bytes.fromhex("5e0000000001")
NEEDED = {53: b"\x05", 54: parse_ip("10.0.0.1"), 51: (3600).to_bytes(4, "big")}
MASK = {1: parse_ip("255.255.255.0")}


def reply(values: dict[int, bytes], address: str = "10.0.0.9") -> msg.Message:
    message = msg.Message(msg.OP_REPLY, 1, MAC, {**NEEDED, **values})
    message.your = address
    return message


def lease_of(values: dict[int, bytes], address: str = "10.0.0.9") -> Lease:
    return build_lease(reply(values, address), MAC, 100.0)


def test_everything_at_once() -> None:
    lease = lease_of(
        {
            **MASK,
            3: parse_ip("10.0.0.1") + parse_ip("10.0.0.2"),
            6: parse_ip("10.0.0.3"),
            15: b"lan.example",
            26: (1400).to_bytes(2, "big"),
            28: parse_ip("10.0.0.255"),
            58: (600).to_bytes(4, "big"),
            59: (1200).to_bytes(4, "big"),
            119: encode_search(["lan.example", "example"]),
        }
    )
    assert (lease.address, lease.prefix_len, lease.broadcast) == ("10.0.0.9", 24, "10.0.0.255")
    assert (lease.routers, lease.dns) == (["10.0.0.1", "10.0.0.2"], ["10.0.0.3"])
    assert (lease.domain, lease.search) == ("lan.example", ["lan.example", "example"])
    assert lease.mtu_bytes == 1400
    assert (lease.lease_s, lease.t1_s, lease.t2_s) == (3600, 600, 1200)
    assert (lease.server_id, lease.server_mac) == ("10.0.0.1", MAC)
    assert (lease.obtained_at, lease.expires_at()) == (100.0, 3700.0)
    assert (lease.routes, lease.has_classless) == ([], False)
    assert lease.default_gateway() == "10.0.0.1"
    assert lease.ignored == []


def test_the_least_a_server_must_send() -> None:
    lease = lease_of({}, "192.168.7.9")
    assert (lease.prefix_len, lease.broadcast) == (24, "192.168.7.255")  # the class's mask
    assert (lease.t1_s, lease.t2_s) == (1800, 3150)
    assert lease.mtu_bytes is None
    assert lease.default_gateway() is None


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255", "10.0.0.1", "10.0.0.0", "10.0.0.255"],
)
def test_unusable_addresses_are_refused(address: str) -> None:
    with pytest.raises(DhcpError):
        lease_of(MASK, address)


@pytest.mark.parametrize("address", ["10.0.0.8", "10.0.0.9"])
def test_a_subnet_of_two_has_no_edges(address: str) -> None:
    assert lease_of({1: parse_ip("255.255.255.254")}, address).broadcast is None


def test_a_host_mask_is_taken() -> None:
    assert lease_of({1: parse_ip("255.255.255.255")}).prefix_len == 32


@pytest.mark.parametrize(
    "values",
    [
        {51: bytes(4)},
        {51: (9).to_bytes(4, "big")},
        {51: b"\x0e"},
        {54: bytes(4)},
        {54: b""},
        {54: parse_ip("10.0.0.1") * 2},
    ],
)
def test_no_usable_time_or_server_is_refused(values: dict[int, bytes]) -> None:
    with pytest.raises(DhcpError):
        lease_of(values)


@pytest.mark.parametrize(
    "mask", [b"", bytes(4), parse_ip("255.0.255.0"), parse_ip("254.0.0.0"), bytes(8)]
)
def test_a_bad_mask_is_replaced_by_the_class(mask: bytes) -> None:
    lease = lease_of({1: mask}, "192.168.7.9")
    assert (lease.prefix_len, lease.ignored) == (24, [1])


@pytest.mark.parametrize(
    ("sent", "mtu_bytes"),
    [(0, None), (575, None), (576, 576), (1500, 1500), (1501, 1500), (65535, 1500)],
)
def test_mtu_is_bounded(sent: int, mtu_bytes: int | None) -> None:
    assert lease_of({**MASK, 26: sent.to_bytes(2, "big")}).mtu_bytes == mtu_bytes


def test_a_foreign_broadcast_address_is_ignored() -> None:
    lease = lease_of({**MASK, 28: parse_ip("8.8.8.8")})
    assert (lease.broadcast, lease.ignored) == ("10.0.0.255", [28])


def test_malformed_options_are_named_and_absent() -> None:
    bad = {3: b"\x01", 6: b"", 15: b"a\nb", 26: b"\x05", 58: b"x", 59: b"", 119: b"\xc0"}
    lease = lease_of({**MASK, **bad})
    assert sorted(lease.ignored) == sorted(bad)
    assert (lease.routers, lease.dns, lease.domain, lease.search) == ([], [], "", [])


def test_an_infinite_lease() -> None:
    lease = lease_of({51: b"\xff" * 4})
    assert (lease.lease_s, lease.t1_s, lease.expires_at()) == (INFINITE_S, INFINITE_S, None)


DEFAULT = ("0.0.0.0", 0, "10.0.0.2")
NET = ("10.9.0.0", 16, "10.0.0.3")


@pytest.mark.parametrize(
    ("by_121", "by_249", "routes", "gateway"),
    [
        (None, None, [], "10.0.0.1"),
        ([DEFAULT, NET], None, [DEFAULT, NET], "10.0.0.2"),
        ([NET], None, [NET], None),  # RFC 3442: the router option is ignored
        ([NET], [DEFAULT], [NET], None),
        (None, [DEFAULT], [DEFAULT], "10.0.0.2"),
        (None, [NET], [NET], None),
        ([("0.0.0.0", 0, "0.0.0.0")], None, [("0.0.0.0", 0, "0.0.0.0")], "0.0.0.0"),
    ],
)
def test_classless_routes_replace_the_router(
    by_121: list[tuple[str, int, str]] | None,
    by_249: list[tuple[str, int, str]] | None,
    routes: list[tuple[str, int, str]],
    gateway: str | None,
) -> None:
    values = {**MASK, 3: parse_ip("10.0.0.1")}
    if by_121 is not None:
        values[121] = encode_routes(by_121)
    if by_249 is not None:
        values[249] = encode_routes(by_249)
    lease = lease_of(values)
    assert (lease.routes, lease.default_gateway()) == (routes, gateway)
    assert lease.has_classless == bool(by_121 or by_249)


def test_a_malformed_121_leaves_249_and_then_the_router() -> None:
    values = {**MASK, 3: parse_ip("10.0.0.1"), 121: bytes((33,)) + bytes(8)}
    assert lease_of(values).default_gateway() == "10.0.0.1"
    lease = lease_of({**values, 249: encode_routes([NET])})
    assert (lease.routes, lease.ignored) == ([NET], [121])


def test_our_own_address_is_no_router() -> None:
    values = {**MASK, 3: parse_ip("10.0.0.9") + parse_ip("10.0.0.1")}
    assert lease_of(values).routers == ["10.0.0.1"]


def test_a_reply_of_times_alone_keeps_the_network_of_the_earlier_one() -> None:
    earlier = {**NEEDED, **MASK, 3: parse_ip("10.0.0.1"), 51: (7200).to_bytes(4, "big")}
    lease = build_lease(reply({}), MAC, 0.0, earlier)
    assert (lease.prefix_len, lease.routers, lease.lease_s) == (24, ["10.0.0.1"], 3600)
    lease = build_lease(reply({1: parse_ip("255.255.0.0")}), MAC, 0.0, earlier)
    assert (lease.prefix_len, lease.routers) == (16, [])


def test_times_and_server_do_not_change_the_configuration() -> None:
    other = lease_of({**MASK, 51: (60).to_bytes(4, "big"), 54: parse_ip("10.0.0.2")})
    assert lease_of(MASK).is_same_configuration(other)
    assert not lease_of(MASK).is_same_configuration(lease_of({**MASK, 6: parse_ip("10.0.0.1")}))
