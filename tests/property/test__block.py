"""Any bytes, cut anywhere: the parser says what its slow twin says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sevpn._block import Parser, encode_group, encode_keepalive
from sevpn.errors import BlockError
from support import oracle_block as oracle

SIZES = st.one_of(st.integers(0, 80), st.sampled_from([13, 14, 1514, 1600, 1601, 3200, 3201, 4000]))
BLOCKS = SIZES.map(lambda size: bytes(i & 0xFF for i in range(size)))
KEEPALIVES = st.sampled_from([0, 1, 7, 511, 512, 513]).map(bytes)
ITEMS = st.one_of(
    st.lists(BLOCKS, max_size=4).map(oracle.group),
    KEEPALIVES.map(oracle.keepalive),
)
STREAMS = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.lists(ITEMS, max_size=5), st.binary(max_size=9)).map(
        lambda parts: b"".join(parts[0]) + parts[1]
    ),
)


@given(STREAMS, st.lists(st.integers(1, 700), max_size=40))
def test_any_stream_cut_anywhere(stream: bytes, cuts: list[int]) -> None:
    parser = Parser()
    frames: list[bytes] = []
    error = ""
    position = 0
    seen = 0
    for cut in [*cuts, len(stream)]:
        if position >= len(stream):
            break
        piece = stream[position : position + cut]
        position += len(piece)
        try:
            frames += parser.feed(piece)
        except BlockError as caught:
            error = "keepalive" if "keepalive" in str(caught) else "block"
            break
        assert parser.items >= seen
        assert parser.pending_bytes <= 1603
        seen = parser.items

    expected = oracle.walk(stream[:position])
    assert error == expected.error
    assert frames == expected.frames[: len(frames)]
    if not error:
        assert len(frames) == len(expected.frames)
    assert parser.frames == len(expected.frames)
    assert parser.frame_bytes == sum(map(len, expected.frames))
    assert parser.items == expected.items
    assert parser.keepalives == expected.keepalives
    assert parser.dropped_short == expected.dropped_short
    assert parser.dropped_oversize == expected.dropped_oversize


@given(st.lists(st.lists(st.binary(min_size=14, max_size=100), max_size=5), max_size=5))
def test_round_trip(groups: list[list[bytes]]) -> None:
    stream = b"".join(encode_group(frames) + encode_keepalive(b"ka") for frames in groups)
    assert Parser().feed(stream) == [frame for frames in groups for frame in frames]
