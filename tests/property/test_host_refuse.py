"""Which pushed routes are refused: random sets against a slow, obvious oracle."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from sevpn.host import ipv4, refuse

# Few distinct high bits, so that prefixes meet each other, the servers and the networks.
BASES = [0x0A000000, 0xC0A80100, 0x7F000000, 0xA9FE0000, 0xE0000000, 0xF0000000, 0, 0xCB007100]


@st.composite
def numbers(draw: st.DrawFn) -> int:
    base = draw(st.sampled_from(BASES))
    bits = draw(st.sampled_from([0, 2, 8, 16, 24, 32]))
    return base ^ draw(st.integers(0, 2**bits - 1))


ADDRESSES = numbers().map(ipv4.to_text)
PREFIXES = st.tuples(ADDRESSES, st.integers(0, 32))
ROUTES = st.tuples(ADDRESSES, st.integers(0, 32), ADDRESSES)
NETWORKS = PREFIXES.map(lambda p: (ipv4.network(p[0], p[1]), p[1]))
SPECIAL = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"]


def is_dangerous(
    route: tuple[str, int, str], servers: list[str], own: list[tuple[str, int]]
) -> bool:
    """Compare by the standard library, one rule after the other."""
    target = ipaddress.IPv4Network((route[0], route[1]), strict=False)
    if target.prefixlen == 0:
        return False
    guarded = [ipaddress.IPv4Network(text) for text in SPECIAL]
    guarded += [ipaddress.IPv4Network((server, 32)) for server in servers]
    guarded += [ipaddress.IPv4Network(one) for one in own if one[1]]
    return any(target.subnet_of(one) for one in guarded)


@given(st.lists(ROUTES), st.lists(ADDRESSES, max_size=3), st.lists(NETWORKS, max_size=4))
def test_the_oracle_agrees(
    routes: list[tuple[str, int, str]], servers: list[str], own: list[tuple[str, int]]
) -> None:
    accepted, refused = refuse.filter_routes(routes, [*servers, "2001:db8::1"], own)
    assert [route for route, _ in refused] == [r for r in routes if is_dangerous(r, servers, own)]
    wanted: dict[tuple[str, int], str] = {}
    for network, prefix_len, gateway in routes:
        if not is_dangerous((network, prefix_len, gateway), servers, own):
            target = ipaddress.IPv4Network((network, prefix_len), strict=False)
            wanted.setdefault((str(target.network_address), prefix_len), gateway)
    assert accepted == [(*prefix, gateway) for prefix, gateway in wanted.items()]
    assert all(reason for _, reason in refused)


@given(st.lists(ROUTES), ADDRESSES)
def test_nothing_accepted_beats_the_host_route(
    routes: list[tuple[str, int, str]], server: str
) -> None:
    accepted, _ = refuse.filter_routes(routes, [server], [])
    for network, prefix_len, _ in accepted:
        assert prefix_len < 32 or network != server


@given(st.text(), st.integers(), st.text())
def test_nonsense_is_refused_with_a_reason(network: str, prefix_len: int, gateway: str) -> None:
    accepted, refused = refuse.filter_routes([(network, prefix_len, gateway)], [], [])
    assert len(accepted) + len(refused) == 1


@given(st.text(max_size=20))
def test_addresses_are_read_as_the_library_does(text: str) -> None:
    try:
        expected: int | None = int(ipaddress.IPv4Address(text))
    except ValueError:
        expected = None
    try:
        found: int | None = ipv4.to_int(text)
    except ValueError:
        found = None
    assert found == expected


@given(st.integers(0, 2**32 - 1))
def test_numbers_and_text(number: int) -> None:
    assert ipv4.to_int(ipv4.to_text(number)) == number
    assert ipv4.to_text(number) == str(ipaddress.IPv4Address(number))
