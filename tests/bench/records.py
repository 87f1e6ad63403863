"""How many TLS records carry a MB: counted on the wire, so for any client alike.

A short capture of one TCP connection in the middle of a transfer is put together by
sequence numbers, and the chain of record headers (RFC 8446 5.1: type, version, length) is
followed from the first place at which it holds.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lab.process import LabError, wait_for
from lab.topology import SERVER_IP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.topology import Namespace

_HEADER = b"\x17\x03\x03"  # application data; the only kind in a transfer
_HEADER_BYTES = 5
_RECORD_MAX_BYTES = 16384 + 256
_PROOF = 4  # records that must follow each other before a place is believed
_CAPTURE_BYTES = 48_000_000


def per_mb(server: Namespace, file: Path, *, down: bool, packets: int = 4000) -> float | None:
    """Return TLS records per MB of TLS data; None when the capture shows no such stream.

    To be called while a transfer runs. Units: 1 MB = 10^6 bytes of the TCP stream.
    """
    way = "src" if down else "dst"
    done = server.run(
        *("timeout", "5", "tcpdump", "-n", "-i", "eth0", "-Z", "root", "-B", "65536"),
        *("-s", "0", "-c", str(packets), "-w", str(file)),
        *f"tcp and {way} host {SERVER_IP} and {way} port 443".split(),
        check=False,
    )
    if not file.exists():
        raise LabError(f"tcpdump: {done.stderr}")
    wait_for(file.exists, 2.0, "the capture")
    return count(file.read_bytes()[:_CAPTURE_BYTES])


def count(capture: bytes) -> float | None:
    """Return records per MB of the largest unbroken piece of a stream in a pcap file."""
    best: tuple[int, int] | None = None
    for piece in _pieces(capture):
        found = _walk(piece)
        if found and (best is None or found[1] > best[1]):
            best = found
    return None if best is None else best[0] / best[1] * 1e6


def _segments(capture: bytes) -> Iterator[tuple[tuple[bytes, ...], int, bytes]]:
    """Yield flow, sequence number and payload of the TCP segments (Ethernet, IPv4)."""
    order = "<" if capture[:4] in {b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"} else ">"
    at = 24
    while at + 16 <= len(capture):
        (size,) = struct.unpack_from(order + "I", capture, at + 8)
        frame = capture[at + 16 : at + 16 + size]
        at += 16 + size
        if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        tcp = 14 + (frame[14] & 15) * 4
        # With segmentation offload the length in the IP header may be 0 or short.
        end = 14 + int.from_bytes(frame[16:18], "big")
        end = end if end > tcp else len(frame)
        payload = frame[tcp + (frame[tcp + 12] >> 4) * 4 : end]
        if payload:
            flow = (frame[26:34], frame[tcp : tcp + 4])
            yield flow, int.from_bytes(frame[tcp + 4 : tcp + 8], "big"), payload


def _pieces(capture: bytes) -> Iterator[bytes]:
    """Yield the stretches of each flow's stream that have no gap."""
    open_pieces: dict[tuple[bytes, ...], tuple[int, list[bytes]]] = {}
    for flow, sequence, payload in _segments(capture):
        expected, parts = open_pieces.get(flow, (sequence, []))
        ahead = (sequence - expected) & 0xFFFFFFFF
        if ahead >= 1 << 31:
            continue  # sent again
        if ahead:
            yield b"".join(parts)
            parts = []
        parts.append(payload)
        open_pieces[flow] = ((sequence + len(payload)) & 0xFFFFFFFF, parts)
    for _, parts in open_pieces.values():
        yield b"".join(parts)


def _next(stream: bytes, at: int) -> int | None:
    """Return where the record at `at` ends, None when there is no record."""
    if stream[at : at + 3] != _HEADER or at + _HEADER_BYTES > len(stream):
        return None
    size = int.from_bytes(stream[at + 3 : at + 5], "big")
    return at + _HEADER_BYTES + size if 0 < size <= _RECORD_MAX_BYTES else None


def _walk(stream: bytes) -> tuple[int, int] | None:
    """Return (records, bytes) of the chain of records in a stream, None without one."""
    start = -1
    while True:
        start = stream.find(_HEADER, start + 1)
        if start < 0:
            return None
        at: int | None = start
        for _ in range(_PROOF):
            at = _next(stream, at) if at is not None else None
        if at is not None:
            break
    records, at = 0, start
    while True:
        following = _next(stream, at)
        if following is None or following > len(stream):
            return (records, at - start) if records else None
        records, at = records + 1, following
