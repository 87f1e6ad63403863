"""From a DHCP answer to a usable address: lease, conflict check, announcement, gateway.

Layer 3. Joins the pure machines of `dhcp` and `health` and tells the network what to put
into force; frames go in and out as bytes, so a test needs no tunnel.
"""

from sevpn import log
from sevpn.dhcp.arp import (
    CONFLICT,
    AddressProbe,
    build_arp_announcement,
    build_queue_question,
)
from sevpn.dhcp.client import DhcpClient
from sevpn.dhcp.events import LeaseLost, LeaseObtained, LeaseRenewed, NoAnswer
from sevpn.errors import LeaseError
from sevpn.host.ipv4 import is_within
from sevpn.session.health import ANSWERED, SILENT, GatewayWatch
from sevpn.session.network import describe_lease
from sevpn.session.state import CONFIGURING, DEGRADED, READY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn.dhcp.events import Counters
    from sevpn.dhcp.lease import Lease
    from sevpn.session.network import Network

# Policies under which no DHCP server can be reached (protocol.md 5.2).
DHCP_FORBIDDEN_BY = ("FilterIPv4", "DHCPFilter")
ANNOUNCEMENTS = 2  # RFC 5227 2.3: now and 2 s later
ANNOUNCE_GAP_S = 2.0
COMPLAIN_S = 5.0  # dnsmasq pings for 3 s before it offers an address
GIVE_UP_S = 14.0  # with -once: four unanswered questions


def watch_targets(lease: "Lease") -> list[str]:
    """Return the neighbours whose answer proves that traffic flows, the best one first."""
    targets: list[str] = []
    for candidate in (lease.default_gateway(), *lease.routers, lease.server_id):
        if (
            candidate
            and candidate not in ("0.0.0.0", lease.address, *targets)
            and is_within(candidate, 32, lease.address, lease.prefix_len)
        ):
            targets.append(candidate)
    return targets


class LeaseKeeper:
    """Obtains, checks, announces and renews an address, and watches its gateway."""

    __slots__ = (
        "_announce_s",
        "_announcements",
        "_dhcp",
        "_frames",
        "_held",
        "_mac",
        "_network",
        "_once",
        "_pending",
        "_probe",
        "_rng",
        "_watch",
        "policy",
        "renewals",
    )

    def __init__(
        self,
        mac: bytes,
        hostname: str,
        network: "Network",
        once: bool,
        rng: "Callable[[int], bytes]",
    ) -> None:
        self._mac = mac
        self._rng = rng
        self._network = network
        self._once = once  # no DHCP answer ends the session
        self._dhcp = DhcpClient(mac, hostname, rng)
        self._probe: AddressProbe | None = None
        self._pending: Lease | None = None  # obtained, not yet known to be free
        self._watch: GatewayWatch | None = None
        self._held: str | None = None  # the last address we had: asked for, not probed again
        self._announcements = 0
        self._announce_s = 0.0
        self._frames: list[bytes] = []
        self.renewals = 0
        self.policy: dict[str, int] = {}  # of the user, as the server told (protocol.md 5.2)

    @property
    def lease(self) -> "Lease | None":
        """The lease held now."""
        return self._dhcp.lease

    @property
    def ignored_messages(self) -> "Counters":
        """How many DHCP messages were received and not used."""
        return self._dhcp.counters

    def start(self, now_s: float) -> None:
        """Begin for a new session: a fresh DISCOVER, for the same address if there was one."""
        self._forget_address()
        self._dhcp.start(now_s, self._held)

    def release(self, now_s: float) -> None:
        """Give the address back."""
        self._dhcp.release(now_s)
        self._forget_address()

    def doubt(self, now_s: float) -> bool:
        """Ask the gateway at once, if it is known to answer: the way may have changed."""
        if self._watch is None or self._watch.state != ANSWERED:
            return False
        self._watch.ask_now(now_s)
        return True

    @property
    def is_silent(self) -> bool:
        """Tell whether the gateway has stopped to answer."""
        return self._watch is not None and self._watch.state == SILENT

    def deadline_s(self) -> float | None:
        """Return when `tick` is due, None = never."""
        times = [self._dhcp.deadline()]
        if self._probe is not None:
            times.append(self._probe.deadline())
        if self._watch is not None:
            times.append(self._watch.deadline_s())
        if self._announcements:
            times.append(self._announce_s)
        known = [t for t in times if t is not None]
        return min(known) if known else None

    def receive(self, frame: bytes, now_s: float) -> None:
        """Take a captured DHCP or ARP frame."""
        if frame[12:14] == b"\x08\x06":
            if self._probe is not None:
                self._probe.receive(frame, now_s)
            if self._watch is not None:
                self._watch.receive(frame, now_s)
                for text in self._watch.take_warnings():
                    log.warning(text)
        else:
            self._dhcp.receive(frame, now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due. Raises LeaseError when nobody answers and once was asked for."""
        self._dhcp.tick(now_s)
        for event in self._dhcp.take_events():
            self._react(event, now_s)
        if self._probe is not None:
            self._probe.tick(now_s)
            self._frames += self._probe.take_frames()
            self._judge_probe(now_s)
        if self._announcements and now_s >= self._announce_s and self._held is not None:
            self._frames.append(build_arp_announcement(self._mac, self._held))
            self._announcements -= 1
            self._announce_s = now_s + ANNOUNCE_GAP_S
        if self._watch is not None:
            self._watch.tick(now_s)
            self._frames += self._watch.take_frames()
        self._frames += self._dhcp.take_frames()

    def queue_question(self) -> bytes:
        """Return what the host answers by way of the TAP's queue; b"" without an address."""
        return build_queue_question(self._held) if self._held is not None else b""

    def take_frames(self) -> list[bytes]:
        """Return the frames to send, and forget them."""
        frames, self._frames = self._frames, []
        return frames + self._dhcp.take_frames()

    def state(self) -> str:
        """Return CONFIGURING, READY or DEGRADED."""
        lease = self._dhcp.lease
        if lease is None or self._network.applied is not lease:
            return CONFIGURING
        if self._watch is None or self._watch.state == ANSWERED:
            return READY
        return DEGRADED if self._watch.state == SILENT else CONFIGURING

    def _react(self, event: object, now_s: float) -> None:
        if isinstance(event, LeaseObtained):
            log.info(f"lease {describe_lease(event.lease)}")
            if event.lease.address == self._held:
                self._accept(event.lease, now_s)
            else:
                self._pending = event.lease
                self._probe = AddressProbe(self._mac, event.lease.address, self._rng)
                self._probe.start(now_s)
        elif isinstance(event, LeaseRenewed):
            self.renewals += 1
            if self._pending is not None:
                self._pending = event.lease
            elif event.changed:
                log.info(f"lease changed: {describe_lease(event.lease)}")
                self._accept(event.lease, now_s)
            else:
                log.info(f"lease renewed for {event.lease.lease_s} s")
                self._network.renew(event.lease)
        elif isinstance(event, LeaseLost):
            log.warning(f"lease lost: {event.reason}")
            self._forget_address()
            self._network.want(None)
        elif isinstance(event, NoAnswer):
            self._complain(event.seconds)

    def _complain(self, seconds: float) -> None:
        """Say that nobody answers, once it is longer than a slow server takes."""
        message = f"no DHCP answer for {seconds:.0f} s"
        hint = self._dhcp_hint()
        if self._once and seconds >= GIVE_UP_S:
            raise LeaseError(message, hint)
        if seconds >= COMPLAIN_S:
            log.warning(f"{message}: {hint}")

    def _dhcp_hint(self) -> str:
        """Return what to try: the server's policy may leave nothing to try."""
        for name in DHCP_FORBIDDEN_BY:
            if self.policy.get(name):
                return (
                    f"the policy {name} of this user lets no DHCP through: ask the server's "
                    "operator, or use -no-dhcp and set an address by hand"
                )
        hint = "is there a DHCP server in the hub's network? -no-dhcp goes without"
        if self.policy.get("CheckMac"):
            hint += "; a session of ours that was not ended properly blocks this MAC for a while"
        return hint

    def _judge_probe(self, now_s: float) -> None:
        probe, lease = self._probe, self._pending
        if probe is None or lease is None or probe.result is None:
            return
        self._probe = self._pending = None
        if probe.result == CONFLICT:
            other = probe.other_mac.hex(":") if probe.other_mac else "another host"
            log.warning(f"{lease.address} is in use by {other}: declined")
            self._dhcp.decline(now_s)
        else:
            self._accept(lease, now_s)

    def _accept(self, lease: "Lease", now_s: float) -> None:
        """Use an address that is ours: set it, announce it, watch its gateway."""
        self._held = lease.address
        self._network.want(lease)
        self._announcements = ANNOUNCEMENTS
        self._announce_s = now_s
        targets = watch_targets(lease)
        self._watch = GatewayWatch(self._mac, lease.address, targets, now_s) if targets else None

    def _forget_address(self) -> None:
        self._probe = self._pending = self._watch = None
        self._announcements = 0
