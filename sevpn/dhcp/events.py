"""What the DHCP client reports.

Layer 1, pure. Every LeaseObtained is followed by at most one LeaseLost before the next
LeaseObtained; LeaseRenewed comes only between the two.
"""

from sevpn.dhcp.lease import Lease


class LeaseObtained:
    """A server granted `lease`: probe the address (arp.AddressProbe), then use it."""

    __slots__ = ("lease",)

    def __init__(self, lease: Lease) -> None:
        self.lease = lease


class LeaseRenewed:
    """`lease` replaces the one before it; `changed`: the host must be set up again."""

    __slots__ = ("changed", "lease")

    def __init__(self, lease: Lease, changed: bool) -> None:
        self.lease = lease
        self.changed = changed


class LeaseLost:
    """The address must no longer be used; the client is already asking for another.

    `reason` is one line of printable ASCII.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class NoAnswer:
    """Nobody has granted an address for `seconds`; the client goes on asking."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Event = LeaseObtained | LeaseRenewed | LeaseLost | NoAnswer


class Counters:
    """What was received and not used: a hostile or crowded LAN shows here.

    malformed: broken frames and messages; strangers: ACK and NAK of a server that was not
    chosen; refused: replies granting nothing usable; unexpected: of a kind that does
    not fit the state; bad_options: options ignored in leases that were taken.
    """

    __slots__ = ("bad_options", "malformed", "refused", "strangers", "unexpected")

    def __init__(self) -> None:
        self.malformed = self.strangers = self.refused = self.unexpected = self.bad_options = 0
