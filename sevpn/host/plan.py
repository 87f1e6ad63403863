"""What to change on the host, as data.

Layer 2, pure and lean: the long-lived process makes plans, a short-lived child applies
them (`sevpn.host.worker`). A plan is a list of steps; a step is a plain tuple of strings,
ints, lists and None, so that `marshal` can carry it:

    ("link", ifname, mac_hex | None, mtu_bytes | None, up: bool)
    ("address", ifname, address, prefix_len, broadcast | None)
    ("route", network, prefix_len, gateway | None, ifname, metric, table)
    ("default_route", gateway | None, ifname, metric)   and what it takes to be in force
    ("keep_inbound", ifname of the TAP, has_ipv6: bool)     see `sevpn.host.inbound`
    ("rule", from_address, table)
    ("server_route", server_ip, not_by_ifname | None)
    ("dns", [nameserver, ...], [search_domain, ...], mode, ifname, has_default_route: bool)
    ("sysctl", path below /proc/sys, value)
    ("optional", step)      a failure of `step` is a warning, not the end

`mode` is the value of -dns. `gateway` None means on-link. Table 254 is the kernel's main table.
"""

from __future__ import annotations

from sevpn.constants import DEFAULT_ROUTE_METRIC, TUNNEL_MTU_BYTES
from sevpn.host import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Protocol

    Step = tuple[Any, ...]
    Record = dict[str, Any]

    class HostConfig(Protocol):
        """The flags a plan depends on."""

        no_dhcp: bool
        accept_default_gateway: bool
        accept_static_routes: bool
        accept_dns: bool
        accept_ra: bool
        keep_inbound: bool
        policy_route_table: int
        dns: str

    class HostLease(Protocol):
        """The parts of a DHCP lease a plan depends on."""

        address: str
        prefix_len: int
        broadcast: str | None
        mtu_bytes: int | None
        dns: list[str]
        domain: str
        search: list[str]
        routes: list[tuple[str, int, str]]

        def default_gateway(self, *, with_static_routes: bool = True) -> str | None:
            """Return the router to use by default, None when there is none."""


TABLE_MAIN = 254
_ON_LINK = "0.0.0.0"
_MTU_MIN_BYTES = 576  # RFC 791: what every host must take; issue: option 26 from 576 on

# Steps that hang on the address: when it changes, all of them are made again.
_ADDRESS_KINDS = ("address", "route", "default_route", "rule")


def link_plan(
    ifname: str,
    mac: bytes | None,
    mtu_bytes: int = TUNNEL_MTU_BYTES,
    accept_ra: bool = False,
) -> list[Step]:
    """Return the steps that bring a fresh TAP up, before the first frame goes through.

    Router advertisements from the far side must not configure this host unless it is
    asked for, and the switch has to be set before the link is up; a kernel without IPv6
    has no such switch. (2 = also where this host forwards, which a VPN client often does.)
    """
    return [
        ("optional", ("sysctl", f"net/ipv6/conf/{ifname}/accept_ra", "2" if accept_ra else "0")),
        ("link", ifname, mac.hex(":") if mac else None, mtu_bytes, True),
    ]


def server_route_plan(
    config: HostConfig, server_ip: str, not_by_ifname: str | None = None
) -> list[Step]:
    """Return the step that pins the server's address to the way that reaches it now.

    `not_by_ifname` names our TAP once it carries routes, so that a new pin after a change
    of networks is never found through the tunnel itself. With -no-dhcp nothing but the
    TAP is touched. Without a default route through the tunnel a pin that cannot be set
    harms nobody, so it is optional then.
    """
    if config.no_dhcp:
        return []
    step: Step = ("server_route", server_ip, not_by_ifname)
    return [step if config.accept_default_gateway else ("optional", step)]


def session_plan(
    config: HostConfig,
    lease: HostLease,
    ifname: str,
    server_ips: Sequence[str],
    own_networks: Sequence[tuple[str, int]] = (),
) -> list[Step]:
    """Return the ordered steps that put a lease into force, as the flags allow.

    `own_networks` are what `worker.own_networks` found; see `refused_routes` for what was
    left out. The server's host route is not in it: it must be set before connecting.
    """
    steps: list[Step] = []
    if lease.mtu_bytes is not None:
        mtu_bytes = min(max(lease.mtu_bytes, _MTU_MIN_BYTES), TUNNEL_MTU_BYTES)
        if mtu_bytes != TUNNEL_MTU_BYTES:
            steps.append(("optional", ("link", ifname, None, mtu_bytes, True)))
    steps.append(("address", ifname, lease.address, lease.prefix_len, lease.broadcast))
    if config.accept_static_routes:
        accepted, _ = refuse.filter_routes(lease.routes, server_ips, own_networks)
        # On-link ones first: a later route's gateway may be reached by one of them.
        for network, prefix_len, gateway in sorted(accepted, key=lambda r: r[2] != _ON_LINK):
            if prefix_len:
                via = None if gateway == _ON_LINK else gateway
                route = ("route", network, prefix_len, via, ifname, 0, TABLE_MAIN)
                steps.append(("optional", route))
    gateway_or_none = lease.default_gateway(with_static_routes=config.accept_static_routes)
    if gateway_or_none is not None:
        via = None if gateway_or_none == _ON_LINK else gateway_or_none
        if config.accept_default_gateway:
            if config.keep_inbound:  # before there is something to keep it from
                steps.append(("optional", ("keep_inbound", ifname, config.accept_ra)))
            steps.append(("default_route", via, ifname, DEFAULT_ROUTE_METRIC))
        if config.policy_route_table:
            table = config.policy_route_table
            steps.append(("route", "0.0.0.0", 0, via, ifname, 0, table))
            steps.append(("rule", lease.address, table))
    mode = config.dns
    if config.accept_dns and mode != "none" and lease.dns:
        search = list(lease.search) or ([lease.domain] if lease.domain else [])
        has_default = config.accept_default_gateway and gateway_or_none is not None
        step = ("dns", list(lease.dns), search, mode, ifname, has_default)
        steps.append(("optional", step))
    return steps


def refused_routes(
    config: HostConfig,
    lease: HostLease,
    server_ips: Sequence[str],
    own_networks: Sequence[tuple[str, int]] = (),
) -> list[str]:
    """Return a line for each pushed route that `session_plan` left out for safety."""
    if not config.accept_static_routes:
        return []
    _, refused = refuse.filter_routes(lease.routes, server_ips, own_networks)
    return [
        f"route {network}/{prefix_len} via {gateway} refused: {reason}"
        for (network, prefix_len, gateway), reason in refused
    ]


def bare(step: Step) -> Step:
    """Return the step inside an optional one, or the step itself."""
    return step[1] if step[0] == "optional" else step


def change_plan(
    records: Iterable[Record], old_steps: Sequence[Step], new_steps: Sequence[Step]
) -> tuple[list[Record], list[Step]]:
    """Return (records to undo, steps to apply) to get from one session plan to another.

    `records` are what `worker.apply` returned for `old_steps`, possibly among others:
    a record of a step that is not in `old_steps` (the link, the server's route) is left
    alone. Equal steps stay untouched, so a plain renewal changes nothing; a changed
    address makes everything that hangs on it anew.
    """
    old = [bare(step) for step in old_steps]
    new = [bare(step) for step in new_steps]
    keep = [step for step in old if step in new]
    if _addresses(old) != _addresses(new):
        keep = [step for step in keep if step[0] not in _ADDRESS_KINDS]
    gone = [_shape(step) for step in old if step not in keep]
    to_undo = [record for record in records if _shape(record.get("step", ())) in gone]
    return to_undo, [step for step in new_steps if bare(step) not in keep]


def _addresses(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if step[0] == "address"]


def _shape(step: Iterable[object]) -> str:
    """Return a step in a form that is the same before and after JSON and marshal."""
    return repr([list(part) if isinstance(part, (list, tuple)) else part for part in step])
