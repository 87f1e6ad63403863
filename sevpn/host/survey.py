"""How the host would reach the servers without us, and who else claims its traffic.

Layer 2, used in the short-lived child only; changes nothing. Asked whenever links,
addresses or routes change.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6

from sevpn.errors import HostError
from sevpn.host import codec, ipv4, pins
from sevpn.host.addressing import addresses
from sevpn.host.context import TABLE_MAIN, Host, ifindex_or_zero, ifname_of
from sevpn.host.routes import LOOPBACK_IFINDEX, dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def path_to(host: Host, address: str, tap_ifname: str) -> dict[str, Any] | None:
    """Return the way to a server that neither the tunnel nor our pin is part of.

    {"source": the local address a new connection would have ("" = the kernel does not
    tell), "gateway": str | None, "ifname": str, "addresses": all addresses of the server's
    family on that interface}, None when there is no way.
    """
    try:
        way = pins.find_way(host, address, tap_ifname)
    except HostError:
        return None
    now = pins.ask_kernel(host, address)
    if way is None:
        if now is None:
            return None
        source, gateway, ifindex = now.source or address, None, now.ifindex
    else:
        source, gateway, ifindex = way.source, way.gateway, way.ifindex
        if now is not None and (now.ifindex, now.gateway) == (ifindex, gateway):
            source = now.source
        elif not source:
            # The pin still has the old gateway: ask for the new one, which is a neighbour.
            # IPv6 chooses by destination; a router's link-local address would mislead it.
            target = gateway if gateway and ":" not in gateway else address
            then = pins.ask_kernel(host, target, ifindex)
            source = then.source if then is not None else ""
    if way is None:
        # This host itself: the kernel's route leads to lo, but the connection's local address
        # is one of the host's own, and no change of a link takes it away.
        return {
            "source": source,
            "gateway": None,
            "ifname": ifname_of(ifindex),
            "addresses": [source],
        }
    family = AF_INET6 if ":" in address else AF_INET
    local = [one.local for one in addresses(host, family) if one.ifindex == ifindex]
    return {
        "source": source,
        "gateway": gateway,
        "ifname": ifname_of(ifindex),
        "addresses": local,
    }


def foreign_routes(host: Host, tap_ifname: str) -> list[tuple[str, int, str]]:
    """Return the IPv4 routes of others that beat a default route: (network, prefix, ifname).

    Left out: what is connected to that interface itself, and the on-link host routes of
    its gateways. A wide on-link route is in: somebody can push that as well.
    """
    skip = (0, LOOPBACK_IFINDEX, ifindex_or_zero(tap_ifname))
    present = [route for route in dump(host, AF_INET, TABLE_MAIN) if route.ifindex not in skip]
    gateways = {(route.ifindex, route.gateway) for route in present}
    connected = [
        (one.ifindex, ipv4.network(one.peer, one.prefix_len), one.prefix_len)
        for one in addresses(host)
    ]
    found = []
    for route in present:
        if route.prefix_len == 0 or route.protocol == codec.PROTOCOL_OURS:
            continue
        if route.kind != codec.RTN_UNICAST:
            continue
        if route.gateway is None:
            if (route.ifindex, route.network) in gateways:
                continue
            if any(
                ifindex == route.ifindex
                and ipv4.is_within(route.network, route.prefix_len, network, prefix_len)
                for ifindex, network, prefix_len in connected
            ):
                continue
        found.append((route.network, route.prefix_len, ifname_of(route.ifindex)))
    return found
