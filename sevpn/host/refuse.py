"""Which pushed routes are refused, and why.

Layer 2, pure and lean. A DHCP server behind the tunnel (anybody who can send frames
there) may push any route by options 121 and 249. A longer prefix wins in the kernel, so
a route captures traffic only where it is at least as specific as what the host has
already. Such routes are refused when they aim at the VPN server itself, at addresses
that never leave a host or a link, or at the networks the host is directly connected to.
A *shorter* prefix that contains one of these captures nothing of it and is accepted.
"""

from __future__ import annotations

from sevpn.host import ipv4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Route = tuple[str, int, str]  # network, prefix_len, gateway ("0.0.0.0" = on-link)
    Network = tuple[str, int]

# RFC 6890. 240/4 is with them because nothing but the limited broadcast lives there.
_RESERVED = (
    ("0.0.0.0", 8, "this network"),
    ("127.0.0.0", 8, "loopback"),
    ("169.254.0.0", 16, "link-local"),
    ("224.0.0.0", 4, "multicast"),
    ("240.0.0.0", 4, "reserved addresses"),
)


def reason_against(route: Route, server_ips: Iterable[str], own: Iterable[Network]) -> str | None:
    """Return why `route` is refused, or None when it is acceptable.

    `server_ips` may hold IPv6 addresses: no IPv4 route can capture those.
    """
    destination, prefix_len, gateway = route
    try:
        ipv4.to_int(destination)
        ipv4.to_int(gateway)
        ipv4.mask(prefix_len)
    except ValueError as error:
        return str(error)
    if prefix_len == 0:
        return None  # the default route: -accept-default-gateway decides
    for block, block_len, name in _RESERVED:
        if ipv4.is_within(destination, prefix_len, block, block_len):
            return f"it would capture {name}"
    for server in server_ips:
        if ":" not in server and ipv4.is_within(destination, prefix_len, server, 32):
            return f"it would capture the VPN server {server}"
    for block, block_len in own:
        if block_len > 0 and ipv4.is_within(destination, prefix_len, block, block_len):
            return f"it would capture the network {block}/{block_len} this host is connected to"
    return None


def filter_routes(
    routes: Iterable[Route], server_ips: Iterable[str], own_networks: Iterable[Network]
) -> tuple[list[Route], list[tuple[Route, str]]]:
    """Split `routes` into the acceptable ones and the refused ones with the reason.

    Accepted routes have their host bits cleared (the kernel refuses them otherwise) and
    come without repetitions, in the order given; of two with the same prefix the first
    wins. `own_networks` are those of the host's other interfaces, not the TAP's.
    """
    servers = list(server_ips)
    own = list(own_networks)
    accepted: list[Route] = []
    refused: list[tuple[Route, str]] = []
    seen: set[Network] = set()
    for route in routes:
        reason = reason_against(route, servers, own)
        if reason is not None:
            refused.append((route, reason))
            continue
        prefix = (ipv4.network(route[0], route[1]), route[1])
        if prefix not in seen:
            seen.add(prefix)
            accepted.append((prefix[0], prefix[1], route[2]))
    return accepted, refused
