"""The bridge with a real TAP and virtio headers, in a network namespace of its own."""

from __future__ import annotations

import os
import select
import socket
import time

import pytest

from sevpn._block import Parser, encode_group
from sevpn._bridge import TAP_LOST, Bridge
from sevpn.io.tap import open_tap
from support import packets
from support.private_netns import ip, ip_json, run_inside
from support.tls_certs import certificates
from support.tls_peer import Link

PEER_MAC = b"\x5e\0\0\0\0\x09"


@pytest.fixture(autouse=True)
def unchanged() -> None:
    """These tests have a namespace of their own: nothing of the lab is needed."""
    certificates()  # made by the parent, which removes them: a forked child would not


class Rig:
    """A TAP with an address, a bridge and the server's end of the tunnel."""

    def __init__(self, *, offload: bool) -> None:
        ip("link", "set", "lo", "up")
        self.tap = open_tap("svb0", offload)
        ip("link", "set", "svb0", "up")
        ip("addr", "add", "10.9.0.1/24", "dev", "svb0")
        ip("neigh", "add", "10.9.0.2", "lladdr", PEER_MAC.hex(":"), "dev", "svb0")
        self.mac = bytes.fromhex(ip_json("link", "show", "svb0")[0]["address"].replace(":", ""))
        self.bridge = Bridge(self.tap.fd, self.tap.vnet_header, self.tap.uso)
        self.link = Link()
        self.link.shake()
        self.bridge.attach(self.link.stream, b"")
        self.wake = select.epoll()
        self.parser = Parser()

    def turn(self) -> list[bytes]:
        assert self.bridge.run(self.wake.fileno(), 10) == 0
        return self.parser.feed(self.link.peer.read())

    def send(self, frames: list[bytes]) -> None:
        self.link.peer.write(encode_group(frames))


def _udp_both_ways(*, offload: bool) -> None:
    rig = Rig(offload=offload)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("10.9.0.1", 4000))
    sock.settimeout(5)
    sock.sendto(b"to the server", ("10.9.0.2", 5000))
    wanted: list[bytes] = []
    for _ in range(100):
        wanted += [one for one in rig.turn() if one[42:] == b"to the server"]
        if wanted:
            break
    (frame,) = wanted
    assert frame[:6] == PEER_MAC
    udp = packets.build(
        b"to the host",
        protocol=packets.UDP,
        macs=rig.mac + PEER_MAC,
        source=bytes([10, 9, 0, 2]),
        target=bytes([10, 9, 0, 1]),
        ports=(5000, 4000),
    )
    rig.send([udp])
    rig.turn()
    assert sock.recv(100) == b"to the host"


@pytest.mark.parametrize("offload", [False, True])
def test_udp_both_ways(offload: bool) -> None:
    run_inside(lambda: _udp_both_ways(offload=offload))


def _super_frames_are_cut() -> None:
    """A TCP socket of the host sends 64 KB at once; the peer is played by hand."""
    rig = Rig(offload=True)
    assert rig.tap.tso
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("10.9.0.2", 80))
    sent = got = 0
    chunk = os.urandom(4_000_000)
    seen: dict[int, bytes] = {}
    ports = (80, 0)
    base = 0
    deadline_s = time.monotonic() + 20
    while got < len(chunk) and time.monotonic() < deadline_s:
        for one in rig.turn():
            if one[12:14] != b"\x08\x00" or one[23] != packets.TCP:
                continue
            flags, seq = one[47], int.from_bytes(one[38:42], "big")
            ports = (80, int.from_bytes(one[34:36], "big"))
            assert len(one) <= 1514
            if flags & packets.SYN:
                base = seq + 1
                _answer(rig, ports, 999, seq + 1, packets.SYN | packets.ACK)
                continue
            offset = 14 + 20 + (one[46] >> 4) * 4
            seen[(seq - base) % 2**32] = one[offset : 14 + int.from_bytes(one[16:18], "big")]
        while seen.get(got):
            got += len(seen.pop(got))
        if got:
            _answer(rig, ports, 1000, (base + got) % 2**32, packets.ACK)
        if base and sent < len(chunk):
            try:
                sent += sock.send(chunk[sent:])
            except BlockingIOError:
                pass
    assert got == len(chunk)
    statistics = rig.bridge.statistics()
    assert statistics["frames_up"] > 2 * statistics["tap_reads"]


def _answer(rig: Rig, ports: tuple[int, int], seq: int, ack: int, flags: int) -> None:
    frame = packets.build(
        b"",
        macs=rig.mac + PEER_MAC,
        source=bytes([10, 9, 0, 2]),
        target=bytes([10, 9, 0, 1]),
        ports=ports,
        seq=seq,
        ack=ack,
        flags=flags,
        window=65535,
        options=b"\x02\x04\x05\xb4\x01\x01\x03\x07"[: 8 if flags & packets.SYN else 0],
    )
    rig.send([frame])


def test_super_frames_are_cut() -> None:
    run_inside(_super_frames_are_cut)


def _tap_is_removed() -> None:
    rig = Rig(offload=True)
    rig.turn()
    ip("link", "del", "svb0")
    reason = 0
    for _ in range(20):
        reason |= rig.bridge.run(rig.wake.fileno(), 10)
        if reason:
            break
    assert reason == TAP_LOST


def test_tap_is_removed() -> None:
    run_inside(_tap_is_removed)
