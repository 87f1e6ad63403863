"""What the kernel really does with traffic, beside what was asked for. Layer 2.

Used in the short-lived child only; changes nothing.
"""

from __future__ import annotations

import socket

from sevpn.host import codec, default_route, pins
from sevpn.host.addressing import addresses
from sevpn.host.context import TABLE_MAIN, Host, ifindex_or_zero, ifname_of
from sevpn.host.ipv4 import is_within
from sevpn.host.routes import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Any address out there: what leads to it is where traffic goes by default.
_OUTSIDE6 = "2001:4860:4860::8888"


def look(
    host: Host, tap_ifname: str, address: str, prefix_len: int, neighbour: str
) -> dict[str, Any]:
    """Return what is in force for a tunnel with an address and a neighbour behind it.

    {"has_default": our default route, or both halves, stands and no other beats it,
    "default6": the interface that IPv6 traffic leaves by, "" = it does not leave or is ours,
    "neighbour": the interface that leads to `neighbour` ("" = none, or not known),
    "overlap": another interface that has an address in the tunnel's network, "" = none,
    "has_halves": 0.0.0.0/1 and 128.0.0.0/1 stand}.
    """
    tunnel = ifindex_or_zero(tap_ifname)
    ours = [
        (route.network, route.prefix_len)
        for route in dump(host, socket.AF_INET, TABLE_MAIN)
        if route.ifindex == tunnel and route.protocol == codec.PROTOCOL_OURS
    ]
    has_halves = set(ours).issuperset(default_route.HALVES)
    has_default = has_halves or any(prefix_len == 0 for _, prefix_len in ours)
    way6 = pins.ask_kernel(host, _OUTSIDE6)
    leaves6 = (
        way6 is not None
        and way6.kind == codec.RTN_UNICAST
        and way6.ifindex not in (0, tunnel)
        and not pins.is_this_host(way6)
    )
    way = pins.ask_kernel(host, neighbour) if neighbour else None
    overlap = [
        one.ifindex
        for one in addresses(host)
        if one.ifindex != tunnel and is_within(one.local, 32, address, prefix_len)
    ]
    return {
        "has_default": has_default and not default_route.is_void(host, tap_ifname),
        "has_halves": has_halves,
        "default6": ifname_of(way6.ifindex) if way6 is not None and leaves6 else "",
        "neighbour": ifname_of(way.ifindex) if way is not None and way.ifindex else "",
        "overlap": ifname_of(overlap[0]) if overlap else "",
    }
