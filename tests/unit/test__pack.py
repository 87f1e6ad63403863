"""The Pack codec: what it refuses, from the wire and from us."""

from __future__ import annotations

import tracemalloc

import pytest

from sevpn._pack import DATA, INT, INT64, STR, UNISTR, decode, encode
from sevpn.errors import PackError
from support import oracle_pack as oracle

HUGE = b"\xff\xff\xff\xff"


def head(name: bytes = b"x", kind: int = INT, count: int = 1) -> bytes:
    """Return an element up to its values."""
    return (
        (len(name) + 1).to_bytes(4, "big")
        + name
        + bytes([0, 0, 0, kind])
        + count.to_bytes(4, "big")
    )


ONE = b"\0\0\0\1"

HOSTILE = {
    "empty": b"",
    "half a count": b"\0\0\0",
    "2^32-1 elements": HUGE,
    "4097 elements": (4097).to_bytes(4, "big") + bytes(100),
    "an element is missing": ONE,
    "name length 0": ONE + bytes(20),
    "name of 256 bytes": ONE + head(b"n" * 256) + bytes(4),
    "name length 2^32-1": ONE + HUGE + b"abc",
    "name past the end": ONE + b"\0\0\0\x09name",
    "no type": ONE + b"\0\0\0\2x",
    "type 5": ONE + head(kind=5) + bytes(8),
    "type 2^32-1": ONE + b"\0\0\0\2x" + HUGE + ONE + bytes(8),
    "0 values": ONE + head(count=0),
    "2^32-1 values": ONE + head(count=0xFFFFFFFF) + bytes(64),
    "4097 values": ONE + head(count=4097) + bytes(4 * 4097),
    "a value is missing": ONE + head(count=2) + bytes(4),
    "half an INT64": ONE + head(kind=INT64) + bytes(7),
    "DATA of 2^32-1": ONE + head(kind=DATA) + HUGE + bytes(9),
    "STR of one too many": ONE + head(kind=STR) + b"\0\0\0\4abc",
    "UNISTR of 2^31": ONE + head(kind=UNISTR) + b"\x80\0\0\0" + b"abc",
    "nested past the end": b"\0\0\0\2" + head() + bytes(4) + head(b"y", DATA) + b"\0\0\1\0" + b"z",
    "same name": b"\0\0\0\2" + head() + bytes(4) + head() + bytes(4),
    "same name but for case": b"\0\0\0\2" + head(b"aB") + bytes(4) + head(b"Ab") + bytes(4),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_end_in_one_error(name: str) -> None:
    with pytest.raises(PackError) as caught:
        decode(HOSTILE[name])
    assert str(caught.value).isprintable()
    with pytest.raises(oracle.RefusedError):
        oracle.decode(HOSTILE[name])


def test_counts_do_not_allocate() -> None:
    tracemalloc.start()
    try:
        for name, data in HOSTILE.items():
            if name != "4097 values":  # with the limits below a good Pack
                with pytest.raises(PackError):
                    decode(data, max_elements=0xFFFFFFFF, max_values=0xFFFFFFFF)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_what_is_tolerated() -> None:
    assert decode(bytes(4)) == []
    assert decode(ONE + head() + b"\0\0\0\7" + b"bytes behind") == [("x", INT, [7])]
    assert decode(oracle.encode([("n" * 255, INT, [1])])) == [("n" * 255, INT, [1])]
    assert decode(oracle.encode([("s", STR, [b"abc\0\0"])])) == [("s", STR, ["abc"])]
    assert decode(oracle.encode([("s", STR, [b"\xff\x00z"])])) == [("s", STR, ["\ufffd\0z"])]
    assert decode(oracle.encode([("\xe9", INT, [1]), ("\xc9", INT, [2])])) == [
        ("\xe9", INT, [1]),
        ("\xc9", INT, [2]),
    ]


def test_limits_are_arguments() -> None:
    data = encode([("a", INT, [1, 2, 3]), ("b", INT, [1])])
    assert len(decode(data, 2, 3)) == 2
    with pytest.raises(PackError, match="elements"):
        decode(data, 1, 3)
    with pytest.raises(PackError, match="values"):
        decode(data, 2, 2)


REFUSED: dict[str, list[oracle.Element]] = {
    "no values": [("x", INT, [])],
    "same name but for case": [("hubname", INT, [1]), ("HubName", INT, [1])],
    "long name": [("n" * 64, INT, [1])],
    "name outside Latin-1": [("\u212a", INT, [1])],
    "unknown type": [("x", 5, [1])],
    "negative": [("x", INT, [-1])],
    "33 bits": [("x", INT, [1 << 32])],
    "65 bits": [("x", INT64, [1 << 64])],
    "enormous": [("x", INT64, [1 << 100_000])],
    "str for INT": [("x", INT, ["1"])],
    "str for DATA": [("x", DATA, ["1"])],
    "bytes for STR": [("x", STR, [b"1"])],
    "lone surrogate": [("x", STR, ["\ud800"])],
    "int for UNISTR": [("x", UNISTR, [1])],
}


@pytest.mark.parametrize("name", REFUSED)
def test_encode_refuses(name: str) -> None:
    with pytest.raises(PackError):
        encode(REFUSED[name])


def test_bytes_of_the_command_line_go_out_as_they_came() -> None:
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert encode([("x", STR, [odd])]).endswith(b"\0\0\0\2\xff\xfe")
