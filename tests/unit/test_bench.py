"""What the benchmark computes by itself: records counted in a capture, medians, verdicts."""

from __future__ import annotations

import struct

import pytest

from bench import records, table

pytestmark = pytest.mark.no_sanitizer

FLOW = bytes([198, 51, 100, 2, 198, 51, 100, 10]), b"\xc0\x00\x01\xbb"


def packet(sequence: int, payload: bytes, flow: tuple[bytes, bytes] = FLOW) -> bytes:
    """Return a pcap record of one TCP segment; its IP length is 0, as of a super-frame."""
    addresses, ports = flow
    ip = b"\x45\0\0\0\0\0\x40\0\x40\x06\0\0" + addresses
    tcp = ports + struct.pack(">IIHHHH", sequence & 0xFFFFFFFF, 1, 0x5010, 1000, 0, 0)
    frame = bytes(12) + b"\x08\0" + ip + tcp + payload
    return struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame


def capture(*packets: bytes) -> bytes:
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + b"".join(packets)


def tls(*sizes: int) -> bytes:
    return b"".join(b"\x17\x03\x03" + struct.pack(">H", size) + bytes(size) for size in sizes)


def test_records_are_counted_from_the_middle_of_a_stream() -> None:
    stream = tls(*[5000] * 40)
    cut = stream[1234:]  # the capture began inside a record
    parts = [cut[at : at + 3000] for at in range(0, len(cut), 3000)]
    file = capture(*(packet(0xFFFFF000 + at * 3000, part) for at, part in enumerate(parts)))
    assert records.count(file) == pytest.approx(1e6 / 5005)


def test_records_with_repeats_gaps_and_other_flows() -> None:
    stream = tls(*[1000] * 100)
    other = (FLOW[0], b"\xc0\x01\x01\xbb")
    file = capture(
        packet(0, stream[:40_000]),
        packet(10_000, stream[10_000:20_000]),  # sent again
        packet(0, tls(*[100] * 20), other),
        packet(60_000, stream[60_000:]),  # what was between is missing
    )
    assert records.count(file) == pytest.approx(1e6 / 1005)


@pytest.mark.parametrize("payload", [b"", b"no tls at all" * 500, b"\x17\x03\x03\xff\xff" * 9])
def test_no_records(payload: bytes) -> None:
    assert records.count(capture(packet(1, payload))) is None
    assert records.count(capture()) is None


def results(**ours: float) -> table.Results:
    return {
        table.OFFICIAL_TCP: {"tcp1_cpu_up": [2.0, 4.0, 3.0], "idle_median": [0.1]},
        table.SEVPN: {metric: [value] for metric, value in ours.items()},
    }


@pytest.mark.parametrize(("cpu", "verdict"), [(1.2, "reached"), (1.3, "MISSED")])
def test_targets_compare_medians(cpu: float, verdict: str) -> None:
    lines = [target.line() for target in table.targets(results(tcp1_cpu_up=cpu), 1.0)]
    assert lines[0].startswith(f"- {verdict}: ")
    assert f"{cpu / 3:.2f}" in lines[0]
    assert lines[1].startswith("- not measured: ")


def test_table_leaves_out_what_nobody_measured() -> None:
    text = table.main_table(results(tcp1_cpu_up=1.0))
    assert "CPU-s per GB, up" in text
    assert "CPU-s per GB, down" not in text
    assert len({len(line) for line in text.splitlines()}) == 1
