"""What splitting and merging must do, slow and obvious: the oracle for sevpn._offload.

Splitting is written field by field. Merging is not written as rules at all: frames may be
one frame if, and only if, each has the plain form and splitting the joined frame gives
exactly these frames back. Addresses, options, order, sizes and checksums follow from that.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from support.packets import (
    ACK,
    CWR,
    FIN,
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CSUM,
    PSH,
    TCP,
    UDP,
    offload_header,
    ones_sum,
    pseudo_header,
    put,
)

NO_OFFLOAD = bytes(10)
WINDOW_FRAMES = 256
MAX_BLOCK = 1600


class MalformedError(Exception):
    """The TAP read cannot be cut."""


# ---- taking frames apart


class Parts(NamedTuple):
    """A frame of TCP or UDP; every slice is inside the frame."""

    ethernet: bytes
    ip: bytes  # with options or extension headers
    header: bytes
    payload: bytes
    version: int
    protocol: int

    @property
    def l4(self) -> int:
        return len(self.ethernet) + len(self.ip)

    @property
    def addresses(self) -> tuple[bytes, bytes]:
        if self.version == 4:
            return self.ip[12:16], self.ip[16:20]
        return self.ip[8:24], self.ip[24:40]

    def pseudo(self) -> bytes:
        size = len(self.header) + len(self.payload)
        return pseudo_header(*self.addresses, self.protocol, size)


def ethernet_bytes(frame: bytes) -> int | None:
    """Where the payload of Ethernet starts; None = truncated or too many tags."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return at + 2 if at + 2 <= len(frame) and at <= 20 else None


def take_apart(frame: bytes, extensions: tuple[int, ...] = ()) -> Parts | None:
    """None = no TCP or UDP behind at most the named IPv6 headers, or cut off."""
    l3 = ethernet_bytes(frame)
    if l3 is None:
        return None
    ethertype = frame[l3 - 2 : l3]
    rest = frame[l3:]
    if ethertype == b"\x08\x00" and len(rest) >= 20 and rest[0] >> 4 == 4:
        version, ip_bytes, protocol = 4, (rest[0] & 15) * 4, rest[9]
        if ip_bytes < 20:
            return None
    elif ethertype == b"\x86\xdd" and len(rest) >= 40 and rest[0] >> 4 == 6:
        version, ip_bytes, protocol = 6, 40, rest[6]
        while protocol in extensions:
            if len(rest) < ip_bytes + 8:
                return None
            protocol, ip_bytes = rest[ip_bytes], ip_bytes + (rest[ip_bytes + 1] + 1) * 8
    else:
        return None
    transport = rest[ip_bytes:]
    if protocol == TCP and len(transport) >= 20:
        header_bytes = (transport[12] >> 4) * 4
    elif protocol == UDP and len(transport) >= 8:
        header_bytes = 8
    else:
        return None
    if (protocol == TCP and header_bytes < 20) or header_bytes > len(transport):
        return None
    return Parts(
        frame[:l3],
        rest[:ip_bytes],
        transport[:header_bytes],
        transport[header_bytes:],
        version,
        protocol,
    )


# ---- splitting


def split(vnet_frame: bytes) -> list[bytes]:
    """Return the finished frames of one TAP read, or raise MalformedError."""
    if len(vnet_frame) < 10:
        raise MalformedError
    flags, gso, _hdr, size, start, offset = struct.unpack("=BBHHHH", vnet_frame[:10])
    frame, gso = vnet_frame[10:], gso & ~GSO_ECN
    if gso == 0:
        return [finish(frame, flags, start, offset)]

    parts = take_apart(frame, (0, 60, 43))
    if parts is None or size == 0 or len(frame) - parts.l4 > 65535:
        raise MalformedError
    kinds = {(4, TCP): GSO_TCPV4, (6, TCP): GSO_TCPV6, (4, UDP): GSO_UDP_L4, (6, UDP): GSO_UDP_L4}
    field = 16 if parts.protocol == TCP else 6
    if kinds[parts.version, parts.protocol] != gso:
        raise MalformedError
    if parts.version == 4 and int.from_bytes(parts.ip[6:8], "big") & 0x3FFF:
        raise MalformedError
    if flags & NEEDS_CSUM and (start, offset) != (parts.l4, field):
        raise MalformedError
    target = None
    if parts.version == 6 and has_routing(parts.ip):
        if not flags & NEEDS_CSUM:
            raise MalformedError
        target = int.from_bytes(parts.header[field : field + 2], "big")

    pieces = [parts.payload[at : at + size] for at in range(0, len(parts.payload), size)] or [b""]
    if parts.l4 + len(parts.header) + len(pieces[0]) > MAX_BLOCK:
        raise MalformedError
    return [cut(parts, pieces, index, target) for index in range(len(pieces))]


def has_routing(ip: bytes) -> bool:
    number, at = ip[6], 40
    while number in (0, 60, 43):
        if number == 43:
            return True
        number, at = ip[at], at + (ip[at + 1] + 1) * 8
    return False


def finish(frame: bytes, flags: int, start: int, offset: int) -> bytes:
    if not 14 <= len(frame) <= MAX_BLOCK:
        raise MalformedError
    if not flags & NEEDS_CSUM:
        return frame
    if start < 14 or start + offset + 2 > len(frame):
        raise MalformedError
    check = 0xFFFF ^ ones_sum(frame[start:])
    if check == 0 and offset == 6:
        check = 0xFFFF
    return put(frame, start + offset, check)


def cut(parts: Parts, pieces: list[bytes], index: int, partial: int | None) -> bytes:
    """Return segment `index`; `partial` = the kernel's pseudo header sum, if only it knows."""
    piece, header = pieces[index], bytearray(parts.header)
    body_bytes = len(header) + len(piece)
    if parts.version == 4:
        ident = int.from_bytes(parts.ip[4:6], "big") + index
        ip = put(parts.ip, 2, len(parts.ip) + body_bytes)
        ip = put(put(ip, 4, ident % 2**16), 10, 0)
        ip = put(ip, 10, 0xFFFF ^ ones_sum(ip))
    else:
        ip = put(parts.ip, 4, len(parts.ip) - 40 + body_bytes)
    if parts.protocol == TCP:
        field = 16
        seq = int.from_bytes(header[4:8], "big") + sum(map(len, pieces[:index]))
        header[4:8] = (seq % 2**32).to_bytes(4, "big")
        if index < len(pieces) - 1:
            header[13] &= ~(FIN | PSH)
        if index > 0:
            header[13] &= ~CWR
    else:
        field = 6
        header[4:6] = body_bytes.to_bytes(2, "big")
    body = put(bytes(header), field, 0) + piece
    if partial is None:
        pseudo = pseudo_header(*parts.addresses, parts.protocol, body_bytes)
    else:
        whole = len(parts.header) + len(parts.payload)
        pseudo = struct.pack("!HHH", partial, 0xFFFF ^ whole, body_bytes)
    check = 0xFFFF ^ ones_sum(pseudo + body)
    if check == 0 and parts.protocol == UDP:
        check = 0xFFFF
    return parts.ethernet + ip + put(body, field, check)


# ---- merging


def is_plain(frame: bytes, *, tcp: bool, udp: bool) -> Parts | None:
    """Return the parts of a frame whose form may be merged at all."""
    parts = take_apart(frame)
    if parts is None or not parts.payload:
        return None
    if parts.version == 4:
        total = int.from_bytes(parts.ip[2:4], "big")
        if len(parts.ip) != 20 or int.from_bytes(parts.ip[6:8], "big") & ~0x4000:
            return None
    else:
        total = 40 + int.from_bytes(parts.ip[4:6], "big")
    if len(parts.ethernet) + total != len(frame):
        return None
    if parts.protocol == TCP:
        ok = (
            parts.header[13] & ~PSH == ACK
            and not parts.header[12] & 15
            and parts.header[18:20] == b"\0\0"
        )
        return parts if tcp and ok else None
    ok = parts.header[6:8] != b"\0\0" and int.from_bytes(parts.header[4:6], "big") == len(
        parts.header
    ) + len(parts.payload)
    return parts if udp and ok else None


def join(run: list[Parts]) -> tuple[bytes, bytes]:
    """Return the virtio header and the frame that these become."""
    first = run[0]
    payload = b"".join(parts.payload for parts in run)
    if first.protocol == TCP:
        kind, field = (GSO_TCPV4 if first.version == 4 else GSO_TCPV6), 16
        header = first.header[:13] + bytes([run[-1].header[13]]) + first.header[14:]
    else:
        kind, field = GSO_UDP_L4, 6
        header = put(first.header, 4, 8 + len(payload))
    if first.version == 4:
        ip = put(first.ip, 2, 20 + len(header) + len(payload))
        ip = put(ip, 10, 0)
        ip = put(ip, 10, 0xFFFF ^ ones_sum(ip))
    else:
        ip = put(first.ip, 4, len(header) + len(payload))
    whole = first._replace(ip=ip, header=header, payload=payload)
    header = put(header, field, ones_sum(whole.pseudo()))
    hdr = first.l4 + len(header)
    return (
        offload_header(NEEDS_CSUM, kind, len(first.payload), first.l4, field, hdr),
        first.ethernet + ip + header + payload,
    )


def canonical(frame: bytes) -> tuple:
    """What must survive merging: all but the ID of a datagram that must not be fragmented.

    Checksums are compared by being right, since 0 and 0xFFFF are the same number.
    """
    parts = take_apart(frame, (0, 60, 43))
    if parts is None:
        return (frame,)
    ip, header = parts.ip, parts.header
    ip_ok = parts.version == 6 or ones_sum(ip) == 0xFFFF
    transport_ok = ones_sum(parts.pseudo() + header + parts.payload) == 0xFFFF
    if not ip_ok or not transport_ok:
        return (frame,)
    if parts.version == 4:
        if ip[6] & 0x40:
            ip = put(ip, 4, 0)
        ip = put(ip, 10, 0)
    header = put(header, 16 if parts.protocol == TCP else 6, 0)
    return parts.ethernet, ip, header, parts.payload


def may_join(run: list[bytes], *, tcp: bool, udp: bool) -> bool:
    plain = [is_plain(frame, tcp=tcp, udp=udp) for frame in run]
    parts = [one for one in plain if one is not None]
    if len(parts) != len(run):
        return False
    if len(run) > (128 if parts[0].protocol == TCP else 64):
        return False
    if sum(len(one.payload) for one in parts) + parts[0].l4 + len(parts[0].header) > 65535:
        return False
    try:
        again = split(b"".join(join(parts)))
    except MalformedError:
        return False
    return [canonical(frame) for frame in again] == [canonical(frame) for frame in run]


OTHER, BARRIER = "other", "barrier"


def flow_of(frame: bytes) -> object:
    """Return the flow's name, OTHER (disturbs no flow) or BARRIER (may belong to any)."""
    l3 = ethernet_bytes(frame)
    if l3 is None or frame[l3 - 2 : l3] not in (b"\x08\x00", b"\x86\xdd"):
        return OTHER
    ip, version = frame[l3:], 4 if frame[l3 - 2] == 8 else 6
    if len(ip) < (20 if version == 4 else 40) or ip[0] >> 4 != version:
        return BARRIER
    protocol = ip[9] if version == 4 else ip[6]
    if protocol not in (TCP, UDP):
        hides = version == 6 and protocol in (0, 43, 44, 51, 60, 135, 139, 140)
        return BARRIER if hides else OTHER
    if version == 4 and (ip[0] != 0x45 or int.from_bytes(ip[6:8], "big") & 0x3FFF):
        return BARRIER
    header = 20 if version == 4 else 40
    total = int.from_bytes(ip[2:4], "big") if version == 4 else 40 + int.from_bytes(ip[4:6], "big")
    if total > len(ip) or total < header + (20 if protocol == TCP else 8):
        return BARRIER
    addresses = ip[12:20] if version == 4 else ip[8:40]
    return version, protocol, addresses, ip[header : header + 4]


class Ack(NamedTuple):
    """A TCP segment that acknowledges and says nothing else."""

    must_agree: tuple[bytes, ...]  # with the one that replaces it
    number: int
    time: int


def only_ack(frame: bytes) -> Ack | None:
    """None = it is something else, or its checksums are wrong."""
    if flow_of(frame) in (OTHER, BARRIER):
        return None
    l3 = ethernet_bytes(frame) or 0
    total = frame[l3 + 2 : l3 + 4] if frame[l3] >> 4 == 4 else frame[l3 + 4 : l3 + 6]
    size = int.from_bytes(total, "big") + (0 if frame[l3] >> 4 == 4 else 40)
    parts = take_apart(frame[: l3 + size])  # without the padding
    if parts is None or parts.protocol != TCP or parts.payload:
        return None
    header, ip = parts.header, parts.ip
    sums_ok = ones_sum(parts.pseudo() + header) == 0xFFFF
    sums_ok = sums_ok and (parts.version == 6 or ones_sum(ip) == 0xFFFF)
    plain = header[13] == ACK and not header[12] & 15 and header[18:20] == b"\0\0"
    if not plain or not sums_ok or header[20:24] not in (b"", b"\1\1\x08\x0a"):
        return None
    if len(header) not in (20, 32):
        return None
    same = (ip[1:2] + ip[6:9]) if parts.version == 4 else (ip[:4] + ip[7:8])
    return Ack(
        (parts.ethernet, same, header[4:8], header[20:24]),
        int.from_bytes(header[8:12], "big"),
        int.from_bytes(header[24:28], "big"),
    )


def is_after(one: int, other: int) -> bool:
    """Tell whether a number of 32 bits lies behind another (RFC 9293 3.4)."""
    return 0 < (one - other) % 2**32 < 2**31


def supersedes(frame: bytes, older: bytes) -> bool:
    """Tell whether the older acknowledgement says nothing that this one does not."""
    new, old = only_ack(frame), only_ack(older)
    return (
        new is not None
        and old is not None
        and new.must_agree == old.must_agree
        and is_after(new.number, old.number)
        and (new.time == old.time or is_after(new.time, old.time))
    )


def merge(
    frames: list[bytes], *, udp: bool = True, tcp: bool = True, acks: bool = True
) -> list[tuple[bytes, bytes]]:
    """Return the TAP writes (virtio header, frame) for the frames of one read."""
    writes: list[tuple[bytes, bytes]] = []
    for at in range(0, len(frames), WINDOW_FRAMES):
        runs: list[list[bytes]] = []
        newest: dict[object, list[bytes]] = {}  # the last run of each flow
        for frame in frames[at : at + WINDOW_FRAMES]:
            flow = flow_of(frame)
            run = newest.get(flow)
            if run is not None and may_join([*run, frame], tcp=tcp, udp=udp):
                run.append(frame)
                continue
            if run is not None and len(run) == 1 and acks and supersedes(frame, run[0]):
                run[0] = frame
                continue
            if flow == BARRIER:
                newest.clear()
            runs.append([frame])
            if flow not in (OTHER, BARRIER):
                newest[flow] = runs[-1]
        for run in runs:
            parts = [take_apart(frame) for frame in run]
            if len(run) == 1:
                writes.append((NO_OFFLOAD, run[0]))
            else:
                writes.append(join([one for one in parts if one is not None]))
    return writes
