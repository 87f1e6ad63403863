"""Any traffic, however odd: split and merge do what their slow twin does.

The traffic is made of a few flows whose frames would all merge, each frame then bent in
one place or none: what a merger must notice is named in BENDS.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sevpn import _offload
from support import oracle_offload as oracle
from support import packets
from support.packets import ACK, CWR, ECE, FIN, PSH, RST, SYN, TCP, UDP, URG

TIMESTAMP = b"\x01\x01\x08\x0a\0\0\0\1\0\0\0\2"
LATER = b"\x01\x01\x08\x0a\0\0\0\1\0\0\0\3"
SACK = b"\x01\x01\x05\x0a\0\0\0\1\0\0\0\2"
TAG = b"\x81\x00\x00\x05"
OTHER_TAG = b"\x81\x00\x00\x06"
SERVICE_TAG = b"\x88\xa8\x00\x07"

# What one frame has that its neighbours have not.
BENDS: tuple[dict[str, Any], ...] = (
    *({"flags": flags} for flags in (0, ACK | FIN, ACK | SYN, RST, ACK | URG, ACK | ECE)),
    {"flags": ACK | CWR},
    {"flags": PSH},
    {"flags": ACK | PSH},
    {"reserved": 1},
    {"urgent": 1},
    {"window": 0},
    {"window": 501},
    {"ack": 8},
    {"options": TIMESTAMP},
    {"options": LATER},
    {"options": SACK},
    {"options": b"\x01\x01\x01\x00"},
    {"tos": 1},
    {"tos": 3},
    {"ttl": 63},
    {"fragment": 0},
    {"fragment": 0x2000},
    {"fragment": 0x4001},
    {"fragment": 0x8000},
    {"ident_skip": 1},
    {"seq_skip": 1},
    {"seq_skip": -1},
    {"flow_label": 1},
    {"ip_options": b"\x01\x01\x01\x00"},
    {"extensions": ((0, b"\x01\x04\0\0\0\0"),)},
    {"extensions": ((44, b"\0\0\0\0\0\1"),)},
    {"macs": b"\x5e\0\0\0\0\1\x5e\0\0\0\0\3"},
    {"tags": TAG},
    {"tags": OTHER_TAG},
    {"tags": SERVICE_TAG + TAG},
    {"tags": SERVICE_TAG + SERVICE_TAG + TAG},
    {"padding": b"\0" * 6},
    {"ports": (5001, 40001)},
    {"source": b"look-alike-source"},
    {"udp_checksum": 0},
    {"udp_checksum": 1},
    {"udp_length_error": -1},
    {"payload": b""},
)
ACK_BENDS: tuple[dict[str, Any], ...] = (
    {"options": b"\x01\x01\x08\x0a\0\0\0\0\0\0\0\2"},
    {"options": b"\x01\x01\x08\x0a\xff\0\0\0\0\0\0\2"},
    {"options": b"\x08\x0a\0\0\0\1\0\0\0\2\x01\x01"},
    {"options": TIMESTAMP + b"\x01\x01\x05\x0a" + bytes(8)},
    {"options": b"\x01\x01\x01\x00"},
    {"options": b""},
)
FLIPS = st.tuples(st.integers(0, 90), st.integers(1, 255))
FLOW = st.fixed_dictionaries(
    {
        "version": st.sampled_from([4, 6]),
        "protocol": st.sampled_from([TCP, TCP, UDP]),
        "ports": st.sampled_from([(5001, 40000), (5001, 40001)]),
        "fragment": st.sampled_from([0x4000, 0]),
        "tags": st.sampled_from([b"", b"", TAG]),
        "options": st.sampled_from([b"", TIMESTAMP]),
        "ident_step": st.sampled_from([1, 1, 0]),
        "seq": st.sampled_from([1, 2**32 - 20]),
        "ident": st.sampled_from([0, 2**16 - 2]),
    }
)
SEGMENT = st.tuples(
    st.integers(0, 2),  # which flow
    st.sampled_from([8, 8, 8, 8, 3, 13]),  # payload bytes
    st.none() | st.none() | st.none() | st.sampled_from(BENDS) | FLIPS,
)


ACK_SEGMENT = st.tuples(
    st.integers(0, 1),
    st.sampled_from([0, 0, 0, 0, 0, 8]),
    st.none() | st.none() | st.none() | st.sampled_from(BENDS + ACK_BENDS) | FLIPS,
    st.sampled_from([1, 1, 1460, 2**31 - 1, 2**31, 0, -1]),  # what more it acknowledges
)


def traffic(flows: list[dict[str, Any]], segments: list[Any]) -> list[bytes]:
    states = [dict(flow) for flow in flows]
    frames: list[bytes] = []
    for which, size, bend, *step in segments:
        state = states[which % len(states)]
        state["ack"] = state.get("ack", 7) + (step[0] if step else 0)
        fields = {key: value for key, value in state.items() if key != "ident_step"}
        fields["payload"] = bytes((len(frames) * 7 + at) & 0xFF for at in range(size))
        if isinstance(bend, dict):
            fields |= {key: value for key, value in bend.items() if not key.endswith("_skip")}
            state["ident"] += bend.get("ident_skip", 0)
            state["seq"] += bend.get("seq_skip", 0)
            if "source" in bend:
                fields["source"] = bend["source"][-4 if fields["version"] == 4 else -16 :]
            fields |= {key: state[key] for key in ("ident", "seq")}
        if fields["protocol"] == UDP:
            fields["options"] = b""
        frame = packets.build(**fields)
        if isinstance(bend, tuple):
            at = bend[0] % len(frame)
            frame = frame[:at] + bytes([frame[at] ^ bend[1]]) + frame[at + 1 :]
        frames.append(frame)
        state["seq"] += len(fields["payload"])
        state["ident"] += state.get("ident_step", 0)
    return frames


@given(
    st.lists(FLOW, min_size=1, max_size=3),
    st.lists(SEGMENT, max_size=24),
    st.booleans(),
    st.booleans(),
)
def test_merge_is_the_oracle(
    flows: list[dict[str, Any]], segments: list[Any], tcp: bool, udp: bool
) -> None:
    frames = traffic(flows, segments)
    writes = _offload.merge(frames, udp or not tcp, tcp)
    assert writes == oracle.merge(frames, udp=udp or not tcp, tcp=tcp)
    check_nothing_changed(frames, writes)


def check_nothing_changed(frames: list[bytes], writes: list[tuple[bytes, bytes]]) -> None:
    """Splitting gives the frames back, and each flow keeps its order."""
    again = [frame for header, merged in writes for frame in _offload.split(header + merged)]
    for flow in {oracle.flow_of(frame) for frame in frames}:
        assert [oracle.canonical(frame) for frame in again if oracle.flow_of(frame) == flow] == [
            oracle.canonical(frame) for frame in frames if oracle.flow_of(frame) == flow
        ]
    assert len(again) == len(frames)


@given(st.lists(FLOW, min_size=1, max_size=2), st.lists(ACK_SEGMENT, max_size=24), st.booleans())
def test_acknowledgements_are_the_oracle(
    flows: list[dict[str, Any]], segments: list[Any], acks: bool
) -> None:
    frames = traffic(flows, segments)
    writes = _offload.merge(frames, acks=acks)
    assert writes == oracle.merge(frames, acks=acks)
    if not acks:
        check_nothing_changed(frames, writes)
    check_nothing_unsaid(frames, writes)


def check_nothing_unsaid(frames: list[bytes], writes: list[tuple[bytes, bytes]]) -> None:
    """Each flow's frames come in their order; what is missing, the next one says as well."""
    again = [frame for header, merged in writes for frame in _offload.split(header + merged)]
    for flow in {oracle.flow_of(frame) for frame in frames}:
        written = [oracle.canonical(frame) for frame in again if oracle.flow_of(frame) == flow]
        missing: list[bytes] = []
        for frame in (frame for frame in frames if oracle.flow_of(frame) == flow):
            if not written or written[0] != oracle.canonical(frame):
                missing.append(frame)
                continue
            del written[0]
            for older in missing:
                new, old = oracle.only_ack(frame), oracle.only_ack(older)
                assert new is not None
                assert old is not None
                assert oracle.is_after(new.number, old.number) or len(missing) > 1
                assert new.must_agree == old.must_agree
            missing.clear()
        assert not missing
        assert not written


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("options", [b"", TIMESTAMP], ids=["bare", "timestamps"])
@pytest.mark.parametrize("bend", BENDS + ACK_BENDS, ids=str)
def test_each_bend_of_an_acknowledgement(
    version: int, options: bytes, bend: dict[str, Any]
) -> None:
    flow = {"version": version, "protocol": TCP, "options": options, "seq": 1, "ident": 9}
    straight = [(0, 0, None, 1)] * 3
    for segments in ([*straight, (0, 0, bend, 1), *straight], [(0, 0, bend, 1)] * 5):
        frames = traffic([flow], segments)
        writes = _offload.merge(frames)
        assert writes == oracle.merge(frames)
        check_nothing_unsaid(frames, writes)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("which", [0, 1, 3])
def test_each_byte_of_an_acknowledgement(version: int, which: int) -> None:
    flow = {"version": version, "protocol": TCP, "seq": 1, "ident": 9, "options": TIMESTAMP}
    straight = traffic([flow], [(0, 0, None, 1)] * 4)
    for at in range(len(straight[which])):
        for value in (1, 0x80, 0xFF):
            bent = bytearray(straight[which])
            bent[at] ^= value
            frames = [*straight[:which], bytes(bent), *straight[which + 1 :]]
            assert _offload.merge(frames) == oracle.merge(frames)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("options", [b"", TIMESTAMP], ids=["bare", "timestamps"])
@pytest.mark.parametrize("bend", BENDS, ids=str)
def test_each_bend(version: int, protocol: int, options: bytes, bend: dict[str, Any]) -> None:
    # Eleven frames that would be one write: the sixth is bent, or all are.
    flow = {"version": version, "protocol": protocol, "options": options}
    flow |= {"seq": 1, "ident": 9, "ident_step": 1}
    straight = [(0, 8, None)] * 5
    for segments in ([*straight, (0, 8, bend), *straight], [(0, 8, bend)] * 11):
        frames = traffic([flow], segments)
        writes = _offload.merge(frames)
        assert writes == oracle.merge(frames)
        check_nothing_changed(frames, writes)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("which", [0, 2])
def test_each_byte_alone(version: int, protocol: int, which: int) -> None:
    # Checksums are not mended, so a changed byte in what they cover must show by them alone.
    flow = {"version": version, "protocol": protocol, "seq": 1, "ident": 9, "ident_step": 1}
    straight = traffic([flow], [(0, 8, None)] * 4)
    for at in range(len(straight[which])):
        for value in (1, 0x80, 0xFF):
            bent = bytearray(straight[which])
            bent[at] ^= value
            frames = [*straight[:which], bytes(bent), *straight[which + 1 :]]
            writes = _offload.merge(frames)
            assert writes == oracle.merge(frames)
            check_nothing_changed(frames, writes)


@given(st.lists(st.binary(max_size=120), max_size=6))
def test_merge_takes_any_bytes(frames: list[bytes]) -> None:
    assert _offload.merge(frames) == oracle.merge(frames)


TAILS = st.tuples(st.integers(0, 110), st.binary(max_size=6))


@given(FLOW, st.lists(TAILS, max_size=3))
def test_merge_takes_damaged_frames(flow: dict[str, Any], damages: list[tuple[int, bytes]]) -> None:
    frames = traffic([flow], [(0, 8, None)] * 6)
    for at, (offset, data) in enumerate(damages):
        frame = frames[at * 2]
        frames[at * 2] = frame[:offset] + data + frame[offset + len(data) + at :]
    assert _offload.merge(frames) == oracle.merge(frames)


EXTENSIONS = st.sampled_from(
    [
        (),
        ((0, b"\x01\x04\0\0\0\0"),),
        ((60, b"\x01\x0c" + bytes(12)), (43, b"\x02\x01" + bytes(20))),
    ]
)


@st.composite
def super_frames(draw: st.DrawFn) -> bytes:
    """Return a TAP read as Linux makes it: one large frame and a partial checksum."""
    protocol = draw(st.sampled_from([TCP, UDP]))
    version = draw(st.sampled_from([4, 6]))
    size = draw(st.integers(1, 40))
    frame = packets.build(
        draw(st.binary(min_size=1, max_size=200)),
        version=version,
        protocol=protocol,
        tags=draw(st.sampled_from([b"", TAG, SERVICE_TAG + TAG])),
        flags=draw(st.sampled_from([ACK, ACK | PSH, ACK | FIN | PSH, ACK | CWR | ECE, ACK | URG])),
        options=draw(st.sampled_from([b"", TIMESTAMP])) if protocol == TCP else b"",
        ip_options=draw(st.sampled_from([b"", b"\x01\x01\x01\x00"])) if version == 4 else b"",
        extensions=draw(EXTENSIONS) if version == 6 else (),
        seq=draw(st.sampled_from([1, 2**32 - 30])),
        ident=draw(st.sampled_from([0, 2**16 - 2])),
        fragment=draw(st.sampled_from([0, 0x4000])),
    )
    parts = oracle.take_apart(frame, (0, 43, 60))
    assert parts is not None
    field = 16 if protocol == TCP else 6
    frame = packets.put(frame, parts.l4 + field, packets.ones_sum(parts.pseudo()))
    kind = packets.GSO_UDP_L4
    if protocol == TCP:
        kind = packets.GSO_TCPV4 if version == 4 else packets.GSO_TCPV6
        kind |= draw(st.sampled_from([0, packets.GSO_ECN]))
    if draw(st.booleans()) and len(frame) <= oracle.MAX_BLOCK:
        kind = 0
    # hdr_len is the kernel's whim.
    hdr = draw(st.sampled_from([0, 14, len(frame), 65535]))
    return packets.offload_header(packets.NEEDS_CSUM, kind, size, parts.l4, field, hdr) + frame


def split_or_none(vnet_frame: bytes, **limits: int) -> list[bytes] | None:
    try:
        return _offload.split(vnet_frame, **limits)
    except ValueError:
        return None


def expected_split(vnet_frame: bytes) -> list[bytes] | None:
    try:
        return oracle.split(vnet_frame)
    except oracle.MalformedError:
        return None


@given(super_frames(), st.integers(1, 5))
def test_split_is_the_oracle(vnet_frame: bytes, max_frames: int) -> None:
    frames = _offload.split(vnet_frame)
    assert frames == oracle.split(vnet_frame)
    written = sum(len(frame) + 4 for frame in frames)
    assert written <= _offload.split_bound(vnet_frame)
    for frame in frames:
        parts = oracle.take_apart(frame, (0, 43, 60))
        assert parts is not None
        if parts.version == 4 or not oracle.has_routing(parts.ip):
            assert packets.ones_sum(parts.pseudo() + parts.header + parts.payload) == 0xFFFF
    # Cut in several calls, it is the same.
    largest = max(map(len, frames)) + 4
    assert _offload.split(vnet_frame, max_frames=max_frames) == frames
    assert _offload.split(vnet_frame, out_cap=largest) == frames
    assert split_or_none(vnet_frame, out_cap=len(frames[0]) + 3) is None


@given(super_frames(), st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4))
@example(bytes(10) + bytes(13), [])
@example(bytes(10) + bytes(1600), [])
@example(bytes(10) + bytes(1601), [])
def test_split_takes_damaged_reads(vnet_frame: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(vnet_frame)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    for read in (bytes(damaged), bytes(damaged[: sum(damaged) % len(damaged)])):
        frames = split_or_none(read, out_cap=1 << 20)
        assert frames == expected_split(read)
        if frames is not None:
            assert sum(len(frame) + 4 for frame in frames) <= _offload.split_bound(read)


@given(st.binary(max_size=200))
def test_split_takes_any_bytes(vnet_frame: bytes) -> None:
    assert split_or_none(vnet_frame, out_cap=1 << 20) == expected_split(vnet_frame)


@given(st.binary(max_size=3000))
def test_checksum_is_the_slow_sum(data: bytes) -> None:
    assert _offload.checksum(data) == packets.ones_sum(data)
