"""Join the TAPs of two network namespaces through sevpn._offload, as two bridges would.

    python -m support.tap_relay NAMESPACE NAMESPACE     (tests/ on the module path)

Makes `tap0` in both, prints "ready", relays until standard input ends, then prints one
JSON line: for each direction what was read, cut, merged and written.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import struct
import sys
from pathlib import Path

from sevpn import _offload
from support import oracle_offload as oracle
from support.packets import ones_sum

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
TAP_NO_PI_VNET_HDR = 0x0002 | 0x1000 | 0x4000
TCP_OFFLOADS, UDP_OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08, 0x20 | 0x40
READS_AT_ONCE = 64
CHECKED_EVERY = 97  # each that many frames is checked by the slow sum


def open_tap(namespace: str) -> tuple[int, bool]:
    """Return the descriptor of a new tap0 in `namespace`, and whether it has USO."""
    with Path("/run/netns", namespace).open("rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tap0", TAP_NO_PI_VNET_HDR))
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 10))
    fcntl.ioctl(fd, TUNSETOFFLOAD, TCP_OFFLOADS)
    try:
        fcntl.ioctl(fd, TUNSETOFFLOAD, TCP_OFFLOADS | UDP_OFFLOADS)
    except OSError:
        return fd, False
    return fd, True


class Direction:
    """One way through the relay."""

    def __init__(self, source: int, target: int, *, udp: bool) -> None:
        self.source, self.target, self.udp = source, target, udp
        self.counts = dict.fromkeys(
            ("reads", "supers", "frames", "writes", "merged", "refused", "malformed", "bad"), 0
        )
        self.largest = {"untagged": 0, "tagged": 0}

    def relay(self) -> None:
        frames: list[bytes] = []
        for _ in range(READS_AT_ONCE):
            try:
                read = os.read(self.source, 65600)
            except BlockingIOError:
                break
            self.counts["reads"] += 1
            self.counts["supers"] += read[1] != 0
            try:
                frames += _offload.split(read)
            except ValueError:
                self.counts["malformed"] += 1
        for frame in frames:
            self.counts["frames"] += 1
            kind = "tagged" if frame[12:14] == b"\x81\x00" else "untagged"
            self.largest[kind] = max(self.largest[kind], len(frame))
            if self.counts["frames"] % CHECKED_EVERY == 0 and not is_right(frame):
                self.counts["bad"] += 1
        for header, frame in _offload.merge(frames, self.udp):
            self.counts["writes"] += 1
            self.counts["merged"] += header[1] != 0
            try:
                os.write(self.target, header + frame)
            except OSError as error:
                # EIO: the other end is not up yet.
                self.counts["refused"] += error.errno != errno.EIO


def is_right(frame: bytes) -> bool:
    parts = oracle.take_apart(frame)
    if parts is None:
        return True
    transport = ones_sum(parts.pseudo() + parts.header + parts.payload)
    return transport == 0xFFFF and (parts.version == 6 or ones_sum(parts.ip) == 0xFFFF)


def main(names: list[str]) -> None:
    (first, uso), (second, _) = map(open_tap, names)
    ways = {
        first: Direction(first, second, udp=uso),
        second: Direction(second, first, udp=uso),
    }
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([0, *ways], [], [])
        if 0 in readable:
            break
        for fd in readable:
            ways[fd].relay()
    report = [way.counts | {"largest": way.largest} for way in ways.values()]
    print(json.dumps({"uso": uso, "ways": report}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
