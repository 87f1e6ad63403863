"""The bridge over a socket pair in place of the TAP: frames, keepalives, back-pressure, ends."""

from __future__ import annotations

import os
import socket
import struct
import time

import pytest

from sevpn._block import encode_group, encode_keepalive
from sevpn._bridge import (
    FRAMING,
)
from sevpn.io.loop import now_s
from support import packets
from support.bridge_rig import Rig, frame

MAC = b"\x5e\0\0\0\0\1"
OTHER = b"\x5e\0\0\0\0\2"
VARIANTS = [
    pytest.param({"vnet": vnet, "batch": batch}, id=f"{'vnet' if vnet else 'plain'}-{kind}")
    for vnet in (False, True)
    for batch, kind in ((True, "batch"), (False, "single"))
]


def group_sizes(plain: bytes) -> list[int]:
    """Return the count of each group in a tunnel stream without keepalives."""
    sizes, at = [], 0
    while at < len(plain):
        count = int.from_bytes(plain[at : at + 4], "big")
        sizes.append(count)
        at += 4
        for _ in range(count):
            at += 4 + int.from_bytes(plain[at : at + 4], "big")
    assert at == len(plain)
    return sizes


# --- frames both ways ---


@pytest.mark.parametrize("kind", VARIANTS)
def test_frames_down(kind: dict[str, bool]) -> None:
    with Rig(vnet=kind["vnet"], batch=kind["batch"]) as rig:
        frames = [frame(n, size) for n, size in enumerate((14, 42, 60, 1514, 1600))]
        rig.send(encode_group(frames))
        assert rig.run() == 0
        assert rig.host_reads() == frames
        statistics = rig.bridge.statistics()
        assert statistics["frames_down"] == 5
        assert statistics["bytes_down"] == sum(map(len, frames))
        assert statistics["tap_writes"] == 5
        assert statistics["drops_down"] == 0


@pytest.mark.parametrize("kind", VARIANTS)
def test_frames_up(kind: dict[str, bool]) -> None:
    with Rig(vnet=kind["vnet"], batch=kind["batch"]) as rig:
        frames = [frame(n, size) for n, size in enumerate((14, 42, 60, 1514, 1600))]
        for one in frames:
            assert rig.host_sends(one)
        before = rig.link.stream.counters()
        assert rig.run() == 0
        assert rig.received() == frames
        statistics = rig.bridge.statistics()
        assert statistics["frames_up"] == 5
        assert statistics["bytes_up"] == sum(map(len, frames))
        assert statistics["tap_reads"] == 5
        for name in ("send_calls", "records_out"):
            made = rig.link.stream.counters()[name] - before[name]
            assert made == (1 if kind["batch"] else 5), name


@pytest.mark.parametrize("vnet", [False, True])
def test_groups_hold_128_frames_at_most(vnet: bool) -> None:
    with Rig(vnet=vnet) as rig:
        frames = [frame(n) for n in range(300)]
        for one in frames:
            assert rig.host_sends(one)
        rig.run()
        assert group_sizes(rig.link.peer.read()) == [128, 128, 44]


def test_oversized_host_frame_is_dropped() -> None:
    with Rig() as rig:
        rig.host_sends(frame(1, 1601))
        rig.host_sends(frame(2))
        rig.run()
        assert rig.received() == [frame(2)]
        assert rig.bridge.statistics()["drops_up"] == 1


def test_malformed_virtio_read_is_dropped() -> None:
    with Rig(vnet=True) as rig:
        rig.host.send(b"\0" * 5)
        rig.host.send(struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16) + frame(1, 100))
        rig.host_sends(frame(2))
        rig.run()
        assert rig.received() == [frame(2)]
        assert rig.bridge.statistics()["drops_up"] >= 1


def test_super_frame_is_cut() -> None:
    payload = os.urandom(60_000)
    whole = packets.build(payload, flags=packets.ACK)
    header = packets.offload_header(packets.NEEDS_CSUM, packets.GSO_TCPV4, 1448, 34, 16, 54)
    with Rig(vnet=True) as rig:
        rig.host.send(header + whole)
        rig.run()
        frames = rig.received()
        assert len(frames) == -(-60_000 // 1448)
        assert b"".join(one[54:] for one in frames) == payload
        assert rig.bridge.statistics()["tap_reads"] == 1


def test_super_frames_beyond_one_arena() -> None:
    """What finds no room goes into the next group; nothing is lost or repeated."""
    payloads = [os.urandom(64_000) for _ in range(5)]
    header = packets.offload_header(packets.NEEDS_CSUM, packets.GSO_TCPV4, 536, 34, 16, 54)
    with Rig(vnet=True) as rig:
        for payload in payloads:
            rig.host.send(header + packets.build(payload))
        got = b""
        for _ in range(20):
            rig.run(10)
            got += b"".join(one[54:] for one in rig.received())
        assert got == b"".join(payloads)


def test_segments_are_merged_downwards() -> None:
    parts = [bytes([65 + n]) * 1448 for n in range(20)]
    frames = [packets.build(part, seq=1 + 1448 * n) for n, part in enumerate(parts)]
    with Rig(vnet=True) as rig:
        rig.send(encode_group(frames))
        rig.run()
        writes = rig.host_reads()
        assert len(writes) < 20
        assert b"".join(write[54:] for write in writes) == b"".join(parts)
        assert rig.bridge.statistics()["merged_frames"] == 20


def test_full_tap_drops() -> None:
    """As Ethernet: what the TAP does not take is lost and counted, the rest goes on."""
    with Rig() as rig:
        rig.tap.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        rig.send(encode_group([frame(n, 1500) for n in range(50)]))
        rig.run()
        got = rig.host_reads()
        statistics = rig.bridge.statistics()
        assert len(got) == 50 - statistics["drops_down"]
        assert statistics["drops_down"] > 0
        rig.send(encode_group([frame(99)]))
        rig.run()
        assert rig.host_reads() == [frame(99)]


# --- the framing downwards ---


def test_keepalive_in_the_middle() -> None:
    with Rig() as rig:
        rig.send(
            encode_group([frame(1)])
            + encode_keepalive(b"\xff" * 512)
            + encode_keepalive(b"")
            + encode_group([frame(2), frame(3)])
        )
        assert rig.run() == 0
        assert rig.host_reads() == [frame(1), frame(2), frame(3)]


def test_rest_of_the_welcome_is_tunnel() -> None:
    data = encode_keepalive(b"abc") + encode_group([frame(1), frame(2)])
    with Rig(rest=data[:-10]) as rig:
        rig.run()
        assert rig.host_reads() == [frame(1)]
        rig.send(data[-10:])
        rig.run()
        assert rig.host_reads() == [frame(2)]


def test_rest_that_is_too_large() -> None:
    with Rig() as rig:
        with pytest.raises(ValueError, match="too many bytes"):
            rig.bridge.attach(rig.link.stream, bytes(65537))
        rig.bridge.attach(rig.link.stream, bytes(65536))  # groups of no blocks
        assert rig.run() == 0


def test_byte_by_byte() -> None:
    with Rig() as rig:
        data = encode_group([frame(1, 20), frame(2, 14)]) + encode_keepalive(b"xy")
        for at in range(len(data)):
            rig.send(data[at : at + 1])
            rig.run(0)
            rig.run(1)
        assert rig.host_reads() == [frame(1, 20), frame(2, 14)]


def test_blocks_no_frame_can_be_are_skipped() -> None:
    sizes = (0, 13, 1601, 3200)
    with Rig() as rig:
        blocks = [frame(1)] + [bytes(size) for size in sizes] + [frame(2)]
        data = struct.pack(">I", len(blocks))
        for block in blocks:
            data += struct.pack(">I", len(block)) + block
        rig.send(data)
        assert rig.run() == 0
        assert rig.host_reads() == [frame(1), frame(2)]
        assert rig.bridge.statistics()["drops_invalid"] == 4


@pytest.mark.parametrize(
    "bad",
    [struct.pack(">II", 1, 3201), struct.pack(">II", 1, 0xFFFFFFFF), b"\xff" * 4 + b"\0\0\2\1"],
)
def test_broken_framing(bad: bytes) -> None:
    with Rig() as rig:
        rig.send(encode_group([frame(1)]) + bad + encode_group([frame(2)]))
        assert rig.run_until(FRAMING) & FRAMING
        assert frame(2) not in rig.host_reads()


def test_more_than_one_turn_of_frames() -> None:
    """More than the parser's table, the read turn and the socket buffer hold."""
    with Rig() as rig:
        frames = [frame(n, 14 + n % 1500) for n in range(2000)]
        got = []
        for at in range(0, len(frames), 100):
            rig.link.peer.tls.write(encode_group(frames[at : at + 100]))
            rig.link.peer.give()
            rig.run(1)
            got += rig.host_reads()
        for _ in range(10):
            rig.run(1)
            got += rig.host_reads()
        assert got == frames


# --- times and keepalives ---


def test_received_moves_with_complete_items_only() -> None:
    before_s = now_s()
    with Rig() as rig:
        data = encode_group([frame(1)])
        begun_s = rig.bridge.last_received_s
        assert before_s - 0.01 <= begun_s <= now_s() + 0.01  # to the millisecond
        time.sleep(0.01)
        rig.send(data[:-1])
        rig.run(5)
        assert rig.bridge.last_received_s == begun_s
        rig.send(data[-1:])
        rig.run(5)
        after_s = rig.bridge.last_received_s
        assert after_s > begun_s
        time.sleep(0.01)
        rig.send(encode_keepalive(b""))
        rig.run(5)
        assert rig.bridge.last_received_s > after_s


def test_sent_moves_with_frames_up_only() -> None:
    """A pure download must not put keepalives off: the server would close after T."""
    with Rig() as rig:
        begun_s = rig.bridge.last_sent_s
        for number in range(5):
            time.sleep(0.01)
            rig.send(encode_group([frame(number)]))
            rig.run(5)
        assert len(rig.host_reads()) == 5
        assert rig.bridge.last_sent_s == begun_s
        rig.host_sends(frame(9))
        rig.run(5)
        assert rig.bridge.last_sent_s > begun_s


def test_keepalive_up() -> None:
    with Rig() as rig:
        begun_s = rig.bridge.last_sent_s
        time.sleep(0.01)
        assert rig.bridge.keepalive(b"abc")
        assert rig.bridge.last_sent_s > begun_s
        assert rig.bridge.keepalive(bytes(512))
        assert not rig.bridge.keepalive(bytes(513))
        assert rig.link.peer.read() == encode_keepalive(b"abc") + encode_keepalive(bytes(512))


def test_inject() -> None:
    with Rig() as rig:
        assert rig.bridge.inject(frame(1, 342))
        assert not rig.bridge.inject(bytes(1601))
        assert rig.received() == [frame(1, 342)]


def test_without_a_stream() -> None:
    with Rig() as rig:
        rig.bridge.detach()
        rig.bridge.detach()
        assert not rig.bridge.inject(frame(1))
        assert not rig.bridge.keepalive(b"")
        rig.host_sends(frame(1))
        waits = rig.bridge.statistics()["waits"]
        assert rig.run(20) == 0
        assert rig.bridge.statistics()["waits"] - waits < 5


def test_next_stream_goes_on() -> None:
    with Rig() as rig:
        rig.send(encode_group([frame(1)]) + encode_group([frame(2)])[:20])
        rig.host_sends(frame(3))
        rig.run()
        rig.new_link(encode_group([frame(4)]))
        rig.host_sends(frame(5))
        rig.run()
        assert rig.host_reads() == [frame(1), frame(4)]
        assert rig.received() == [frame(5)]
        statistics = rig.bridge.statistics()
        assert statistics["frames_down"] == 2
        assert statistics["frames_up"] == 2
