"""Examples with the numbers of real traffic; the rules' corners are in tests/property."""

from __future__ import annotations

import struct

import pytest

from sevpn import _offload
from support import oracle_offload as oracle
from support import packets
from support.packets import ACK, CWR, ECE, FIN, PSH, TCP, UDP

MSS = 1448
TIMESTAMP = b"\x01\x01\x08\x0a\0\0\0\1\0\0\0\2"


def fields(header: bytes) -> tuple[int, ...]:
    return struct.unpack("=BBHHHH", header)


def stream(count: int, size: int = MSS, **further: int | bytes) -> list[bytes]:
    """Return the segments of one download, as Linux sends them."""
    return [
        packets.build(
            bytes([at & 0xFF]) * size,
            seq=1 + at * size,
            ident=100 + at,
            flags=ACK | (PSH if at == count - 1 else 0),
            options=TIMESTAMP,
            **further,  # type: ignore[arg-type]
        )
        for at in range(count)
    ]


def test_a_download_becomes_writes_of_64_kb() -> None:
    writes = _offload.merge(stream(100))
    assert [len(frame) for _, frame in writes] == [66 + 45 * MSS, 66 + 45 * MSS, 66 + 10 * MSS]
    for header, _ in writes:
        assert fields(header) == (packets.NEEDS_CSUM, packets.GSO_TCPV4, 66, MSS, 34, 16)
    assert writes[0][1][47] == ACK
    assert writes[2][1][47] == ACK | PSH


def test_ipv6_and_udp_have_their_own_kinds() -> None:
    ((header, _),) = _offload.merge(stream(9, 1428, version=6))
    assert fields(header) == (packets.NEEDS_CSUM, packets.GSO_TCPV6, 86, 1428, 54, 16)
    datagrams = [packets.build(bytes(1200), protocol=UDP, ident=at) for at in range(9)]
    ((header, frame),) = _offload.merge(datagrams)
    assert fields(header) == (packets.NEEDS_CSUM, packets.GSO_UDP_L4, 42, 1200, 34, 6)
    assert frame[38:40] == (8 + 9 * 1200).to_bytes(2, "big")


def test_udp_stays_alone_unless_asked() -> None:
    datagrams = [packets.build(bytes(1200), protocol=UDP)] * 3
    assert _offload.merge(datagrams, udp=False) == [(bytes(10), frame) for frame in datagrams]


def test_limits_of_segments() -> None:
    assert [len(frame) - 66 for _, frame in _offload.merge(stream(200, 10))] == [1280, 720]
    datagrams = [packets.build(bytes(10), protocol=UDP)] * 100
    assert [len(frame) - 42 for _, frame in _offload.merge(datagrams)] == [640, 360]


def test_many_frames_are_taken_in_windows() -> None:
    frames = [packets.build(b"x", seq=at + 1, flags=ACK) for at in range(600)]
    writes = _offload.merge(frames)
    assert [len(frame) - 54 for _, frame in writes] == [128, 128, 128, 128, 88]
    again = [frame for header, merged in writes for frame in _offload.split(header + merged)]
    assert list(map(oracle.canonical, again)) == list(map(oracle.canonical, frames))


def test_many_flows_keep_their_order() -> None:
    # More flows than the table has room for: merging may stop, order may not.
    frames = [
        packets.build(bytes([turn]) * 8, seq=1 + turn * 8, ident=turn, ports=(5001, port))
        for turn in range(3)
        for port in range(200)
    ]
    writes = _offload.merge(frames)
    again = [frame for header, merged in writes for frame in _offload.split(header + merged)]
    for port in range(200):
        flow = oracle.flow_of(packets.build(ports=(5001, port)))
        assert [frame for frame in again if oracle.flow_of(frame) == flow] == frames[port::200]


def mix(addresses: bytes, ports: int) -> int:
    """Return what the merger's flow hash has become after these addresses."""
    mixed = (ports + TCP) * 0x9E3779B1
    for at in range(0, len(addresses), 4):
        word = int.from_bytes(addresses[at : at + 4], "big")
        mixed = (mixed ^ word) * 0x85EBCA6B & 0xFFFFFFFF
        mixed ^= mixed >> 15
    return mixed & 0xFFFFFFFF


@pytest.mark.parametrize("size", [4, 16])
def test_flows_of_one_hash_stay_apart(size: int) -> None:
    source, target = b"\1" * size, b"\3" * size
    ports, twin = (5001, 40000), b"\2" * size
    number = ports[0] << 16 | ports[1]
    # The last word of an address can undo any difference before it.
    wanted = mix(source + target[:-4], number) ^ mix(twin + target[:-4], number)
    undone = int.from_bytes(target[-4:], "big") ^ wanted
    flows = (
        {"source": source, "target": target, "ports": ports},
        {"source": twin, "target": target[:-4] + undone.to_bytes(4, "big"), "ports": ports},
        # UDP is 11 more than TCP in the same sum.
        {"source": source, "target": target, "ports": (5001, 40000 - 11), "protocol": UDP},
    )
    frames = [
        packets.build(bytes([at]) * 8, version=4 if size == 4 else 6, seq=1 + at * 8, **flow)
        for at in range(4)
        for flow in flows
    ]
    writes = _offload.merge(frames)
    assert writes == oracle.merge(frames)
    assert len(writes) == 3


def test_a_wrong_checksum_is_left_to_the_kernel() -> None:
    frames = stream(5)
    for bent in (0, 2, 4):
        bad = bytearray(frames[bent])
        bad[-1] ^= 1
        some = [*frames[:bent], bytes(bad), *frames[bent + 1 :]]
        writes = _offload.merge(some)
        assert (bytes(10), bytes(bad)) in writes
        again = [frame for header, merged in writes for frame in _offload.split(header + merged)]
        assert again == some


def test_an_acknowledgement_is_not_overtaken() -> None:
    first, second, third = stream(3)
    pure = packets.build(b"", seq=1 + 2 * MSS, ack=99, options=TIMESTAMP)
    writes = _offload.merge([first, second, pure, third])
    assert [len(frame) for _, frame in writes] == [66 + 2 * MSS, 66, 66 + MSS]


def acks(*numbers: int, **further: int | bytes) -> list[bytes]:
    """Return bare acknowledgements with these numbers."""
    return [packets.build(b"", ack=number, **further) for number in numbers]  # type: ignore[arg-type]


def test_of_a_row_of_acknowledgements_the_last_is_written() -> None:
    row = acks(1000, 2000, 3000)
    assert _offload.merge(row) == [(bytes(10), row[-1])]
    assert [frame for _, frame in _offload.merge(row, acks=False)] == row
    other = acks(5, 6, ports=(80, 81))
    mixed = [row[0], other[0], row[1], other[1], row[2]]
    assert [frame for _, frame in _offload.merge(mixed)] == [row[2], other[1]]
    padded = acks(1000, 2000, padding=b"\0" * 6)
    assert [frame for _, frame in _offload.merge(padded)] == padded[1:]


def test_duplicate_acknowledgements_are_all_written() -> None:
    row = acks(1000, 1000, 1000, 2000)
    assert [frame for _, frame in _offload.merge(row)] == [row[0], row[1], row[3]]


def test_an_acknowledgement_with_a_wrong_checksum_replaces_none() -> None:
    first, second = acks(1000, 2000)
    bad = second[:-1] + bytes([second[-1] ^ 1])
    assert [frame for _, frame in _offload.merge([first, bad])] == [first, bad]


def test_data_between_acknowledgements_keeps_them() -> None:
    row = [*acks(1000), packets.build(b"x" * 8, ack=1500), *acks(2000, seq=9)]
    assert [frame for _, frame in _offload.merge(row)] == row


def test_a_barrier_closes_all_flows_and_other_frames_none() -> None:
    first, second = stream(2)
    arp = b"\xff" * 12 + b"\x08\x06" + bytes(28)
    fragment = packets.build(b"x" * 8, protocol=UDP, fragment=0x2000)
    assert len(_offload.merge([first, arp, second])) == 2
    assert len(_offload.merge([first, fragment, second])) == 3


def super_frame(size: int, gso_size: int = MSS, **further: int) -> bytes:
    """Return a TAP read as a Linux sender with TSO makes it."""
    # Built in two steps because the IPv4 length of build() ends at 64 KB as the kernel's does.
    frame = packets.build(bytes(size), options=TIMESTAMP, **further)  # type: ignore[arg-type]
    frame = packets.put(frame, 34 + 16, packets.ones_sum(bytes(frame[26:34]) + b"\0\6"))
    return packets.offload_header(1, packets.GSO_TCPV4, gso_size, 34, 16, 66) + frame


def test_a_super_frame_becomes_full_frames() -> None:
    frames = _offload.split(super_frame(64000, flags=ACK | PSH | FIN | CWR | ECE, ident=65530))
    assert [len(frame) for frame in frames] == [1514] * 44 + [66 + 64000 - 44 * MSS]
    for at, frame in enumerate(frames):
        parts = oracle.take_apart(frame)
        assert parts is not None
        assert packets.ones_sum(parts.ip) == 0xFFFF
        assert packets.ones_sum(parts.pseudo() + parts.header + parts.payload) == 0xFFFF
        assert int.from_bytes(parts.ip[2:4], "big") == len(frame) - 14
        assert int.from_bytes(parts.ip[4:6], "big") == (65530 + at) % 65536
        assert int.from_bytes(parts.header[4:8], "big") == 1 + at * MSS
        wanted = ACK | ECE | (CWR if at == 0 else 0) | (PSH | FIN if at == len(frames) - 1 else 0)
        assert parts.header[13] == wanted


def test_a_group_of_128_frames_is_not_exceeded() -> None:
    # The Python face calls again with what is left; both limits end a call.
    whole = super_frame(40000, 100)
    frames = _offload.split(whole, out_cap=1 << 17)
    assert len(frames) == 400
    assert frames == _offload.split(whole, out_cap=1000)
    assert _offload.split_bound(whole) >= sum(len(frame) + 4 for frame in frames)


def test_a_udp_checksum_of_zero_is_written_as_ones() -> None:
    frame = packets.build(b"\0\0", protocol=UDP)
    parts = oracle.take_apart(frame)
    assert parts is not None
    # Choose the payload so that the sum is 0xFFFF.
    bare = packets.put(frame, 40, packets.ones_sum(parts.pseudo()))
    bare = bare[:42] + struct.pack("!H", 0xFFFF ^ packets.ones_sum(bare[34:]))
    (finished,) = _offload.split(packets.offload_header(1, 0, 0, 34, 6) + bare)
    assert finished[40:42] == b"\xff\xff"
    (cut,) = _offload.split(packets.offload_header(1, packets.GSO_UDP_L4, 100, 34, 6) + bare)
    assert cut == finished


@pytest.mark.parametrize(
    "vnet_frame",
    [
        b"",
        bytes(9),
        bytes(10 + 13),
        bytes(10 + 1601),
        super_frame(64000) + bytes(2000),  # longer than any length field says
        packets.offload_header(1, 0, 0, 13, 2) + bytes(60),  # inside the Ethernet header
        packets.offload_header(1, 0, 0, 34, 25) + bytes(60),  # field behind the end
        packets.offload_header(1, 0, 0, 65535, 65535) + bytes(60),
        super_frame(4000, 0),
        super_frame(4000, 1535),  # frames of 1601 bytes
        super_frame(4000).replace(struct.pack("=HH", 34, 16), struct.pack("=HH", 36, 16), 1),
        super_frame(4000).replace(struct.pack("=HH", 34, 16), struct.pack("=HH", 34, 6), 1),
        b"\1\3" + super_frame(4000)[2:],  # UDP fragmentation, never asked for
        b"\1\x21" + super_frame(4000)[2:],  # a tunnel's, never asked for
        b"\1\4" + super_frame(4000)[2:],  # TCPv6 says the header, IPv4 the frame
        super_frame(4000, fragment=0x2000),
        super_frame(4000, protocol=UDP)[:60],
    ],
)
def test_malformed_reads_are_refused(vnet_frame: bytes) -> None:
    with pytest.raises(ValueError, match="malformed"):
        _offload.split(vnet_frame)


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("version", [4, 6])
def test_a_plain_frame_passes_unchanged(version: int, protocol: int) -> None:
    frame = packets.build(b"hello", version=version, protocol=protocol)
    assert _offload.split(bytes(10) + frame) == [frame]
    assert _offload.merge([frame]) == [(bytes(10), frame)]
