"""The way up when it is slow: what waits is bounded, and only super-frames pay for it."""

from __future__ import annotations

import contextlib
import select
import threading
import time

import pytest

from sevpn._block import encode_group
from sevpn.dhcp.arp import QUEUE_MAC, build_arp_reply, build_queue_question
from support import packets
from support.bridge_rig import VNET_HEADER, Rig, frame

SEGMENT_BYTES = 1448
SEGMENTS = 20
SUPER_BYTES = SEGMENTS * SEGMENT_BYTES
HEADER = packets.offload_header(packets.NEEDS_CSUM, packets.GSO_TCPV4, SEGMENT_BYTES, 34, 16, 54)
SUPER = HEADER + packets.build(bytes(SUPER_BYTES))
STANDING_S = 0.1  # INTERVAL_MIN_US of _standing.pyx
# A slow start counts as one for OPENING_MIN_US after its rate has last grown.
SETTLED_S = 0.4
QUESTION = build_queue_question("10.0.0.5")
ANSWER = VNET_HEADER + build_arp_reply(bytes(6), "10.0.0.5", QUEUE_MAC, "0.0.0.0")


def crowd(rig: Rig, seconds: float, message: bytes) -> tuple[int, list[bytes]]:
    """Keep the TAP's queue full for a while in front of a peer that reads slowly.

    The host answers questions about itself, by way of that queue. Return how many messages
    went into the TAP and which frames came out.
    """
    sent, got = 0, []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for _ in rig.host_reads():
            with contextlib.suppress(BlockingIOError):
                rig.host.send(ANSWER)
        for _ in range(20):
            try:
                rig.host.send(message)
            except BlockingIOError:
                break
            sent += 1
        rig.run(1)
        got += rig.received()
    return sent, got


def drain(rig: Rig) -> list[bytes]:
    """Return all frames that were still under way."""
    got: list[bytes] = []
    silent = 0
    while silent < 3:
        rig.run(5)
        found = rig.received()
        silent = 0 if found else silent + 1
        got += found
    return got


def test_standing_queue_loses_single_segments() -> None:
    with Rig(vnet=True, socket_bytes=65536) as rig:
        rig.bridge.ask_with(QUESTION)
        sent, got = crowd(rig, SETTLED_S + 12 * STANDING_S, SUPER)
        # The first after 100 ms, then 100, 70, 57, 50, ... ms apart at the least.
        assert 2 <= rig.bridge.statistics()["drops_standing"] <= 48
        got += drain(rig)
        assert len(got) == sent * SEGMENTS - rig.bridge.statistics()["drops_standing"]


def test_a_queue_that_nobody_measures_is_not_judged() -> None:
    with Rig(vnet=True, socket_bytes=65536) as rig:
        crowd(rig, SETTLED_S + 4 * STANDING_S, SUPER)
        assert rig.bridge.statistics()["drops_standing"] == 0


def test_the_answer_goes_no_further() -> None:
    with Rig(vnet=True) as rig:
        rig.bridge.ask_with(QUESTION)
        rig.host.send(ANSWER)
        assert rig.host_sends(frame(1))
        assert drain(rig) == [frame(1)]
        with pytest.raises(ValueError, match="too long"):
            rig.bridge.ask_with(bytes(100))


def test_bursts_are_no_standing_queue() -> None:
    """Longer than the limit in all, but the TAP was empty in between, or idle."""
    with Rig(vnet=True, socket_bytes=65536) as rig:
        rig.bridge.ask_with(QUESTION)
        end_s = time.monotonic() + 3 * STANDING_S
        while time.monotonic() < end_s:
            for _ in range(6):
                rig.host.send(SUPER)
            drain(rig)
        time.sleep(1.5 * STANDING_S)
        for _ in range(6):
            rig.host.send(SUPER)
        drain(rig)
        assert rig.bridge.statistics()["blocked"] > 0
        assert rig.bridge.statistics()["drops_standing"] == 0


def test_single_frames_are_never_chosen() -> None:
    with Rig(vnet=True, socket_bytes=65536) as rig:
        rig.bridge.ask_with(QUESTION)
        sent, got = crowd(rig, SETTLED_S + 3 * STANDING_S, bytes(10) + frame(1, 1500))
        got += drain(rig)
        assert len(got) == sent
        assert rig.bridge.statistics()["drops_standing"] == 0


def test_slow_socket_gets_little_at_once() -> None:
    """Behind a full socket waits about a record, not a whole arena."""
    with Rig(vnet=True, socket_bytes=65536) as rig:
        crowd(rig, 2 * STANDING_S, SUPER)
        assert rig.bridge.is_blocked
        held = rig.bridge.statistics()["bytes_up"] - rig.link.stream.counters()["bytes_out"]
        assert held < 40_000


def test_a_crowd_of_small_frames_is_gathered() -> None:
    with Rig(vnet=True) as rig:
        for count, rests in ((3, 0), (4, 1), (100, 1)):
            before = rig.bridge.statistics()["rests"]
            frames = [frame(n, 60) for n in range(count)]
            for one in frames:
                assert rig.host_sends(one)
            assert drain(rig) == frames
            assert rig.bridge.statistics()["rests"] - before == rests


def test_frames_that_come_one_by_one_are_a_crowd_too() -> None:
    """Eight in a millisecond, each of which found us waiting; fewer are none."""
    with Rig(vnet=True) as rig:
        for _ in range(20):
            assert rig.host_sends(frame(0, 60))
            rig.run(2)
        assert rig.bridge.statistics()["rests"] == 0
        # The bridge runs without the lock of the interpreter, so frames meet it waiting.
        running = threading.Thread(target=rig.run, args=(10_000,))
        running.start()
        sent = 0
        while sent < 5000 and not rig.bridge.statistics()["rests"]:
            sent += rig.host_sends(frame(0, 60))
        rig.wake.register(rig.host, select.EPOLLOUT)  # ends the run
        running.join()
        assert rig.bridge.statistics()["rests"]


def test_full_records_are_not_waited_for() -> None:
    with Rig(vnet=True) as rig:
        for n in range(20):
            assert rig.host_sends(frame(n, 1514))
        assert len(drain(rig)) == 20
        assert rig.bridge.statistics()["rests"] == 0


def test_the_other_way_ends_a_rest() -> None:
    with Rig(vnet=True) as rig:
        for turn in range(50):
            frames = [frame(n, 60) for n in range(8)]
            for one in frames:
                assert rig.host_sends(one)
            rig.send(encode_group([frame(turn, 70)]))
            got: list[bytes] = []
            while len(got) < 8:
                rig.run(5)
                got += rig.received()
            assert got == frames
            assert rig.host_reads() == [frame(turn, 70)]
