"""rtnetlink messages as bytes, by pyroute2's message codecs.

Layer 2, used in the short-lived child only; no socket here. Only the codecs are used:
`import pyroute2` itself would load 330 modules and 22 MB, because its `__init__` imports
everything. So an empty package stands in for it (as in the static build, where it is
frozen empty), and another for `pyroute2.config`, of which the codecs read three names but
which imports multiprocessing. All imports of the untyped package are in this file.
"""

from __future__ import annotations

import sys
import types
from socket import AF_INET, AF_INET6, inet_pton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# linux/rtnetlink.h, linux/netlink.h
RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
IFF_UP = 0x1
RTN_UNICAST, RTN_LOCAL = 1, 2
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RT_TABLE_COMPAT = 252  # says: the table's number is in the attribute
RTNH_F_DEAD, RTNH_F_ONLINK, RTNH_F_LINKDOWN = 1, 4, 16
RTM_F_FIB_MATCH = 0x2000  # answer with the routing entry, not with the resolved path
FR_ACT_TO_TBL = 1

# Who made a route or rule, in the kernel's own field: above 4 it is the users' to choose.
# Undoing matches on it, so a route of somebody else is never taken for ours.
PROTOCOL_OURS = 83


def _stand_in() -> None:
    """Put empty stand-ins for the two heavy packages into sys.modules (see above)."""
    if "pyroute2" in sys.modules:
        return
    for finder in sys.meta_path:
        spec = finder.find_spec("pyroute2", None)
        if spec is not None:
            break
    else:
        raise ModuleNotFoundError("No module named 'pyroute2'", name="pyroute2")
    package = types.ModuleType("pyroute2")
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations or [])
    config = types.ModuleType("pyroute2.config")
    config.__dict__.update(AF_BRIDGE=7, data_plugins_pkgs=[], data_plugins_path=[])
    sys.modules["pyroute2"] = package
    sys.modules["pyroute2.config"] = config
    package.__dict__["config"] = config


_stand_in()

from pyroute2.netlink.rtnl.fibmsg import fibmsg  # noqa: E402
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: E402
from pyroute2.netlink.rtnl.rtmsg import rtmsg  # noqa: E402


def _link_class() -> Any:
    """Return ifinfmsg: alone it is as much to load as all the others, and rarely wanted."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    return ifinfmsg


class Route:
    """One entry of a routing table, or the kernel's answer to "how do I reach X".

    Of several next hops the first is told. `source` is the local address the kernel takes
    ("" = not told), `is_dead` that the interface has no carrier or is down.
    """

    __slots__ = (
        "family", "gateway", "ifindex", "is_dead", "kind", "metric", "network", "prefix_len",
        "protocol", "scope", "source", "table",
    )  # fmt: skip

    def __init__(
        self,
        network: str,
        prefix_len: int,
        gateway: str | None,
        ifindex: int,
        metric: int = 0,
        table: int = 254,
        *,
        protocol: int = PROTOCOL_OURS,
        scope: int = RT_SCOPE_UNIVERSE,
        kind: int = RTN_UNICAST,
        source: str = "",
        is_dead: bool = False,
    ) -> None:
        self.family = AF_INET6 if ":" in network else AF_INET
        self.network = network
        self.prefix_len = prefix_len
        self.gateway = gateway
        self.ifindex = ifindex
        self.metric = metric
        self.table = table
        self.protocol = protocol
        self.scope = scope
        self.kind = kind
        self.source = source
        self.is_dead = is_dead


class Address:
    """One address of an interface; `peer` is the other end's or equal to `local`."""

    __slots__ = ("broadcast", "ifindex", "local", "peer", "prefix_len")

    def __init__(
        self, ifindex: int, local: str, prefix_len: int, broadcast: str | None, peer: str = ""
    ) -> None:
        self.ifindex = ifindex
        self.local = local
        self.prefix_len = prefix_len
        self.broadcast = broadcast
        self.peer = peer or local


class Rule:
    """One rule of policy routing; `source` "" when it does not select by source alone.

    `priority` None = the kernel chooses. `suppressed_len`: routes with prefixes so short are
    passed over (suppress_prefixlength), None = none is.
    """

    __slots__ = ("prefix_len", "priority", "protocol", "source", "suppressed_len", "table")

    def __init__(
        self,
        source: str,
        table: int,
        prefix_len: int | None = None,
        protocol: int = PROTOCOL_OURS,
        *,
        priority: int | None = None,
        suppressed_len: int | None = None,
    ) -> None:
        self.source = source
        self.prefix_len = (128 if ":" in source else 32) if prefix_len is None else prefix_len
        self.table = table
        self.protocol = protocol
        self.priority = priority
        self.suppressed_len = suppressed_len

    def does_as(self, wanted: Rule) -> bool:
        """Tell whether this one, read from the kernel, is what `wanted` asks for."""
        return (
            (self.source, self.prefix_len, self.table, self.suppressed_len)
            == (wanted.source, wanted.prefix_len, wanted.table, wanted.suppressed_len)
        ) and wanted.priority in (None, self.priority)


class Link:
    """An interface: `mac` like "02:00:..", `is_up` the administrative state."""

    __slots__ = ("ifindex", "is_up", "mac", "mtu_bytes")

    def __init__(self, ifindex: int, mac: str | None, mtu_bytes: int | None, is_up: bool) -> None:
        self.ifindex = ifindex
        self.mac = mac
        self.mtu_bytes = mtu_bytes
        self.is_up = is_up


def _bytes(message: Any, kind: int, flags: int, attributes: list[tuple[str, Any]]) -> bytes:
    message["header"]["type"] = kind
    message["header"]["flags"] = flags | NLM_F_REQUEST
    message["attrs"] = [(name, value) for name, value in attributes if value is not None]
    message.encode()
    return bytes(message.data)


def encode_route(kind: int, flags: int, route: Route, is_forced_on_link: bool = False) -> bytes:
    """Return RTM_NEWROUTE or RTM_DELROUTE for `route`.

    `is_forced_on_link` skips the kernel's check that the gateway is in a connected subnet.
    """
    message = rtmsg()
    message["family"] = route.family
    # An IPv4 route through an IPv6 router (RFC 8950) names it in an attribute of its own.
    is_mixed = route.family == AF_INET and route.gateway is not None and ":" in route.gateway
    message["dst_len"] = route.prefix_len
    message["table"] = route.table if route.table < 256 else RT_TABLE_COMPAT
    message["proto"] = route.protocol
    # IPv6 has no scopes for routes, and refuses nothing here.
    message["scope"] = RT_SCOPE_UNIVERSE if route.gateway else RT_SCOPE_LINK
    message["type"] = RTN_UNICAST
    message["flags"] = RTNH_F_ONLINK if is_forced_on_link else 0
    attributes: list[tuple[str, Any]] = [
        ("RTA_DST", route.network if route.prefix_len else None),
        ("RTA_GATEWAY", None if is_mixed else route.gateway),
        ("RTA_VIA", {"family": AF_INET6, "addr": route.gateway} if is_mixed else None),
        ("RTA_OIF", route.ifindex),
        ("RTA_PRIORITY", route.metric or None),
        ("RTA_PREFSRC", route.source or None),
        ("RTA_TABLE", route.table),
    ]
    return _bytes(message, kind, flags, attributes)


def encode_route_lookup(address: str, flags: int = 0, ifindex: int | None = None) -> bytes:
    """Return the question how `address` is reached now (RTM_GETROUTE).

    With `ifindex`: how it would be reached if only that interface could be taken.
    """
    message = rtmsg()
    message["family"] = AF_INET6 if ":" in address else AF_INET
    message["dst_len"] = 128 if ":" in address else 32
    message["flags"] = flags
    return _bytes(message, RTM_GETROUTE, 0, [("RTA_DST", address), ("RTA_OIF", ifindex)])


def encode_route_dump(family: int, table: int) -> bytes:
    """Return the question for all routes of a table (older kernels send all tables)."""
    message = rtmsg()
    message["family"] = family
    message["table"] = table if table < 256 else RT_TABLE_COMPAT
    return _bytes(message, RTM_GETROUTE, NLM_F_DUMP, [("RTA_TABLE", table)])


def encode_address(kind: int, flags: int, address: Address) -> bytes:
    """Return RTM_NEWADDR or RTM_DELADDR for an IPv4 address."""
    message = ifaddrmsg()
    message["family"] = AF_INET
    message["prefixlen"] = address.prefix_len
    message["index"] = address.ifindex
    attributes: list[tuple[str, Any]] = [
        ("IFA_LOCAL", address.local),
        ("IFA_ADDRESS", address.peer),
        ("IFA_BROADCAST", address.broadcast),
    ]
    return _bytes(message, kind, flags, attributes)


def encode_address_dump(family: int = AF_INET) -> bytes:
    """Return the question for all addresses of the host of one family."""
    message = ifaddrmsg()
    message["family"] = family
    return _bytes(message, RTM_GETADDR, NLM_F_DUMP, [])


def encode_rule(kind: int, flags: int, rule: Rule) -> bytes:
    """Return RTM_NEWRULE or RTM_DELRULE."""
    message = fibmsg()
    message["family"] = AF_INET6 if ":" in rule.source else AF_INET
    message["src_len"] = rule.prefix_len
    message["table"] = rule.table if rule.table < 256 else RT_TABLE_COMPAT
    message["action"] = FR_ACT_TO_TBL
    attributes: list[tuple[str, Any]] = [
        ("FRA_SRC", rule.source),
        ("FRA_TABLE", rule.table),
        ("FRA_PRIORITY", rule.priority),
        ("FRA_SUPPRESS_PREFIXLEN", rule.suppressed_len),
        ("FRA_PROTOCOL", rule.protocol),
    ]
    return _bytes(message, kind, flags, attributes)


def encode_rule_dump(family: int = AF_INET) -> bytes:
    """Return the question for all rules of one family."""
    message = fibmsg()
    message["family"] = family
    return _bytes(message, RTM_GETRULE, NLM_F_DUMP, [])


def encode_link(link: Link) -> bytes:
    """Return RTM_NEWLINK that changes an existing interface; None leaves a value as it is."""
    message = _link_class()()
    message["index"] = link.ifindex
    message["flags"] = IFF_UP if link.is_up else 0
    message["change"] = IFF_UP
    attributes: list[tuple[str, Any]] = [("IFLA_ADDRESS", link.mac), ("IFLA_MTU", link.mtu_bytes)]
    return _bytes(message, RTM_NEWLINK, 0, attributes)


def encode_link_query(ifindex: int) -> bytes:
    """Return the question for one interface."""
    message = _link_class()()
    message["index"] = ifindex
    return _bytes(message, RTM_GETLINK, 0, [])


def decode_route(data: bytes) -> Route:
    """Return the route in an RTM_NEWROUTE message."""
    message = rtmsg(data)
    message.decode()
    prefix_len: int = message["dst_len"]
    is_ipv6 = message["family"] == AF_INET6
    hops = message.get_attr("RTA_MULTIPATH")
    hop = hops[0] if hops else message
    ifindex = hops[0]["oif"] if hops else message.get_attr("RTA_OIF")
    via = hop.get_attr("RTA_VIA")
    return Route(
        message.get_attr("RTA_DST") or ("::" if is_ipv6 else "0.0.0.0"),
        prefix_len,
        via["addr"] if via else hop.get_attr("RTA_GATEWAY"),
        ifindex or 0,
        message.get_attr("RTA_PRIORITY") or 0,
        message.get_attr("RTA_TABLE") or message["table"],
        protocol=message["proto"],
        scope=message["scope"],
        kind=message["type"],
        source=message.get_attr("RTA_PREFSRC") or "",
        is_dead=bool(hop["flags"] & (RTNH_F_DEAD | RTNH_F_LINKDOWN)),
    )


def decode_address(data: bytes) -> Address:
    """Return the address in an RTM_NEWADDR message."""
    message = ifaddrmsg(data)
    message.decode()
    peer = message.get_attr("IFA_ADDRESS") or ""
    local = message.get_attr("IFA_LOCAL") or peer
    broadcast = message.get_attr("IFA_BROADCAST")
    return Address(message["index"], local, message["prefixlen"], broadcast, peer)


def decode_rule(data: bytes) -> Rule:
    """Return the rule in an RTM_NEWRULE message, without what we never set."""
    message = fibmsg(data)
    message.decode()
    selectors = ("FRA_DST", "FRA_IIFNAME", "FRA_OIFNAME", "FRA_FWMARK", "FRA_IP_PROTO")
    is_plain = message["action"] == FR_ACT_TO_TBL and not any(
        message.get_attr(name) for name in selectors
    )
    suppressed = message.get_attr("FRA_SUPPRESS_PREFIXLEN")
    return Rule(
        (message.get_attr("FRA_SRC") or "") if is_plain else "",
        message.get_attr("FRA_TABLE") or message["table"],
        message["src_len"],
        message.get_attr("FRA_PROTOCOL") or 0,
        priority=message.get_attr("FRA_PRIORITY") or 0,
        suppressed_len=None if suppressed in (None, 0xFFFFFFFF) else suppressed,
    )


def decode_link(data: bytes) -> Link:
    """Return the interface in an RTM_NEWLINK message."""
    message = _link_class()(data)
    message.decode()
    return Link(
        message["index"],
        message.get_attr("IFLA_ADDRESS"),
        message.get_attr("IFLA_MTU"),
        bool(message["flags"] & IFF_UP),
    )


def is_in_prefix(address: str, route: Route) -> bool:
    """Tell whether `address` is one of `route`'s destinations (IPv4 or IPv6)."""
    bits = 128 if route.family == AF_INET6 else 32
    shift = bits - route.prefix_len
    one, other = inet_pton(route.family, address), inet_pton(route.family, route.network)
    return int.from_bytes(one, "big") >> shift == int.from_bytes(other, "big") >> shift
