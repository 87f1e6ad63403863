"""Routes in the kernel's tables: read, added, removed, named.

Layer 2, used in the short-lived child only. Routes carry our mark in the kernel's
protocol field. Removing one names prefix, metric, gateway, device and mark, and the
kernel removes it only if all of them are so: that is the comparing before undoing.
"""

from __future__ import annotations

import errno
from socket import AF_INET

from sevpn.errors import HostError
from sevpn.host import codec, ipv4
from sevpn.host.addressing import addresses
from sevpn.host.context import (
    TABLE_MAIN,
    Host,
    describe,
    ifindex_of,
    ifindex_or_zero,
    ifname_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn.host.context import Record, Step

LOOPBACK_IFINDEX = 1
NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
_NEW = codec.NLM_F_CREATE | codec.NLM_F_EXCL
_REPLACE = codec.NLM_F_CREATE | codec.NLM_F_REPLACE


def record_of(step: Step, route: codec.Route, ifname: str, is_pin: bool = False) -> Record:
    """Return the record for adding `route` because of `step`."""
    return {
        "kind": "route",
        "step": list(step),
        "ifname": ifname,
        "ifindex": route.ifindex,
        "network": route.network,
        "prefix_len": route.prefix_len,
        "gateway": route.gateway,
        "metric": route.metric,
        "table": route.table,
        "is_pin": is_pin,
    }


def adder(host: Host, route: codec.Route, is_replacing: bool = False) -> Callable[[], None]:
    """Return what adds `route`; if `is_replacing`, in the place of its slot's in one act."""
    flags = _REPLACE if is_replacing else _NEW

    def add() -> None:
        try:
            host.netlink.change(codec.encode_route(codec.RTM_NEWROUTE, flags, route))
        except OSError as error:
            # The gateway is in no connected subnet: say that it is on the link all the same.
            if route.gateway is None or error.errno not in NO_WAY:
                raise
            forced = codec.encode_route(codec.RTM_NEWROUTE, flags, route, is_forced_on_link=True)
            host.netlink.change(forced)

    return add


def make_route(host: Host, step: Step) -> None:
    """Add a route. The very same one, made by others, is left and not ours.

    Raises HostError when another route has its prefix and metric already: it was there
    before us and stays.
    """
    _, network, prefix_len, gateway, ifname, metric, table = step
    route = codec.Route(network, prefix_len, gateway, ifindex_of(ifname), metric, table)
    add_or_find(host, record_of(step, route, ifname), route)


def add_or_find(host: Host, record: Record, route: codec.Route) -> None:
    """Add `route`, or leave it as it is when the very same stands there. Raises HostError."""
    try:
        host.perform(record, adder(host, route))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        present = same_slot(host, route)
        if present is not None and way_of(present) == way_of(route):
            return
        raise HostError(
            f"there is another {slot_text(route)} already, {way_text(present)}",
            "remove it" if route.table == TABLE_MAIN else "choose another -policy-route-table",
            errno.EEXIST,
        ) from error


def way_of(route: codec.Route) -> tuple[int, str | None]:
    """Return what two routes to one destination must share to be the same."""
    return route.ifindex, route.gateway


def dump(host: Host, family: int, table: int) -> list[codec.Route]:
    """Return the routes of one table."""
    try:
        answers = host.netlink.ask(codec.encode_route_dump(family, table))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []  # no route was ever in that table
        raise
    found = map(codec.decode_route, answers)
    return [route for route in found if route.table == table]  # older kernels send all tables


def same_slot(host: Host, route: codec.Route) -> codec.Route | None:
    """Return the route that has `route`'s prefix and metric in its table now, if one has."""
    slot = (route.network, route.prefix_len, route.metric)
    for present in dump(host, route.family, route.table):
        if (present.network, present.prefix_len, present.metric) == slot:
            return present
    return None


def slot_text(route: codec.Route) -> str:
    """Return a name for a route's prefix, metric and table."""
    name = f"route to {route.network}/{route.prefix_len}" if route.prefix_len else "default route"
    where = f" in table {route.table}" if route.table != TABLE_MAIN else ""
    return f"{name} with metric {route.metric}{where}"


def way_text(route: codec.Route | None) -> str:
    """Return "via GATEWAY on IFNAME"."""
    if route is None:
        return "gone by now"
    via = f"via {route.gateway} " if route.gateway else ""
    return f"{via}on {ifname_of(route.ifindex)}"


def delete(host: Host, record: Record) -> str | None:
    """Remove a record's route if it is there as we made it; returns what was left and why."""
    route = codec.Route(
        record["network"],
        record["prefix_len"],
        record["gateway"],
        record["ifindex"],
        record["metric"],
        record["table"],
    )
    try:
        host.netlink.change(codec.encode_route(codec.RTM_DELROUTE, 0, route))
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise
        present = same_slot(host, route)
        # A marked one is the successor that a pin was moved to: it has a record of its own.
        if present is not None and present.protocol != codec.PROTOCOL_OURS:
            return f"{describe(record)} left: somebody changed it, it goes {way_text(present)}"
    return None


def own_networks(host: Host, not_of_ifname: str | None) -> list[tuple[str, int]]:
    """Return the IPv4 networks this host is directly connected to, the tunnel's left out.

    From the addresses of the interfaces and from the on-link routes of the main table
    (a gateway reached by an on-link host route is such a network of one).
    """
    skip = (LOOPBACK_IFINDEX, ifindex_or_zero(not_of_ifname) if not_of_ifname else 0)
    found: list[tuple[str, int]] = []
    for address in addresses(host):
        if address.ifindex not in skip:
            found.append((ipv4.network(address.peer, address.prefix_len), address.prefix_len))
    for route in dump(host, AF_INET, TABLE_MAIN):
        is_on_link = route.gateway is None and route.scope == codec.RT_SCOPE_LINK
        if is_on_link and route.ifindex not in skip and route.protocol != codec.PROTOCOL_OURS:
            found.append((route.network, route.prefix_len))
    return [network for network in dict.fromkeys(found) if network[1]]
