"""Classless static routes: option 121 (RFC 3442), and 249, Microsoft's number for it.

Layer 1, pure. Only the shape is judged here; which routes may be set is for `host.plan`.

    route = prefix length 1, the network's significant bytes 0..4, gateway 4
"""

from sevpn.dhcp.address import (
    UNSPECIFIED,
    format_ip,
    is_host_address,
    network_of,
    parse_ip,
)

Route = tuple[str, int, str]  # network, prefix length, gateway ("0.0.0.0" = on-link)


def decode_routes(value: bytes) -> list[Route] | None:
    """Return the routes in the server's order, None when the option is malformed.

    Host bits are masked off (RFC 3442 asks for it). The first of several gateways for one
    network wins. A gateway no host can have drops its route. A prefix length above 32 or
    a cut-off route drops the whole option: what follows cannot be told from noise.
    """
    routes: list[Route] = []
    seen: set[tuple[str, int]] = set()
    at = 0
    while at < len(value):
        prefix_len = value[at]
        significant = (prefix_len + 7) // 8
        end = at + 1 + significant + 4
        if prefix_len > 32 or end > len(value):
            return None
        padded = value[at + 1 : at + 1 + significant] + bytes(4 - significant)
        network = network_of(format_ip(padded), prefix_len)
        gateway = format_ip(value[end - 4 : end])
        at = end
        usable = gateway == UNSPECIFIED or is_host_address(gateway)
        if usable and (network, prefix_len) not in seen:
            seen.add((network, prefix_len))
            routes.append((network, prefix_len, gateway))
    return routes if value else None


def encode_routes(routes: list[Route]) -> bytes:
    """Return an option value. Raises: DhcpError for an address that is none."""
    out = bytearray()
    for network, prefix_len, gateway in routes:
        out.append(prefix_len)
        out += parse_ip(network)[: (prefix_len + 7) // 8] + parse_ip(gateway)
    return bytes(out)
