"""The bridge: what it copies for the session, back-pressure, and reasons to come back."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time

import pytest

from sevpn import _bridge
from sevpn._block import encode_group
from sevpn._bridge import (
    BROKEN,
    CAPTURE_ARP,
    CAPTURE_DHCP,
    CAPTURED,
    CLOSED,
    FRAMING,
    TAP_LOST,
    WAKE,
)
from sevpn.dhcp.arp import build_arp_request
from sevpn.dhcp.frame import build_udp_frame
from support.bridge_rig import Rig, frame

MAC = b"\x5e\0\0\0\0\1"
OTHER = b"\x5e\0\0\0\0\2"


# --- capture ---


def dhcp_reply(port: int = 68, size: int = 240) -> bytes:
    return build_udp_frame((OTHER, MAC), ("10.0.0.1", "10.0.0.2"), (67, port), bytes(size))


def test_capture() -> None:
    arp = build_arp_request(OTHER, "10.0.0.1", "10.0.0.2")
    others = [dhcp_reply(69), frame(1)]
    with Rig() as rig:
        for mask, wanted in (
            (0, []),
            (CAPTURE_DHCP, [dhcp_reply()]),
            (CAPTURE_ARP, [arp]),
            (CAPTURE_DHCP | CAPTURE_ARP, [arp, dhcp_reply()]),
        ):
            rig.bridge.capture(mask)
            rig.send(encode_group([arp, *others, dhcp_reply()]))
            assert rig.run() == (CAPTURED if wanted else 0)
            assert rig.bridge.captured_frames() == wanted
            assert rig.bridge.captured_frames() == []
            # What is for the session alone would make the kernel answer by ICMP.
            hidden = 1 if mask & CAPTURE_DHCP else 0
            assert len(rig.host_reads()) == 4 - hidden


def test_capture_looks_at_no_malformed_frame() -> None:
    whole = dhcp_reply()
    broken = [
        whole[:41],
        whole[:14] + b"\x4f" + whole[15:50],  # options past the end
        whole[:14] + b"\x65" + whole[15:],  # not version 4
        whole[:20] + b"\x20\0" + whole[22:],  # a fragment
        whole[:23] + b"\x06" + whole[24:],  # TCP
        whole[:14],
        build_arp_request(OTHER, "10.0.0.1", "10.0.0.2")[:41],
    ]
    with Rig() as rig:
        rig.bridge.capture(CAPTURE_DHCP | CAPTURE_ARP)
        rig.send(encode_group(broken))
        assert rig.run() == 0
        assert rig.bridge.captured_frames() == []


def test_flood_of_captured_frames_is_bounded() -> None:
    with Rig() as rig:
        rig.send(encode_group([dhcp_reply()] * 100))
        assert rig.run() == CAPTURED
        frames = rig.bridge.captured_frames()
        assert 0 < len(frames) <= 16
        assert rig.bridge.statistics()["drops_capture"] == 100 - len(frames)


def test_largest_captured_frame() -> None:
    large = dhcp_reply() + bytes(1600 - len(dhcp_reply()))
    with Rig() as rig:
        rig.send(encode_group([large]))
        assert rig.run() == CAPTURED
        assert rig.bridge.captured_frames() == [large]


# --- back-pressure ---


@pytest.mark.parametrize("vnet", [False, True])
def test_peer_that_does_not_read(vnet: bool) -> None:
    """The TAP is no longer read, memory stays, and all that was read arrives later."""
    with Rig(vnet=vnet, socket_bytes=65536) as rig:
        sent: list[bytes] = []
        stalled = 0
        while stalled < 3:
            number = len(sent)
            if rig.host_sends(frame(number, 1500)):
                sent.append(frame(number, 1500))
            else:
                rig.run(1)
                stalled = 0 if rig.host_sends(frame(number, 1500)) else stalled + 1
                if stalled == 0:
                    sent.append(frame(number, 1500))
            assert len(sent) < 50_000
        assert rig.bridge.is_blocked
        statistics = rig.bridge.statistics()
        assert statistics["blocked"] >= 1
        assert statistics["frames_up"] < len(sent)
        held = statistics["bytes_up"] - rig.link.stream.counters()["bytes_out"]
        assert held < 400_000  # the arena and the out buffer, nothing that grows
        waits = statistics["waits"]
        rig.run(30)
        assert rig.bridge.statistics()["waits"] - waits < 5  # waiting costs nothing
        got = []
        for _ in range(50_000):
            got += rig.received()
            rig.run(1)
            if len(got) == len(sent):
                break
        assert got == sent
        assert rig.bridge.inject(frame(0))


def test_items_of_the_session_have_bounded_room() -> None:
    with Rig(socket_bytes=65536) as rig:
        taken = 0
        while rig.bridge.inject(frame(taken, 1500)):
            taken += 1
            assert taken < 20_000
        assert rig.bridge.is_blocked
        assert not rig.bridge.keepalive(b"")
        got = 0
        for _ in range(2000):
            got += len(rig.received())
            rig.run(1)
            if got == taken:
                break
        assert got == taken
        assert rig.bridge.keepalive(b"")


def test_downwards_goes_on_while_blocked() -> None:
    with Rig(socket_bytes=65536) as rig:
        while rig.bridge.inject(frame(0, 1500)):
            pass
        rig.send(encode_group([frame(1)]))
        rig.run()
        assert rig.host_reads() == [frame(1)]


# --- reasons to come back ---


def test_deadline() -> None:
    with Rig() as rig:
        before_s = time.monotonic()
        assert rig.run(30) == 0
        assert 0.025 < time.monotonic() - before_s < 20


def test_wake_and_frames() -> None:
    with Rig() as rig:
        read_fd, write_fd = os.pipe()
        rig.wake.register(read_fd)
        os.write(write_fd, b"x")
        rig.send(encode_group([frame(1)]))
        assert rig.run(1000) == WAKE
        os.read(read_fd, 1)
        assert rig.run() == 0
        assert rig.host_reads() == [frame(1)]
        os.close(read_fd)
        os.close(write_fd)


def test_signal_wakes() -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    try:
        with Rig() as rig:
            # Again and again: the first may come before the bridge waits.
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            assert rig.run(20_000) == WAKE
        assert set(seen) == {signal.SIGALRM}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_clean_end_of_the_stream() -> None:
    with Rig() as rig:
        rig.send(encode_group([frame(1)]))
        rig.link.peer.close_notify()
        assert rig.run_until(CLOSED) == CLOSED
        assert rig.host_reads() == [frame(1)]


def test_ragged_end_behind_data() -> None:
    """The last bytes and the end may come together: one event tells of both."""
    with Rig() as rig:
        rig.send(encode_group([frame(1)]))
        rig.link.peer.sock.close()
        time.sleep(0.01)
        assert rig.run_until(CLOSED, 5) == CLOSED
        assert rig.host_reads() == [frame(1)]


def test_ragged_end_behind_data_while_waiting() -> None:
    with Rig() as rig:
        rig.run(5)
        rig.link.peer.tls.write(encode_group([frame(n, 1500) for n in range(50)]))
        rig.link.peer.give()
        rig.link.peer.sock.close()
        assert rig.run_until(CLOSED, 5) == CLOSED
        assert len(rig.host_reads()) == 50


def test_end_within_an_item() -> None:
    with Rig() as rig:
        rig.send(encode_group([frame(1)])[:30])
        rig.link.peer.sock.close()
        assert rig.run_until(CLOSED, 5) == CLOSED


def test_reset() -> None:
    with Rig() as rig:
        rig.link.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rig.link.peer.sock.close()
        assert rig.run_until(BROKEN, 5) & BROKEN


def test_broken_by_garbage() -> None:
    with Rig() as rig:
        rig.link.peer.sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert rig.run_until(BROKEN, 5) == BROKEN


def test_sending_to_a_closed_peer() -> None:
    with Rig() as rig:
        rig.link.peer.sock.close()
        for number in range(20):
            rig.host_sends(frame(number))
            if rig.run(5) & (CLOSED | BROKEN):
                return
        pytest.fail("the end went unnoticed")


def test_tap_lost() -> None:
    with Rig() as rig:
        rig.host.close()
        assert rig.run_until(TAP_LOST, 5) & TAP_LOST


def test_reasons_are_told_once() -> None:
    with Rig() as rig:
        rig.link.peer.close_notify()
        assert rig.run_until(CLOSED) == CLOSED
        rig.new_link()
        assert rig.run() == 0


def test_bad_arguments() -> None:
    with pytest.raises(OSError, match="epoll_ctl"):
        _bridge.Bridge(-1, False, False)
    with Rig() as rig:
        with pytest.raises(TypeError):
            rig.bridge.attach(None, b"")  # type: ignore[arg-type]
        with pytest.raises(OSError, match="epoll_ctl"):
            rig.bridge.run(10_000, 0)


def test_what_is_no_block_can_be_looked_at() -> None:
    """An HTTP proxy in front of the server answers in the middle of the tunnel."""
    with Rig() as rig:
        rig.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert rig.run_until(FRAMING) & FRAMING
        assert rig.bridge.unparsed == b"HTTP/1.1 400 Bad"
