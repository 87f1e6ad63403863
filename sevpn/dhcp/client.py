"""The DHCP client: frames and time in, frames and events out (RFC 2131 4.4).

Layer 1, pure. One server's offer is chosen, the first acceptable one; from then on only
that server (its identifier and its MAC) is heard, until REBINDING asks everybody.

    STOPPED --start--> INIT --DISCOVER--> SELECTING --OFFER--> REQUESTING --ACK--> BOUND
                        ^                                        | NAK,              | T1
                        |<---------------------------------------+ no answer         v
                        |<--expiry, NAK-- REBINDING <---T2--- RENEWING --ACK--> BOUND
                        +<--NAK-------------------------------------+
    DECLINE leads to INIT (10 s later), release and stop to STOPPED, from every state.

Differences from RFC 2131, each for a reason: no random wait before the first DISCOVER
(one VPN user starts, not a building after a power cut); retransmission starts at 1 s (see
timers.py); a previous address is asked for by option 50 in DISCOVER instead of
INIT-REBOOT's REQUEST, which costs one round trip but cannot end in a NAK or in silence.
"""

from __future__ import annotations

from sevpn.dhcp import events, options, timers
from sevpn.dhcp import message as msg
from sevpn.dhcp.address import DhcpError, is_host_address
from sevpn.dhcp.compose import Composer
from sevpn.dhcp.frame import BROADCAST_MAC, CLIENT_PORT, Datagram, parse_udp_frame
from sevpn.dhcp.lease import Lease, build_lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    _Handler = Callable[["DhcpClient", msg.Message, bytes, float], None]

STOPPED = "STOPPED"  # not started, or ended: nothing is sent, nothing is due
INIT = "INIT"  # waiting before the next DISCOVER
SELECTING = "SELECTING"
REQUESTING = "REQUESTING"
BOUND = "BOUND"
RENEWING = "RENEWING"
REBINDING = "REBINDING"

TRANSITIONS = {
    STOPPED: (INIT,),
    INIT: (SELECTING, INIT, STOPPED),
    SELECTING: (REQUESTING, INIT, STOPPED),
    REQUESTING: (BOUND, INIT, STOPPED),
    BOUND: (RENEWING, REBINDING, INIT, STOPPED),
    RENEWING: (BOUND, REBINDING, INIT, STOPPED),
    REBINDING: (BOUND, INIT, STOPPED),
}

# After this many unanswered DISCOVERs broadcast replies are asked for: a bridge or relay
# on the way may not deliver unicast to an address nobody has yet.
_UNICAST_TRIES = 2
_FRAMES_MAX = 16  # waiting to be taken; the driver takes them after each call


class DhcpClient:
    """One client on one link.

    Drive: `start`, then `receive` each frame for UDP port 68 and `tick` when `deadline`
    has come; after each call send `take_frames` and act on `take_events`. `now` is a clock
    that never goes back, in seconds; one that counts suspend (CLOCK_BOOTTIME) keeps
    leases right. `rng(n)` returns n random bytes; the transaction id comes from it, so it
    should be unpredictable. `lease` is the one held now, None outside BOUND, RENEWING
    and REBINDING.
    """

    __slots__ = (
        "_compose",
        "_deadline",
        "_events",
        "_failures",
        "_flags",
        "_frames",
        "_mac",
        "_offer",
        "_offered",
        "_rng",
        "_sent",
        "_sent_at",
        "_started_at",
        "_wanted",
        "_xid",
        "counters",
        "lease",
        "state",
    )

    def __init__(self, mac: bytes, hostname: str, rng: Callable[[int], bytes]) -> None:
        self._mac = mac
        self._rng = rng
        self._compose = Composer(mac, hostname)
        self.state = STOPPED
        self.lease: Lease | None = None
        self.counters = events.Counters()
        self._offer: Lease | None = None
        self._offered: dict[int, bytes] = {}  # options of the server's last good message
        self._wanted: str | None = None  # the address to ask for in DISCOVER
        self._xid = 0
        self._flags = 0
        self._sent = 0  # transmissions of the present message
        self._sent_at = 0.0
        self._started_at = 0.0  # of this acquisition, renewal or rebinding
        self._failures = 0  # refusals in a row
        self._deadline: float | None = None
        self._frames: list[bytes] = []
        self._events: list[events.Event] = []

    # --- What the driver calls ---

    def start(self, now: float, previous_address: str | None = None) -> None:
        """Begin to ask for an address, from any state; a lease held is forgotten.

        With `previous_address` the server is asked for that one first.
        """
        self.stop()
        self._failures = 0
        self._started_at = now
        self._wanted = None
        if previous_address is not None and is_host_address(previous_address):
            self._wanted = previous_address
        self._restart(now, 0.0)

    def stop(self) -> None:
        """Forget everything and send nothing. No event."""
        if self.state != STOPPED:
            self._set_state(STOPPED)
        self.lease = self._offer = self._deadline = None

    def release(self, now: float) -> None:
        """Give the address back, if one is held, and stop. No event."""
        if self.lease is not None:
            self._new_transaction()
            self._send(self._compose.release(self._xid, self.lease), now)
        self.stop()

    def decline(self, now: float, reason: str = "address is in use by another host") -> None:
        """Refuse the address that is held: LeaseLost, DISCOVER again after 10 s."""
        if self.lease is None:
            return
        self._new_transaction()
        self._send(self._compose.decline(self._xid, self.lease, reason), now)
        self._wanted = None
        self._lose(now, reason, timers.DECLINE_WAIT_S)

    def deadline(self) -> float | None:
        """Return when `tick` is due, None = never. After `tick(now)` it is above `now`."""
        return self._deadline

    def tick(self, now: float) -> None:
        """Do what is due at `now`: retransmit, renew, rebind, expire, start over."""
        while self._deadline is not None and now >= self._deadline:
            _ON_DEADLINE[self.state](self, now)

    def receive(self, frame: bytes, now: float) -> None:
        """Judge one Ethernet frame. Whatever its bytes are, nothing is raised."""
        expires_at = self.lease.expires_at() if self.lease is not None else None
        if expires_at is not None and now >= expires_at:
            self.tick(now)  # an answer after the end must not revive the lease
        handlers = _ON_MESSAGE.get(self.state)
        if handlers is None:
            return
        try:
            datagram = parse_udp_frame(frame)
            if datagram is None or not self._is_for_us(datagram):
                return
            message = msg.decode_message(datagram.payload)
        except DhcpError:
            self.counters.malformed += 1
            return
        handler = handlers.get(message.kind)
        if handler is None:
            self.counters.unexpected += 1
            return
        try:
            handler(self, message, datagram.source_mac, now)
        except DhcpError:
            self.counters.refused += 1

    def take_frames(self) -> list[bytes]:
        """Return the Ethernet frames to send, and forget them."""
        frames, self._frames = self._frames, []
        return frames

    def take_events(self) -> list[events.Event]:
        """Return what happened, in order, and forget it."""
        found, self._events = self._events, []
        return found

    # --- Helpers ---

    def _set_state(self, state: str) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"DHCP client cannot go from {self.state} to {state}")
        self.state = state

    def _random_byte(self) -> int:
        return self._rng(1)[0]

    def _new_transaction(self) -> None:
        self._xid = int.from_bytes(self._rng(4), "big")
        self._sent = 0

    def _secs(self, now: float) -> int:
        return int(now - self._started_at)

    def _send(self, frame: bytes, now: float) -> None:
        if len(self._frames) >= _FRAMES_MAX:
            del self._frames[0]  # nobody takes them: the newest serves best
        self._frames.append(frame)
        self._sent += 1
        self._sent_at = now

    def _is_for_us(self, datagram: Datagram) -> bool:
        return (
            datagram.destination_port == CLIENT_PORT
            and datagram.destination_mac in (self._mac, BROADCAST_MAC)
            and msg.is_reply_to(datagram.payload, self._xid, self._mac)
        )

    def _is_from(self, lease: Lease | None, message: msg.Message, mac: bytes) -> bool:
        """Tell whether a reply is the chosen server's; a stranger's is counted."""
        server_id = options.decode_address(message.options.get(options.SERVER_ID, b""))
        if lease is not None and server_id == lease.server_id and mac == lease.server_mac:
            return True
        self.counters.strangers += 1
        return False

    # --- Asking ---

    def _restart(self, now: float, delay_s: float) -> None:
        self._set_state(INIT)
        self.lease = self._offer = None
        self._new_transaction()
        self._deadline = now + delay_s
        self.tick(now)

    def _lose(self, now: float, reason: str, delay_s: float = 0.0) -> None:
        self._events.append(events.LeaseLost(reason))
        self._started_at = now
        self._restart(now, delay_s)

    def _discover(self, now: float) -> None:
        """Send a DISCOVER, the first one or one more."""
        if self.state == INIT:
            self._set_state(SELECTING)
        else:
            self._report_silence(now)
        self._flags = msg.FLAG_BROADCAST if self._sent >= _UNICAST_TRIES else 0
        frame = self._compose.discover(self._xid, self._secs(now), self._flags, self._wanted)
        self._send(frame, now)
        self._deadline = now + timers.retry_delay(self._sent, self._random_byte())

    def _report_silence(self, now: float) -> None:
        if self._events and isinstance(self._events[-1], events.NoAnswer):
            del self._events[-1]  # nobody takes them: one is enough
        self._events.append(events.NoAnswer(now - self._started_at))

    def _request(self, now: float) -> None:
        """Send the REQUEST for the chosen offer, the first one or one more."""
        if self._offer is None:
            raise RuntimeError("DHCP client is REQUESTING without an offer")
        if self._sent:
            self._report_silence(now)
        if self._sent == timers.REQUEST_TRIES:
            self._restart(now, 0.0)
            return
        frame = self._compose.select(self._xid, self._secs(now), self._flags, self._offer)
        self._send(frame, now)
        self._deadline = now + timers.retry_delay(self._sent, self._random_byte())

    def _on_offer(self, message: msg.Message, mac: bytes, now: float) -> None:
        self._offer = build_lease(message, mac, now)
        self._offered = message.options
        self._set_state(REQUESTING)
        self._sent = 0
        self._request(now)

    def _on_first_ack(self, message: msg.Message, mac: bytes, _now: float) -> None:
        offer = self._offer
        if not self._is_from(offer, message, mac):
            return
        lease = build_lease(message, mac, self._sent_at, self._offered)
        if offer is None or lease.address != offer.address:
            raise DhcpError("ACK for another address than the one requested")
        self._failures = 0
        self._bind(message, lease)
        self._events.append(events.LeaseObtained(lease))

    def _on_first_nak(self, message: msg.Message, mac: bytes, now: float) -> None:
        if self._is_from(self._offer, message, mac):
            self._wanted = None
            self._failures += 1
            self._restart(now, timers.restart_delay(self._failures, self._random_byte()))

    # --- Holding ---

    def _bind(self, message: msg.Message, lease: Lease) -> None:
        self._set_state(BOUND)
        self._offer = None
        self._offered = message.options if options.SUBNET_MASK in message.options else self._offered
        self.lease = lease
        self._wanted = lease.address
        self.counters.bad_options += len(lease.ignored)
        self._deadline = None
        if lease.lease_s != timers.INFINITE_S:
            # RFC 2131 4.4.5 asks for some fuzz, so that clients of one server spread.
            fuzz_s = min(1.0, lease.t1_s / 50) * self._random_byte() / 255
            self._deadline = lease.obtained_at + lease.t1_s - fuzz_s

    def _on_age(self, now: float) -> None:
        """Renew, rebind or give up, as the lease's age at `now` demands."""
        lease = self.lease
        if lease is None:
            raise RuntimeError("DHCP client holds no lease")
        t2_at = lease.obtained_at + lease.t2_s
        expires_at = lease.obtained_at + lease.lease_s
        if now >= expires_at:
            self._lose(now, "lease expired")
            return
        state, ends_at = (REBINDING, expires_at) if now >= t2_at else (RENEWING, t2_at)
        if self.state != state:
            self._set_state(state)
            self._started_at = now
            self._new_transaction()
        ask = self._compose.rebind if state == REBINDING else self._compose.renew
        self._send(ask(self._xid, self._secs(now), lease), now)
        phase_s = lease.lease_s - lease.t2_s if state == REBINDING else lease.t2_s - lease.t1_s
        wait_s = timers.renewal_delay(ends_at - now, phase_s)
        self._deadline = min(ends_at, now + wait_s)

    def _on_renewal_ack(self, message: msg.Message, mac: bytes, _now: float) -> None:
        """Take a new term from our own server, in REBINDING from any."""
        before = self.lease
        if before is None:
            raise RuntimeError("DHCP client holds no lease")
        if self.state == RENEWING and not self._is_from(before, message, mac):
            return
        # What is missing may be taken from the same server's earlier word only.
        sent = message.options.get(options.SERVER_ID)
        same = sent == self._offered.get(options.SERVER_ID)
        lease = build_lease(message, mac, self._sent_at, self._offered if same else None)
        self._bind(message, lease)
        changed = not lease.is_same_configuration(before)
        self._events.append(events.LeaseRenewed(lease, changed))

    def _on_renewal_nak(self, message: msg.Message, mac: bytes, now: float) -> None:
        if self.state == RENEWING and not self._is_from(self.lease, message, mac):
            return
        text = options.decode_text(message.options.get(options.ERROR_TEXT, b""))
        self._wanted = None
        self._lose(now, "server refused to renew" + (f": {text}" if text else ""))


_ON_DEADLINE = {
    INIT: DhcpClient._discover,
    SELECTING: DhcpClient._discover,
    REQUESTING: DhcpClient._request,
    BOUND: DhcpClient._on_age,
    RENEWING: DhcpClient._on_age,
    REBINDING: DhcpClient._on_age,
}

# Which kind of message means something in which state; anything else is counted.
_ON_MESSAGE: dict[str, dict[int, _Handler]] = {
    SELECTING: {msg.OFFER: DhcpClient._on_offer},
    REQUESTING: {msg.ACK: DhcpClient._on_first_ack, msg.NAK: DhcpClient._on_first_nak},
    RENEWING: {msg.ACK: DhcpClient._on_renewal_ack, msg.NAK: DhcpClient._on_renewal_nak},
    REBINDING: {msg.ACK: DhcpClient._on_renewal_ack, msg.NAK: DhcpClient._on_renewal_nak},
}
