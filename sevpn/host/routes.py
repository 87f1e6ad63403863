"""Routes: those of a lease, and the host route that pins the server.

Layer 2, used in the short-lived child only. Routes carry our mark in the kernel's
protocol field. Removing one names prefix, metric, gateway, device and mark, and the
kernel removes it only if all of them are so: that is the comparing before undoing.

The pin of one server can be wanted by two running instances at once. Both have it in
their journals, and the last one removes it; a lock on the state directory puts them in
order.
"""

from __future__ import annotations

import errno
import fcntl
import os
from socket import AF_INET, AF_INET6

from sevpn.errors import HostError
from sevpn.host import codec, ipv4, journal
from sevpn.host.addressing import addresses
from sevpn.host.context import TABLE_MAIN, Host, describe, ifindex_of, ifname_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn.host.context import Record, Step

_NEW = codec.NLM_F_CREATE | codec.NLM_F_EXCL
_LOOPBACK_IFINDEX = 1
_IPV6_METRIC = 1024  # what the kernel makes of 0
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
_PIN_IDENTITY = ("boot", "netns", "network", "prefix_len", "gateway", "ifindex", "table")


def _record(step: Step, route: codec.Route, ifname: str, is_pin: bool) -> Record:
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


def _adder(host: Host, route: codec.Route) -> Callable[[], None]:
    def add() -> None:
        try:
            host.netlink.change(codec.encode_route(codec.RTM_NEWROUTE, _NEW, route))
        except OSError as error:
            # The gateway is in no connected subnet: say that it is on the link all the same.
            if route.gateway is None or error.errno not in _NO_WAY:
                raise
            forced = codec.encode_route(codec.RTM_NEWROUTE, _NEW, route, is_forced_on_link=True)
            host.netlink.change(forced)

    return add


def make_route(host: Host, step: Step) -> None:
    """Add a route. The very same one, made by others, is left and not ours.

    Raises HostError when another route has its prefix and metric already: it was there
    before us and stays.
    """
    _, network, prefix_len, gateway, ifname, metric, table = step
    route = codec.Route(network, prefix_len, gateway, ifindex_of(ifname), metric, table)
    if prefix_len == 0 and table == TABLE_MAIN:
        _warn_of_stronger_default(host, route)
    try:
        host.perform(_record(step, route, ifname, is_pin=False), _adder(host, route))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        present = _same_slot(host, route)
        if present is not None and _way(present) == _way(route):
            return
        raise HostError(
            f"there is another {_slot_text(route)} already, {_way_text(present)}",
            "remove it" if table == TABLE_MAIN else "choose another -policy-route-table",
            errno.EEXIST,
        ) from error


def _warn_of_stronger_default(host: Host, route: codec.Route) -> None:
    """Say so when a default route with a lower metric keeps the traffic out of the tunnel."""
    for present in _routes(host, route.family, TABLE_MAIN):
        if present.prefix_len == 0 and present.metric < route.metric:
            host.warnings.append(
                f"the default route {_way_text(present)} has metric {present.metric} and stays "
                f"in force: ours has metric {route.metric}"
            )


def _way(route: codec.Route) -> tuple[int, str | None]:
    return route.ifindex, route.gateway


def _routes(host: Host, family: int, table: int) -> list[codec.Route]:
    try:
        answers = host.netlink.ask(codec.encode_route_dump(family, table))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []  # no route was ever in that table
        raise
    found = map(codec.decode_route, answers)
    return [route for route in found if route.table == table]  # older kernels send all tables


def _same_slot(host: Host, route: codec.Route) -> codec.Route | None:
    """Return the route that has `route`'s prefix and metric in its table now, if one has."""
    slot = (route.network, route.prefix_len, route.metric)
    for present in _routes(host, route.family, route.table):
        if (present.network, present.prefix_len, present.metric) == slot:
            return present
    return None


def _slot_text(route: codec.Route) -> str:
    name = f"route to {route.network}/{route.prefix_len}" if route.prefix_len else "default route"
    where = f" in table {route.table}" if route.table != TABLE_MAIN else ""
    return f"{name} with metric {route.metric}{where}"


def _way_text(route: codec.Route | None) -> str:
    if route is None:
        return "gone by now"
    via = f"via {route.gateway} " if route.gateway else ""
    return f"{via}on {ifname_of(route.ifindex)}"


def undo_route(host: Host, record: Record) -> str | None:
    """Remove the route if it is there as we made it, and nobody else of ours needs it."""
    if not record["is_pin"]:
        return _delete(host, record)
    with PinLock(host.journal.path):
        if _is_shared(host.journal.path, record):
            # The other sevpn to this server removes it. Our record must be gone before the
            # lock is: else the two could each wait for the other.
            host.journal.end(record)
            return None
        return _delete(host, record)


def _delete(host: Host, record: Record) -> str | None:
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
        present = _same_slot(host, route)
        if present is not None:
            return f"{describe(record)} left: somebody changed it, it goes {_way_text(present)}"
    return None


class PinLock:
    """While entered, no other sevpn with this state directory touches a server's route.

    Held only for the few messages it takes; a state directory that is not there cannot be
    shared, so it is no error.
    """

    def __init__(self, journal_path: str) -> None:
        self._directory = os.path.dirname(journal_path)
        self._fd = -1

    def __enter__(self) -> None:
        try:
            self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            pass

    def __exit__(self, *_error: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _is_shared(journal_path: str, record: Record) -> bool:
    """Tell whether another journal has this pin, too."""
    if not journal_path:
        return False
    directory, own = os.path.split(journal_path)
    wanted = [record.get(key) for key in _PIN_IDENTITY]
    for name in os.listdir(directory):
        if not name.endswith(".journal") or name == own:
            continue
        for other in journal.read(f"{directory}/{name}"):
            if other.get("is_pin") and [other.get(key) for key in _PIN_IDENTITY] == wanted:
                return True
    return False


def make_server_route(host: Host, step: Step) -> None:
    """Pin an address to the way that reaches it now, by a host route in the main table.

    Nothing is made for an address of this host itself or when a host route exists that
    is not ours. Raises HostError when no route leads there.
    """
    _, address, not_by_ifname = step
    route = find_way(host, address, not_by_ifname)
    if route is None:
        return
    record = _record(step, route, ifname_of(route.ifindex), is_pin=True)
    with PinLock(host.journal.path):
        present = _same_slot_or_any_metric(host, route)
        if present is None:
            host.perform(record, _adder(host, route))
        elif present.protocol == codec.PROTOCOL_OURS and _way(present) == _way(route):
            record["metric"] = present.metric
            host.adopt(record)
        elif present.protocol == codec.PROTOCOL_OURS:
            # Ours from before a change of networks: another instance may still be on its
            # old way, but that way is dead for both.
            stale = _record(step, present, ifname_of(present.ifindex), is_pin=True)
            _delete(host, stale)
            host.perform(record, _adder(host, route))


def _same_slot_or_any_metric(host: Host, route: codec.Route) -> codec.Route | None:
    """Return the host route to `route`'s destination that wins now, if there is one."""
    lookup = codec.encode_route_lookup(route.network, codec.RTM_F_FIB_MATCH)
    try:
        entry = codec.decode_route(host.netlink.ask(lookup)[0])
    except OSError:
        return None
    is_host_route = entry.prefix_len == route.prefix_len and entry.table == TABLE_MAIN
    if not is_host_route or entry.network != route.network:
        return None
    return entry


def find_way(host: Host, address: str, not_by_ifname: str | None = None) -> codec.Route | None:
    """Return the host route that pins `address`, None when it needs no pin.

    The kernel's answer is taken, whatever rules and tables led to it. If it is our own
    pin or goes through `not_by_ifname` (the tunnel), the main table is searched without
    these. Raises HostError when no route leads there, OSError as the kernel says.
    """
    try:
        way = codec.decode_route(host.netlink.ask(codec.encode_route_lookup(address))[0])
    except OSError as error:
        if error.errno in _NO_WAY:
            way = None
        else:
            raise
    if way is not None and (way.kind == codec.RTN_LOCAL or way.ifindex == _LOOPBACK_IFINDEX):
        return None
    if not_by_ifname is not None:
        tunnel = _index_or_zero(not_by_ifname)
        pin = None if way is None else _same_slot_or_any_metric(host, way)
        is_ours = pin is not None and pin.protocol == codec.PROTOCOL_OURS
        if way is None or way.ifindex == tunnel or is_ours:
            way = _search_main_table(host, address, tunnel)
    if way is None:
        raise HostError(
            f"no route leads to the server {address}",
            "check that the network is up",
            errno.ENETUNREACH,
        )
    if ":" in address:
        return codec.Route(address, 128, way.gateway, way.ifindex, _IPV6_METRIC)
    return codec.Route(address, 32, way.gateway, way.ifindex)


def _index_or_zero(ifname: str) -> int:
    try:
        return ifindex_of(ifname)
    except HostError:
        return 0


def _search_main_table(host: Host, address: str, tunnel: int) -> codec.Route | None:
    """Return the route the kernel would take without our own: longest prefix, least metric."""
    family = AF_INET6 if ":" in address else AF_INET
    best: codec.Route | None = None
    for route in _routes(host, family, TABLE_MAIN):
        if route.protocol == codec.PROTOCOL_OURS or route.ifindex in (0, tunnel):
            continue
        if route.kind != codec.RTN_UNICAST or not codec.is_in_prefix(address, route):
            continue
        if best is None or (-route.prefix_len, route.metric) < (-best.prefix_len, best.metric):
            best = route
    return best


def own_networks(host: Host, not_of_ifname: str | None) -> list[tuple[str, int]]:
    """Return the IPv4 networks this host is directly connected to, the tunnel's left out.

    From the addresses of the interfaces and from the on-link routes of the main table
    (a gateway reached by an on-link host route is such a network of one).
    """
    skip = (_LOOPBACK_IFINDEX, _index_or_zero(not_of_ifname) if not_of_ifname else 0)
    found: list[tuple[str, int]] = []
    for address in addresses(host):
        if address.ifindex not in skip:
            found.append((ipv4.network(address.peer, address.prefix_len), address.prefix_len))
    for route in _routes(host, AF_INET, TABLE_MAIN):
        is_on_link = route.gateway is None and route.scope == codec.RT_SCOPE_LINK
        if is_on_link and route.ifindex not in skip and route.protocol != codec.PROTOCOL_OURS:
            found.append((route.network, route.prefix_len))
    return [network for network in dict.fromkeys(found) if network[1]]
