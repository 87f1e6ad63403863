"""Round trips, and any bytes: a value or PackError, as the slow twin says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sevpn._pack import DATA, INT, INT64, STR, UNISTR, decode, encode
from sevpn.errors import PackError
from support import oracle_pack as oracle

NAMES = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=63)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30).map(
    lambda text: text.rstrip("\0")
)


def element(
    kind: int, values: st.SearchStrategy[int | bytes | str]
) -> st.SearchStrategy[oracle.Element]:
    return st.tuples(NAMES, st.just(kind), st.lists(values, min_size=1, max_size=4))


ELEMENTS = st.one_of(
    element(INT, st.integers(0, 0xFFFFFFFF)),
    element(INT64, st.integers(0, 0xFFFFFFFFFFFFFFFF)),
    element(DATA, st.binary(max_size=60)),
    element(STR, TEXTS),
    element(UNISTR, TEXTS),
)
PACKS = st.lists(ELEMENTS, max_size=6, unique_by=lambda item: item[0].encode("latin-1").lower())


@given(PACKS)
def test_round_trip(elements: list[oracle.Element]) -> None:
    data = encode(elements)
    assert data == oracle.encode(elements)
    assert decode(data) == elements
    assert decode(data + b"behind") == elements


def same(data: bytes) -> None:
    try:
        expected = oracle.decode(data)
    except oracle.RefusedError:
        expected = None
    try:
        assert decode(data) == expected
    except PackError:
        assert expected is None


@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    same(data)
    same(b"\0\0\0\1" + data)
    same(b"\0\0\0\2\0\0\0\2x" + data)


@given(PACKS, st.data())
def test_a_pack_cut_or_changed(elements: list[oracle.Element], draw: st.DataObject) -> None:
    data = bytearray(encode(elements))
    same(bytes(data[: draw.draw(st.integers(0, len(data)))]))
    for _ in range(3):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    same(bytes(data))
