"""ARP frames, and a machine that finds out whether an address is in use (RFC 5227).

Layer 1, pure.

    Ethernet 14: destination, source, type 0x0806
    ARP 28: 0001 0800 06 04, operation 2, sender MAC 6 and IP 4, target MAC 6 and IP 4
"""

from __future__ import annotations

from struct import Struct

from sevpn.constants import FRAME_MAX_BYTES
from sevpn.dhcp.address import UNSPECIFIED, format_ip, parse_ip
from sevpn.dhcp.frame import BROADCAST_MAC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = 1
REPLY = 2

# RFC 5227 waits 0-1 s, probes three times 1-2 s apart and listens 2 s more: up to 7 s in
# which a VPN that has just connected would be unusable. Its times are for hosts that boot
# and switches that wake up; an answer through a tunnel comes after one round trip.
# Three probes 0.20-0.25 s apart and 0.25 s of listening: 0.65-0.75 s, never over 1 s.
PROBES = 3
PROBE_GAP_S = 0.20
PROBE_JITTER_S = 0.05
LISTEN_S = 0.25

QUEUE_MAC = b"\x06sevpn"

FREE = "free"
CONFLICT = "conflict"

_ETHERTYPE_ARP = b"\x08\x06"
_ETHERNET_IPV4 = b"\x00\x01\x08\x00\x06\x04"
_ARP = Struct(">H6s4s6s4s")
_SIZE = 14 + len(_ETHERNET_IPV4) + _ARP.size


class Arp:
    """One received ARP packet; MACs are 6 bytes, addresses dotted quads."""

    __slots__ = ("operation", "sender", "sender_mac", "target", "target_mac")

    def __init__(
        self, operation: int, sender_mac: bytes, sender: str, target_mac: bytes, target: str
    ) -> None:
        self.operation = operation
        self.sender_mac = sender_mac
        self.sender = sender
        self.target_mac = target_mac
        self.target = target


def parse_arp(frame: bytes) -> Arp | None:
    """Return the ARP request or reply in an Ethernet frame, None for anything else.

    Bytes behind it are Ethernet padding.
    """
    if not _SIZE <= len(frame) <= FRAME_MAX_BYTES or frame[12:14] != _ETHERTYPE_ARP:
        return None
    if frame[14:20] != _ETHERNET_IPV4:
        return None
    operation, sender_mac, sender, target_mac, target = _ARP.unpack_from(frame, 20)
    if operation not in (REQUEST, REPLY):
        return None
    return Arp(operation, sender_mac, format_ip(sender), target_mac, format_ip(target))


def _build(
    destination: bytes, operation: int, sender: tuple[bytes, str], target: tuple[bytes, str]
) -> bytes:
    body = _ARP.pack(operation, sender[0], parse_ip(sender[1]), target[0], parse_ip(target[1]))
    return destination + sender[0] + _ETHERTYPE_ARP + _ETHERNET_IPV4 + body


def build_arp_request(mac: bytes, sender: str, target: str) -> bytes:
    """Return a broadcast question for `target`'s MAC; sender "0.0.0.0" makes it a probe.

    Raises: DhcpError for text that is no address.
    """
    return _build(BROADCAST_MAC, REQUEST, (mac, sender), (bytes(6), target))


def build_queue_question(address: str) -> bytes:
    """Return a frame that the host itself answers: a probe for its own address.

    The answer goes to a MAC that nobody has (locally administered), and a probe leaves no trace
    among the host's neighbours. Raises: DhcpError.
    """
    return build_arp_request(QUEUE_MAC, UNSPECIFIED, address)


def build_arp_reply(mac: bytes, sender: str, target_mac: bytes, target: str) -> bytes:
    """Return the answer "`sender` is at `mac`" to one host. Raises: DhcpError."""
    return _build(target_mac, REPLY, (mac, sender), (target_mac, target))


def build_arp_announcement(mac: bytes, address: str) -> bytes:
    """Return the broadcast that tells everybody `address` is now at `mac` (RFC 5227 3).

    Hubs, bridges and old neighbour entries learn from it. Send it when the address is
    set, and once more 2 s later. Raises: DhcpError.
    """
    return build_arp_request(mac, address, address)


def is_conflict(arp: Arp, mac: bytes, address: str) -> bool:
    """Tell whether an ARP packet shows another host with `address` (RFC 5227 2.1.1).

    It is one that sends from it, or one that probes for it at the same time as we do. Our
    own packets, which a bridge may bring back, are no conflict.
    """
    if arp.sender_mac == mac:
        return False
    return arp.sender == address or (
        arp.operation == REQUEST and arp.sender == UNSPECIFIED and arp.target == address
    )


class AddressProbe:
    """Finds out whether anybody else has an address, before it is used.

    Drive: `start`, then `receive` each ARP frame, `tick` when `deadline` has come, and
    send `take_frames` after each of them, until `result` is FREE or CONFLICT.
    """

    __slots__ = ("_address", "_deadline", "_frames", "_mac", "_rng", "_sent", "other_mac", "result")

    def __init__(self, mac: bytes, address: str, rng: Callable[[int], bytes]) -> None:
        self._mac = mac
        self._address = address
        self._rng = rng
        self._sent = 0
        self._deadline: float | None = None
        self._frames: list[bytes] = []
        self.result: str | None = None
        self.other_mac: bytes | None = None  # who has the address

    def start(self, now: float) -> None:
        """Send the first probe; a probe that ended may be started again."""
        self._sent = 0
        self.result = self.other_mac = None
        self._probe(now)

    def _probe(self, now: float) -> None:
        self._frames.append(build_arp_request(self._mac, UNSPECIFIED, self._address))
        self._sent += 1
        if self._sent == PROBES:
            self._deadline = now + LISTEN_S
        else:
            self._deadline = now + PROBE_GAP_S + PROBE_JITTER_S * self._rng(1)[0] / 255

    def receive(self, frame: bytes, now: float) -> None:  # noqa: ARG002 - as DhcpClient.receive
        """Judge one Ethernet frame; anything but ARP about our address changes nothing."""
        if self._deadline is None:
            return
        arp = parse_arp(frame)
        if arp is not None and is_conflict(arp, self._mac, self._address):
            self.other_mac = arp.sender_mac
            self._end(CONFLICT)

    def tick(self, now: float) -> None:
        """Send the next probe or end with FREE, if its time has come."""
        if self._deadline is None or now < self._deadline:
            return
        if self._sent < PROBES:
            self._probe(now)
        else:
            self._end(FREE)

    def _end(self, result: str) -> None:
        self.result = result
        self._deadline = None

    def deadline(self) -> float | None:
        """Return when `tick` is due, None before the start and after the end."""
        return self._deadline

    def take_frames(self) -> list[bytes]:
        """Return the Ethernet frames to send, and forget them."""
        frames, self._frames = self._frames, []
        return frames
