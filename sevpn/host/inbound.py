"""What comes in from outside is answered on the way it came, whatever the default route is.

Layer 2, used in the short-lived child only. With our default route in force, the answers of
an SSH session or of a published port would go into the tunnel, from an address that is not
its own. So packets from the addresses that this host has without us are routed as without us:
by two rules for each address, and a table with the default routes of others.

    32764: from ADDRESS lookup main suppress_prefixlength 1     all but defaults and halves
    32765: from ADDRESS lookup TABLE                            the defaults that others made

A new connection has no address until a route is chosen for it: it goes into the tunnel.
IPv6 is in the tunnel with -accept-ra only, so only then there is something to keep.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6

from sevpn.host import codec, rules
from sevpn.host.addressing import addresses
from sevpn.host.context import TABLE_MAIN, Host, ifindex_or_zero, ifname_of
from sevpn.host.routes import adder, dump, record_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.host.context import Record, Step

PRIORITY_MAIN, PRIORITY_DEFAULTS = 32_764, 32_765
HALF_LEN = 1  # our default route may be two halves of the address space
_TABLE_BASE = 8_300_000  # far from the numbers that people choose
_NEVER_OUTSIDE = ("127.", "169.254.", "fe80:", "::1")


def table_of(tap_ifname: str) -> int:
    """Return the number of a tunnel's own table."""
    return _TABLE_BASE + ifindex_or_zero(tap_ifname)


class Ways:
    """The routes and rules that keep the old ways of the host as it is now.

    `wanted` are those that should be, in the order they are to be made; of each the record
    that tells of it. `present` are those of them, or of ours, that the kernel has.
    """

    def __init__(self, host: Host, step: Step) -> None:
        _, tap_ifname, has_ipv6 = step
        self._step = step
        self._table = table_of(tap_ifname)
        tunnel = ifindex_or_zero(tap_ifname)
        self.wanted: list[tuple[Record, codec.Route | codec.Rule]] = []
        self.present: list[Record] = []
        for family in (AF_INET, AF_INET6) if has_ipv6 else (AF_INET,):
            defaults = self._defaults(host, family, tunnel)
            sources = _sources(host, family, tunnel) if defaults else []
            made = [rule for source in sources for rule in self._rules(source)]
            self.wanted += [(self._of_route(route), route) for route in defaults]
            self.wanted += [(rules.record_of(step, rule), rule) for rule in made]
            self.present += map(self._of_route, dump(host, family, self._table))
            for rule in rules.present_rules(host, family):
                if rule.table == self._table or any(rule.does_as(one) for one in made):
                    self.present.append(rules.record_of(step, rule))

    def are_in_force(self) -> bool:
        """Tell whether the kernel has what is wanted, and nothing else in our table."""
        return {_body(record) for record, _ in self.wanted} == set(map(_body, self.present))

    def standing(self, records: list[Record]) -> list[Record]:
        """Return those of `records` that are wanted and are there."""
        good = {_body(record) for record, _ in self.wanted} & set(map(_body, self.present))
        return [record for record in records if _body(record) in good]

    def make(self, host: Host, standing: list[Record]) -> None:
        """Add what `standing` does not tell of. Raises OSError."""
        done = set(map(_body, standing))
        for record, one in self.wanted:
            if _body(record) in done:
                continue
            if isinstance(one, codec.Rule):
                rules.add(host, self._step, one)
            else:
                host.perform(record, adder(host, one))

    def _of_route(self, route: codec.Route) -> Record:
        return record_of(self._step, route, ifname_of(route.ifindex))

    def _rules(self, source: str) -> tuple[codec.Rule, codec.Rule]:
        return (
            codec.Rule(source, TABLE_MAIN, priority=PRIORITY_MAIN, suppressed_len=HALF_LEN),
            codec.Rule(source, self._table, priority=PRIORITY_DEFAULTS),
        )

    def _defaults(self, host: Host, family: int, tunnel: int) -> list[codec.Route]:
        """Return the default routes of others as our table has them: one for each metric."""
        found: dict[int, codec.Route] = {}
        for route in dump(host, family, TABLE_MAIN):
            is_theirs = route.protocol != codec.PROTOCOL_OURS
            is_out = route.kind == codec.RTN_UNICAST and route.ifindex not in (0, tunnel)
            if route.prefix_len == 0 and is_theirs and is_out:
                way = route.gateway, route.ifindex, route.metric
                found.setdefault(route.metric, codec.Route(route.network, 0, *way, self._table))
        return list(found.values())


def _body(record: Record) -> tuple[object, ...]:
    """Return what makes records tell of the same thing, whoever made them and when."""
    keys = ("kind", "network", "gateway", "ifindex", "metric", "address", "table")
    return tuple(record.get(key) for key in keys)


def _sources(host: Host, family: int, tunnel: int) -> list[str]:
    """Return the addresses that somebody outside can have sent something to."""
    return [
        one.local
        for one in addresses(host, family)
        if one.ifindex != tunnel and not one.local.startswith(_NEVER_OUTSIDE)
    ]


def make_inbound(host: Host, step: Step) -> None:
    """Keep the ways of what comes in. Raises OSError."""
    Ways(host, step).make(host, [])
