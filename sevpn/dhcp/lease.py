"""A lease: what a server's OFFER or ACK grants, checked value by value.

Layer 1, pure. The server is hostile until each value has passed: what identifies the
lease (address, server, time) must be right or the reply is refused; any other option
that is not right counts as absent and is named in `Lease.ignored`.
"""

from __future__ import annotations

from sevpn.dhcp import options, routes
from sevpn.dhcp.address import (
    PREFIX_MIN,
    UNSPECIFIED,
    DhcpError,
    broadcast_of,
    classful_prefix,
    format_ip,
    is_host_address,
    mask_prefix,
    network_of,
)
from sevpn.dhcp.domains import decode_domain, decode_search
from sevpn.dhcp.timers import INFINITE_S, LEASE_MIN_S, lease_times

MTU_MIN_BYTES = 576  # RFC 791: what every host must take; less is an attack or a mistake
MTU_MAX_BYTES = 1500  # what a tunnel frame carries: a LAN's larger one is cut to it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from sevpn.dhcp.message import Message

    T = TypeVar("T")


class Lease:
    """What is granted, and until when.

    `routers`, `dns`, `search`, `routes` keep the server's order. `routes` come from
    option 121, else 249; `has_classless` tells that one of them was there. Times are
    seconds from `obtained_at` (the `now` of the REQUEST that was answered), 0xFFFFFFFF =
    for ever. `ignored` holds the codes of options that were malformed or out of range.
    """

    __slots__ = (
        "address",
        "broadcast",
        "dns",
        "domain",
        "has_classless",
        "ignored",
        "lease_s",
        "mtu_bytes",
        "obtained_at",
        "prefix_len",
        "routers",
        "routes",
        "search",
        "server_id",
        "server_mac",
        "t1_s",
        "t2_s",
    )

    def __init__(self, address: str, server_id: str, lease_s: int) -> None:
        self.address = address
        self.server_id = server_id
        self.server_mac = bytes(6)
        self.lease_s = lease_s
        self.t1_s, self.t2_s = lease_times(lease_s, None, None)
        self.obtained_at = 0.0
        self.prefix_len = classful_prefix(address)
        self.broadcast = broadcast_of(address, self.prefix_len)
        self.routers: list[str] = []
        self.dns: list[str] = []
        self.domain = ""
        self.search: list[str] = []
        self.mtu_bytes: int | None = None
        self.routes: list[routes.Route] = []
        self.has_classless = False
        self.ignored: list[int] = []

    def default_gateway(self, *, with_static_routes: bool = True) -> str | None:
        """Return the gateway of 0.0.0.0/0, "0.0.0.0" when that is on-link, else None.

        Where classless routes are used, only theirs counts: option 3 is ignored (RFC 3442). A
        host that does not want them, but the default route, takes theirs or else option 3.
        """
        if self.has_classless:
            for network, prefix_len, gateway in self.routes:
                if prefix_len == 0 and network == UNSPECIFIED:
                    return gateway
            if with_static_routes:
                return None
        return self.routers[0] if self.routers else None

    def expires_at(self) -> float | None:
        """Return the moment the address must no longer be used, None = never."""
        return None if self.lease_s == INFINITE_S else self.obtained_at + self.lease_s

    def is_same_configuration(self, other: Lease) -> bool:
        """Tell whether the host would be set up alike; times and server do not matter."""
        return self._configuration() == other._configuration()

    def _configuration(self) -> tuple[object, ...]:
        return (
            self.address,
            self.prefix_len,
            self.broadcast,
            self.routers,
            self.dns,
            self.domain,
            self.search,
            self.mtu_bytes,
            self.routes,
            self.has_classless,
        )


def build_lease(
    message: Message, server_mac: bytes, now: float, earlier: dict[int, bytes] | None = None
) -> Lease:
    """Return the lease an OFFER or ACK grants.

    `earlier`: the options of the server's message before this one. Some servers answer a
    REQUEST with times alone; when the mask is missing, the network's options are taken
    from there.
    Raises: DhcpError when address, server or lease time are missing or unusable.
    """
    values = message.options
    server_id = options.decode_address(values.get(options.SERVER_ID, b""))
    if server_id is None:
        raise DhcpError("reply without a usable server identifier")
    if not is_host_address(message.your) or message.your == server_id:
        raise DhcpError(f"unusable address {message.your}")
    lease_s = options.decode_number(values.get(options.LEASE_TIME, b""), 4)
    if lease_s is None or lease_s < LEASE_MIN_S:
        raise DhcpError("no lease time, or one that is too short")
    lease = Lease(message.your, server_id, lease_s)
    lease.server_mac = server_mac
    lease.obtained_at = now
    _read_times(lease, values)
    if options.SUBNET_MASK not in values and earlier is not None:
        values = {**earlier, **values}
    _read_network(lease, values)
    edges = (network_of(lease.address, lease.prefix_len), lease.broadcast)
    # /31 and /32 have no such edges: every address in them is a host's.
    if lease.prefix_len < 31 and lease.address in edges:
        raise DhcpError(f"unusable address {lease.address}/{lease.prefix_len}")
    _read_names(lease, values)
    _read_routes(lease, values)
    return lease


def _read(
    lease: Lease, values: dict[int, bytes], code: int, decode: Callable[[bytes], T | None]
) -> T | None:
    """Return an option's decoded value; None when absent, or malformed and so noted."""
    raw = values.get(code)
    if raw is None:
        return None
    decoded = decode(raw)
    if decoded is None:
        lease.ignored.append(code)
    return decoded


def _seconds(value: bytes) -> int | None:
    return options.decode_number(value, 4)


def _mask(value: bytes) -> int | None:
    prefix_len = mask_prefix(value) if len(value) == 4 else None
    return None if prefix_len is None or prefix_len < PREFIX_MIN else prefix_len


def _mtu(value: bytes) -> int | None:
    mtu_bytes = options.decode_number(value, 2)
    if mtu_bytes is None or mtu_bytes < MTU_MIN_BYTES:
        return None
    return min(mtu_bytes, MTU_MAX_BYTES)


def _read_times(lease: Lease, values: dict[int, bytes]) -> None:
    t1_s = _read(lease, values, options.RENEWAL_TIME, _seconds)
    t2_s = _read(lease, values, options.REBINDING_TIME, _seconds)
    lease.t1_s, lease.t2_s = lease_times(lease.lease_s, t1_s, t2_s)


def _read_network(lease: Lease, values: dict[int, bytes]) -> None:
    prefix_len = _read(lease, values, options.SUBNET_MASK, _mask)
    if prefix_len is not None:
        lease.prefix_len = prefix_len
    lease.broadcast = broadcast_of(lease.address, lease.prefix_len)
    # The mask decides; another broadcast address would only break this host's.
    sent = values.get(options.BROADCAST_ADDRESS)
    if sent is not None and (len(sent) != 4 or format_ip(sent) != lease.broadcast):
        lease.ignored.append(options.BROADCAST_ADDRESS)
    lease.mtu_bytes = _read(lease, values, options.INTERFACE_MTU, _mtu)


def _read_names(lease: Lease, values: dict[int, bytes]) -> None:
    lease.dns = _read(lease, values, options.DNS_SERVER, options.decode_addresses) or []
    lease.domain = _read(lease, values, options.DOMAIN_NAME, decode_domain) or ""
    lease.search = _read(lease, values, options.DOMAIN_SEARCH, decode_search) or []


def _read_routes(lease: Lease, values: dict[int, bytes]) -> None:
    found = _read(lease, values, options.ROUTER, options.decode_addresses) or []
    lease.routers = [router for router in found if router != lease.address]
    for code in (options.CLASSLESS_ROUTES, options.CLASSLESS_ROUTES_MICROSOFT):
        classless = _read(lease, values, code, routes.decode_routes)
        if classless is not None:
            lease.routes = classless
            lease.has_classless = True
            return
