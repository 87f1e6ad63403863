"""Options 121 and 249 with the examples of RFC 3442."""

import pytest

from sevpn.dhcp.routes import decode_routes, encode_routes

GATEWAY = bytes((192, 168, 1, 1))


@pytest.mark.parametrize(
    ("descriptor", "network", "prefix_len"),
    [  # the table of RFC 3442, "Classless Route Option Format"
        ((0,), "0.0.0.0", 0),
        ((8, 10), "10.0.0.0", 8),
        ((24, 10, 0, 0), "10.0.0.0", 24),
        ((16, 10, 17), "10.17.0.0", 16),
        ((24, 10, 27, 129), "10.27.129.0", 24),
        ((25, 10, 229, 0, 128), "10.229.0.128", 25),
        ((32, 10, 198, 122, 47), "10.198.122.47", 32),
    ],
)
def test_rfc_3442_table(descriptor: tuple[int, ...], network: str, prefix_len: int) -> None:
    value = bytes(descriptor) + GATEWAY
    assert decode_routes(value) == [(network, prefix_len, "192.168.1.1")]
    assert encode_routes([(network, prefix_len, "192.168.1.1")]) == value


def test_host_bits_are_masked_off() -> None:
    # RFC 3442: 129.210.177.132 with mask 255.255.255.128 is the route 129.210.177.128/25.
    value = bytes((25, 129, 210, 177, 132)) + GATEWAY
    assert decode_routes(value) == [("129.210.177.128", 25, "192.168.1.1")]
    assert decode_routes(bytes((12, 172, 31)) + GATEWAY) == [("172.16.0.0", 12, "192.168.1.1")]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        bytes((33, 1, 2, 3, 4, 5)) + GATEWAY,
        bytes((24, 10, 0)),
        bytes((255,)),
        b"\0" + bytes(3),
    ],
)
def test_one_bad_route_drops_the_option(value: bytes) -> None:
    assert decode_routes(value) is None
    if value:
        assert decode_routes(bytes((8, 10)) + GATEWAY + value) is None


def test_first_of_two_gateways_wins_and_impossible_ones_are_dropped() -> None:
    routes = [
        ("10.0.0.0", 8, "192.168.1.1"),
        ("10.0.0.0", 8, "192.168.1.2"),
        ("10.1.0.0", 16, "0.0.0.0"),
        ("10.2.0.0", 16, "127.0.0.1"),
        ("10.3.0.0", 16, "255.255.255.255"),
    ]
    assert decode_routes(encode_routes(routes)) == [routes[0], routes[2]]
