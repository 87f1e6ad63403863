"""The host route that pins a server, so that its packets never go into the tunnel.

Layer 2, used in the short-lived child only. A pin carries our mark like every route of
ours. It follows the host from network to network: replaced in one act, so that there is
no moment without it.

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
from sevpn.host import codec, journal
from sevpn.host.context import TABLE_MAIN, Host, ifindex_or_zero, ifname_of
from sevpn.host.routes import (
    LOOPBACK_IFINDEX,
    NO_WAY,
    adder,
    delete,
    dump,
    record_of,
    same_slot,
    way_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.host.context import Record, Step

_IPV6_METRIC = 1024  # what the kernel makes of 0
_PIN_IDENTITY = ("boot", "netns", "network", "prefix_len", "gateway", "ifindex", "table")


def undo_route(host: Host, record: Record) -> str | None:
    """Remove the route if it is there as we made it, and nobody else of ours needs it."""
    if not record["is_pin"]:
        return delete(host, record)
    with PinLock(host.journal.path):
        if _is_shared(host.journal.path, record):
            # The other sevpn to this server removes it. Our record must be gone before the
            # lock is: else the two could each wait for the other.
            host.journal.end(record)
            return None
        return delete(host, record)


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
    move_pin(host, address, not_by_ifname, None)


def move_pin(host: Host, address: str, not_by_ifname: str | None, record: Record | None) -> None:
    """Pin `address` to the way that reaches it now, in the place of the pin of `record`.

    When the right pin stands and `record` is its record, nothing is done. Otherwise the
    new record is written first, then the route is replaced, then `record` ended: killed
    in between, cleaning up knows both. A pin of ours from before a change of networks may
    be another instance's as well, but that way is dead for both. Raises as `find_way`.
    """
    route = find_way(host, address, not_by_ifname)
    if route is None:
        return
    step = ("server_route", address, not_by_ifname)
    with PinLock(host.journal.path):
        present = _host_route(host, address)
        if present is not None and present.protocol != codec.PROTOCOL_OURS:
            return
        if present is not None and record is not None and _is_same(present, route, record):
            return
        new = record_of(step, route, ifname_of(route.ifindex), is_pin=True)
        if present is None:
            dormant = same_slot(host, route)  # e.g. over a link that lost its carrier
            is_ours = dormant is not None and dormant.protocol == codec.PROTOCOL_OURS
            host.perform(new, adder(host, route, is_replacing=is_ours))
        elif way_of(present) == way_of(route):
            new["metric"] = present.metric
            host.adopt(new)
        else:
            # A replacement takes over the slot, and the metric is part of that.
            route.metric = new["metric"] = present.metric
            host.perform(new, adder(host, route, is_replacing=True))
        if record is not None:
            host.journal.end(record)


def _is_same(present: codec.Route, route: codec.Route, record: Record) -> bool:
    recorded = (record["ifindex"], record["gateway"])
    return way_of(present) == way_of(route) == recorded and present.metric == record["metric"]


def _host_route(host: Host, address: str) -> codec.Route | None:
    """Return the main table's host route to `address` that wins now, if there is one."""
    entry = _entry(host, address)
    bits = 128 if ":" in address else 32
    if entry is None or entry.prefix_len != bits or entry.table != TABLE_MAIN:
        return None
    return entry


def _entry(host: Host, address: str) -> codec.Route | None:
    """Return the entry of a routing table that decides about `address` now."""
    try:
        lookup = codec.encode_route_lookup(address, codec.RTM_F_FIB_MATCH)
        return codec.decode_route(host.netlink.ask(lookup)[0])
    except OSError:
        return None


def find_way(host: Host, address: str, not_by_ifname: str | None = None) -> codec.Route | None:
    """Return the host route that pins `address`, None when it needs no pin.

    The kernel's answer is taken, whatever rules and tables led to it. If it is our own
    pin or goes through `not_by_ifname` (the tunnel), the main table is searched without
    these. Raises HostError when no route leads there, OSError as the kernel says.
    """
    way = ask_kernel(host, address)
    if is_this_host(way):
        return None
    tunnel = ifindex_or_zero(not_by_ifname) if not_by_ifname is not None else 0
    pin = None if way is None else _entry(host, address)
    is_pinned = (
        pin is not None
        and pin.protocol == codec.PROTOCOL_OURS
        and (pin.prefix_len == (128 if ":" in address else 32))
    )
    if way is not None:
        # A local address is copied only where the administrator has set it.
        way.source = pin.source if pin is not None and not is_pinned else ""
    if not_by_ifname is not None and (way is None or way.ifindex == tunnel or is_pinned):
        way = _search_main_table(host, address, tunnel)
    if way is None:
        raise HostError(
            f"no route leads to the server {address}",
            "check that the network is up",
            errno.ENETUNREACH,
        )
    bits, metric = (128, _IPV6_METRIC) if ":" in address else (32, 0)
    return codec.Route(address, bits, way.gateway, way.ifindex, metric, source=way.source)


def ask_kernel(host: Host, address: str, ifindex: int | None = None) -> codec.Route | None:
    """Return how the kernel would reach `address` now, None when it cannot.

    With `ifindex`: if only that interface could be taken. Raises OSError.
    """
    try:
        return codec.decode_route(
            host.netlink.ask(codec.encode_route_lookup(address, ifindex=ifindex))[0]
        )
    except OSError as error:
        if error.errno in NO_WAY:
            return None
        raise


def is_this_host(way: codec.Route | None) -> bool:
    """Tell whether a way ends where it begins."""
    return way is not None and (way.kind == codec.RTN_LOCAL or way.ifindex == LOOPBACK_IFINDEX)


def _search_main_table(host: Host, address: str, tunnel: int) -> codec.Route | None:
    """Return the route the kernel would take without ours: longest prefix, least metric.

    One over an interface without carrier is the last choice, though the kernel would take
    it: a cable that was pulled is the usual reason why somebody asks.
    """
    family = AF_INET6 if ":" in address else AF_INET
    best: codec.Route | None = None
    for route in dump(host, family, TABLE_MAIN):
        if route.protocol == codec.PROTOCOL_OURS or route.ifindex in (0, tunnel):
            continue
        if route.kind != codec.RTN_UNICAST or not codec.is_in_prefix(address, route):
            continue
        if best is None or _rank(route) < _rank(best):
            best = route
    return best


def _rank(route: codec.Route) -> tuple[bool, int, int]:
    return route.is_dead, -route.prefix_len, route.metric
