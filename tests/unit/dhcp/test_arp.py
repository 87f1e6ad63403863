"""ARP packets, and the probe of RFC 5227 with virtual time."""

from itertools import pairwise

import pytest

from sevpn.dhcp import arp

MAC = bytes.fromhex("5e0000000001")
OTHER = bytes.fromhex("5e00000000bb")
ADDRESS = "10.0.0.9"


def run(probe: arp.AddressProbe, now: float = 0.0) -> list[tuple[float, bytes]]:
    """Drive a probe to its end; return (time, frame) of what it sent."""
    probe.start(now)
    sent = [(now, frame) for frame in probe.take_frames()]
    while (deadline := probe.deadline()) is not None:
        assert deadline > now
        now = deadline
        probe.tick(now)
        sent += [(now, frame) for frame in probe.take_frames()]
    sent.append((now, b""))
    return sent


def test_request_layout() -> None:
    frame = arp.build_arp_request(MAC, "10.0.0.1", "10.0.0.2")
    assert frame.hex() == (
        "ffffffffffff5e00000000010806" + "0001080006040001"
        "5e00000000010a000001" + "0000000000000a000002"
    )


def test_parse_with_padding() -> None:
    packet = arp.parse_arp(arp.build_arp_reply(MAC, "10.0.0.1", OTHER, "10.0.0.2") + bytes(18))
    assert packet is not None
    assert (packet.operation, packet.sender_mac, packet.sender) == (arp.REPLY, MAC, "10.0.0.1")
    assert (packet.target_mac, packet.target) == (OTHER, "10.0.0.2")


@pytest.mark.parametrize(("at", "value"), [(13, 0), (15, 2), (16, 9), (18, 8), (19, 16), (21, 3)])
def test_other_packets_are_none(at: int, value: int) -> None:
    frame = bytearray(arp.build_arp_request(MAC, "10.0.0.1", "10.0.0.2"))
    assert arp.parse_arp(bytes(frame[:-1])) is None
    frame[at] = value
    assert arp.parse_arp(bytes(frame)) is None


@pytest.mark.parametrize("byte", [0, 128, 255])
def test_silence_means_free_after_three_probes_in_under_a_second(byte: int) -> None:
    probe = arp.AddressProbe(MAC, ADDRESS, lambda size: bytes((byte,)) * size)
    sent = run(probe, 50.0)
    assert probe.result == arp.FREE
    packets = [arp.parse_arp(frame) for _, frame in sent[:-1]]
    assert [(p.sender, p.target, p.sender_mac) for p in packets if p] == [
        ("0.0.0.0", ADDRESS, MAC)
    ] * 3
    gaps = [after - before for (before, _), (after, _) in pairwise(sent)]
    assert all(0.2 <= gap <= 0.2501 for gap in gaps)
    assert sent[-1][0] - 50.0 < 1.0


@pytest.mark.parametrize(
    "frame",
    [
        arp.build_arp_reply(OTHER, ADDRESS, MAC, "0.0.0.0"),
        arp.build_arp_announcement(OTHER, ADDRESS),
        arp.build_arp_request(OTHER, ADDRESS, "10.0.0.1"),
        arp.build_arp_request(OTHER, "0.0.0.0", ADDRESS),  # it probes at the same time
    ],
)
def test_conflicts(frame: bytes) -> None:
    probe = arp.AddressProbe(MAC, ADDRESS, bytes)
    probe.start(0.0)
    probe.receive(frame, 0.1)
    assert (probe.result, probe.other_mac, probe.deadline()) == (arp.CONFLICT, OTHER, None)
    probe.tick(9.0)
    assert probe.result == arp.CONFLICT


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        arp.build_arp_request(MAC, "0.0.0.0", ADDRESS),  # our own, brought back by a bridge
        arp.build_arp_request(OTHER, "10.0.0.1", ADDRESS),  # somebody merely asks
        arp.build_arp_reply(OTHER, "10.0.0.1", MAC, ADDRESS),
        arp.build_arp_request(OTHER, "0.0.0.0", "10.0.0.1"),
    ],
)
def test_no_conflicts(frame: bytes) -> None:
    probe = arp.AddressProbe(MAC, ADDRESS, bytes)
    probe.receive(frame, 0.0)
    probe.start(0.0)
    probe.receive(frame, 0.1)
    assert probe.result is None
