"""The tunnel framing: each edge of protocol.md 6.2, whole and byte by byte."""

from __future__ import annotations

import pytest

from sevpn import constants
from sevpn._block import Parser, encode_group, encode_keepalive
from sevpn.errors import BlockError
from support import oracle_block as oracle

ARP = bytes(range(42))
FULL = bytes(1514)


def pieces(stream: bytes, size: int) -> list[bytes]:
    return [stream[i : i + size] for i in range(0, len(stream), size)]


def feed_all(parser: Parser, stream: bytes, size: int) -> list[bytes]:
    frames = []
    for piece in pieces(stream, size):
        frames += parser.feed(piece)
        assert parser.pending_bytes < 4 + constants.FRAME_MAX_BYTES
    return frames


# (name, stream, frames, items, keepalives, dropped_short, dropped_oversize)
STREAMS = [
    ("nothing", b"", [], 0, 0, 0, 0),
    ("one frame", oracle.group([ARP]), [ARP], 1, 0, 0, 0),
    ("count 0", oracle.group([]) + oracle.group([ARP]), [ARP], 1, 0, 0, 0),
    ("size 0 counts as a block", oracle.group([b"", ARP]), [ARP], 2, 0, 1, 0),
    ("size 0 closes a group", oracle.group([b""]) + oracle.group([ARP]), [ARP], 2, 0, 1, 0),
    ("13 is short", oracle.group([bytes(13), ARP]), [ARP], 2, 0, 1, 0),
    ("14 is a frame", oracle.group([bytes(14)]), [bytes(14)], 1, 0, 0, 0),
    ("1600 is a frame", oracle.group([bytes(1600)]), [bytes(1600)], 1, 0, 0, 0),
    ("1601 is dropped", oracle.group([bytes(1601), ARP]), [ARP], 2, 0, 0, 1),
    ("3200 is dropped", oracle.group([bytes(3200), ARP]), [ARP], 2, 0, 0, 1),
    ("keepalive 0", oracle.keepalive(b"") + oracle.group([ARP]), [ARP], 2, 1, 0, 0),
    ("keepalive 512", oracle.keepalive(bytes(512)) + oracle.group([ARP]), [ARP], 2, 1, 0, 0),
    (
        "a keepalive full of magic",
        oracle.keepalive(b"\xff" * 511) + oracle.group([FULL]),
        [FULL],
        2,
        1,
        0,
        0,
    ),
    (
        "more frames than one call takes",
        oracle.group([FULL] * 600),
        [FULL] * 600,
        600,
        0,
        0,
        0,
    ),
    ("half a keepalive is none", oracle.keepalive(bytes(9))[:-1], [], 0, 1, 0, 0),
    ("half a frame is none", oracle.group([ARP])[:-1], [], 0, 0, 0, 0),
    ("half a skipped block is none", oracle.group([bytes(2000)])[:-1], [], 0, 0, 0, 1),
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1603, 1_000_000])
@pytest.mark.parametrize("case", STREAMS, ids=[case[0] for case in STREAMS])
def test_streams(case: tuple[str, bytes, list[bytes], int, int, int, int], size: int) -> None:
    _, stream, frames, items, keepalives, short, oversize = case
    parser = Parser()
    assert feed_all(parser, stream, size) == frames
    assert parser.items == items
    assert parser.frames == len(frames)
    assert parser.frame_bytes == sum(map(len, frames))
    assert parser.keepalives == keepalives
    assert parser.dropped_short == short
    assert parser.dropped_oversize == oversize


BROKEN = [
    ("block 3201", oracle.group([bytes(3201)]), "block"),
    ("block 2^32-1", b"\0\0\0\1\xff\xff\xff\xff", "block"),
    ("keepalive inside a group", oracle.group([ARP, ARP])[:-46] + b"\xff" * 8, "block"),
    ("keepalive 513", oracle.keepalive(bytes(513)), "keepalive"),
    ("keepalive 2^32-1", b"\xff" * 8, "keepalive"),
]


@pytest.mark.parametrize("size", [1, 3, 1_000_000])
@pytest.mark.parametrize("case", BROKEN, ids=[case[0] for case in BROKEN])
def test_broken_framing_is_final(case: tuple[str, bytes, str], size: int) -> None:
    _, stream, word = case
    parser = Parser()
    with pytest.raises(BlockError, match=word):
        feed_all(parser, stream, size)
    with pytest.raises(BlockError, match=word):
        parser.feed(oracle.group([ARP]))
    assert parser.pending_bytes == 0


def test_an_error_is_seen_at_the_size_word() -> None:
    with pytest.raises(BlockError):
        Parser().feed(b"\0\0\0\1" + (3201).to_bytes(4, "big"))
    with pytest.raises(BlockError):
        Parser().feed(b"\xff\xff\xff\xff" + (513).to_bytes(4, "big"))


def test_frames_before_a_broken_place_are_counted() -> None:
    parser = Parser()
    with pytest.raises(BlockError):
        parser.feed(oracle.group([ARP, ARP, bytes(3201)]))
    assert parser.frames == 2


def test_the_largest_count_is_only_a_count() -> None:
    parser = Parser()
    assert parser.feed(b"\xff\xff\xff\xfe" + oracle.group([ARP])[4:]) == [ARP]
    assert parser.feed(oracle.group([ARP])[4:]) == [ARP]


def test_encoders_match_the_oracle() -> None:
    blocks = [b"", ARP, FULL, bytes(3200)]
    assert encode_group(blocks) == oracle.group(blocks)
    assert encode_group([]) == bytes(4)
    for size in (0, 1, 512):
        assert encode_keepalive(bytes(size)) == oracle.keepalive(bytes(size))


def test_encoders_refuse_what_breaks_the_framing() -> None:
    with pytest.raises(BlockError, match="3201"):
        encode_group([ARP, bytes(3201)])
    with pytest.raises(BlockError, match="513"):
        encode_keepalive(bytes(513))


def test_a_wrong_type_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        Parser().feed(bytearray(4))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        encode_group([bytearray(20)])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        encode_group([None])  # type: ignore[list-item]
