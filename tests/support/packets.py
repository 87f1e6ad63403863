"""Frames of TCP and UDP with right lengths and checksums, for tests; slow and obvious."""

from __future__ import annotations

import struct

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
NEEDS_CSUM = 1
GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 1, 4, 5, 0x80


def ones_sum(data: bytes) -> int:
    """RFC 1071 over 16-bit words, not complemented."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo_header(source: bytes, target: bytes, protocol: int, size: int) -> bytes:
    return source + target + struct.pack("!II", size, protocol)


def build(
    payload: bytes = b"x",
    *,
    version: int = 4,
    protocol: int = TCP,
    macs: bytes = b"\x5e\0\0\0\0\1\x5e\0\0\0\0\2",
    tags: bytes = b"",
    ip_options: bytes = b"",
    extensions: tuple[tuple[int, bytes], ...] = (),
    source: bytes | None = None,
    target: bytes | None = None,
    ports: tuple[int, int] = (5001, 40000),
    ident: int = 0,
    fragment: int = 0x4000,
    ttl: int = 64,
    tos: int = 0,
    flow_label: int = 0,
    seq: int = 1,
    ack: int = 7,
    flags: int = ACK,
    reserved: int = 0,
    window: int = 500,
    urgent: int = 0,
    options: bytes = b"",
    udp_checksum: int | None = None,
    udp_length_error: int = 0,
    padding: bytes = b"",
) -> bytes:
    """Return an Ethernet frame with right lengths and checksums.

    `tags` are whole VLAN tags, `extensions` pairs of IPv6 header number and 6+8n bytes.
    """
    if protocol == TCP:
        header = struct.pack(
            "!HHIIBBHHH",
            *ports,
            seq % 2**32,
            ack % 2**32,
            (5 + len(options) // 4) << 4 | reserved,
            flags,
            window,
            0,
            urgent,
        )
        header += options
        field = 16
    else:
        header = struct.pack("!HHHH", *ports, 8 + len(payload) + udp_length_error, 0)
        field = 6
    size = 4 if version == 4 else 16
    source = source or bytes([10] * (size - 1) + [1])
    target = target or bytes([10] * (size - 1) + [2])
    body = header + payload
    check = 0xFFFF ^ ones_sum(pseudo_header(source, target, protocol, len(body)) + body)
    if protocol == UDP:
        check = (check or 0xFFFF) if udp_checksum is None else udp_checksum
    body = put(body, field, check)
    if version == 4:
        ip = struct.pack(
            "!BBHHHBBH",
            0x45 + len(ip_options) // 4,
            tos,
            20 + len(ip_options) + len(body),
            ident % 2**16,
            fragment,
            ttl,
            protocol,
            0,
        )
        ip += source + target + ip_options
        ip = put(ip, 10, 0xFFFF ^ ones_sum(ip))
        ethertype = b"\x08\x00"
    else:
        chain, numbers = b"", [number for number, _ in extensions] + [protocol]
        for index, (_, data) in enumerate(extensions):
            chain += bytes([numbers[index + 1], (len(data) + 2) // 8 - 1]) + data
        ip = struct.pack("!IH", 6 << 28 | tos << 20 | flow_label, len(chain) + len(body))
        ip += bytes([numbers[0], ttl]) + source + target + chain
        ethertype = b"\x86\xdd"
    return macs + tags + ethertype + ip + body + padding


def put(data: bytes, at: int, value: int) -> bytes:
    """Return `data` with a 16-bit number written at `at`."""
    return data[:at] + struct.pack("!H", value) + data[at + 2 :]


def offload_header(flags: int, gso: int, size: int, start: int, offset: int, hdr: int = 0) -> bytes:
    return struct.pack("=BBHHHH", flags, gso, hdr, size, start, offset)
