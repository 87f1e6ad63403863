"""Ethernet, IPv4 and UDP around a DHCP message."""

import pytest

from sevpn.dhcp.address import DhcpError
from sevpn.dhcp.frame import build_udp_frame, ones_sum, parse_udp_frame

MACS = (bytes.fromhex("5e0000000001"), bytes.fromhex("5e0000000002"))
FRAME = build_udp_frame(MACS, ("10.0.0.1", "10.0.0.2"), (67, 68), b"hello")


def changed(at: int, value: int, frame: bytes = FRAME) -> bytes:
    return frame[:at] + bytes((value,)) + frame[at + 1 :]


def with_ip_sum(frame: bytes) -> bytes:
    """Set the header checksum anew."""
    end = 14 + (frame[14] & 15) * 4
    bare = frame[:24] + b"\0\0" + frame[26:]
    return bare[:24] + (ones_sum(bare[14:end]) ^ 0xFFFF).to_bytes(2, "big") + bare[26:]


def test_rfc_1071_sum() -> None:
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2  # RFC 1071 3
    assert ones_sum(b"\x01") == 0x0100


def test_layout() -> None:
    assert FRAME[:14].hex() == "5e0000000002" + "5e0000000001" + "0800"
    assert FRAME[14:24].hex() == "4500002100004000" + "4011"
    assert ones_sum(FRAME[14:34]) == 0xFFFF
    assert FRAME[34:40].hex() == "00430044000d"
    assert ones_sum(FRAME[26:34] + bytes((0, 17, 0, 13)) + FRAME[34:]) == 0xFFFF


def test_parsed_back_also_with_ethernet_padding() -> None:
    for frame in (FRAME, FRAME + bytes(13)):
        datagram = parse_udp_frame(frame)
        assert datagram is not None
        assert (datagram.source_mac, datagram.destination_mac) == MACS
        assert (datagram.source, datagram.destination) == ("10.0.0.1", "10.0.0.2")
        assert (datagram.source_port, datagram.destination_port) == (67, 68)
        assert datagram.payload == b"hello"


def test_a_sum_of_zero_is_sent_as_ffff() -> None:
    for word in range(0x10000):
        frame = build_udp_frame(MACS, ("10.0.0.1", "10.0.0.2"), (67, 68), word.to_bytes(2, "big"))
        assert frame[40:42] != b"\0\0"
        if frame[40:42] == b"\xff\xff":
            assert parse_udp_frame(frame) is not None
            return
    pytest.fail("no payload gave the sum zero")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        FRAME[:41],
        changed(13, 6),  # ARP
        FRAME[:12] + b"\x81\x00\x00\x05" + FRAME[12:],  # VLAN tag
        changed(14, 0x65),  # version 6
        changed(23, 6),  # TCP
        changed(20, 0x20),  # more fragments follow
        changed(21, 1),  # a later fragment
        FRAME + bytes(1600),
    ],
)
def test_what_is_not_a_whole_datagram_is_none(frame: bytes) -> None:
    assert parse_udp_frame(frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        changed(14, 0x44),  # header of 16 bytes
        changed(14, 0x4F),  # options past the end
        changed(17, 27),  # total below both headers
        changed(17, 34),  # total past the frame
        changed(22, 63),  # header checksum
        changed(39, 7),  # UDP length below its header
        changed(39, 14),  # UDP length past the datagram
        changed(46, 0),  # UDP checksum
    ],
)
def test_what_is_broken_is_an_error(frame: bytes) -> None:
    with pytest.raises(DhcpError):
        parse_udp_frame(frame)


def test_udp_checksum_zero_means_none() -> None:
    datagram = parse_udp_frame(FRAME[:40] + b"\0\0" + FRAME[42:])
    assert datagram is not None
    assert datagram.payload == b"hello"


def test_a_checksum_left_to_absent_hardware_is_accepted() -> None:
    partial = ones_sum(FRAME[26:34] + bytes((0, 17, 0, 13))).to_bytes(2, "big")
    assert parse_udp_frame(FRAME[:40] + partial + FRAME[42:]) is not None


def test_ip_options_are_skipped() -> None:
    longer = FRAME[:14] + b"\x46" + FRAME[15:17] + bytes((FRAME[17] + 4,)) + FRAME[18:34]
    frame = with_ip_sum(longer + b"\x01\x01\x01\x00" + FRAME[34:])
    datagram = parse_udp_frame(frame)
    assert datagram is not None
    assert datagram.payload == b"hello"


def test_a_payload_larger_than_a_frame_is_refused() -> None:
    with pytest.raises(DhcpError):
        build_udp_frame(MACS, ("10.0.0.1", "10.0.0.2"), (67, 68), bytes(1473))
