"""The option area: RFC 2132's shape, RFC 3396's splits."""

import pytest

from sevpn.dhcp import options
from sevpn.dhcp.address import DhcpError


def collected(area: bytes) -> dict[int, bytes]:
    into: dict[int, bytes] = {}
    options.collect_options(area, into)
    return into


def test_pads_are_skipped_and_what_follows_the_end_is_not_read() -> None:
    assert collected(b"\0\0\x35\x01\x05\0\xff\x36\x04garb") == {53: b"\x05"}


def test_a_missing_end_is_tolerated() -> None:
    assert collected(b"\x35\x01\x05") == {53: b"\x05"}


@pytest.mark.parametrize("area", [b"\x35", b"\x35\x02\x05", b"\x79\xff" + bytes(254)])
def test_an_option_past_the_area_is_an_error(area: bytes) -> None:
    with pytest.raises(DhcpError):
        collected(area)


def test_parts_of_a_long_option_are_joined_in_order() -> None:
    # RFC 3396 7: other options may stand between the parts.
    area = b"\x79\x03abc" + b"\x33\x04\0\0\0\x14" + b"\x79\x02de" + b"\xff"
    assert collected(area) == {121: b"abcde", 51: b"\0\0\0\x14"}


def test_a_long_value_is_split_when_encoded() -> None:
    area = options.encode_options({119: bytes(300)})
    assert area[:2] == b"\x77\xff"
    assert area[257:259] == b"\x77\x2d"
    assert area[-1] == options.END
    assert collected(area) == {119: bytes(300)}


def test_an_empty_value_is_still_an_option() -> None:
    assert options.encode_options({80: b""}) == b"\x50\x00\xff"


def test_addresses_keep_order_and_lose_doubles_and_impossible_ones() -> None:
    value = bytes((10, 0, 0, 2, 10, 0, 0, 1, 0, 0, 0, 0, 127, 0, 0, 1, 224, 0, 0, 1, 10, 0, 0, 2))
    assert options.decode_addresses(value) == ["10.0.0.2", "10.0.0.1"]


@pytest.mark.parametrize("value", [b"", b"\x0a", bytes(5)])
def test_addresses_of_a_wrong_length_are_none(value: bytes) -> None:
    assert options.decode_addresses(value) is None


def test_addresses_are_limited() -> None:
    value = b"".join(bytes((10, 0, 0, last)) for last in range(1, 60))
    assert len(options.decode_addresses(value) or []) == 16


def test_text_is_one_printable_line() -> None:
    assert options.decode_text(b"no\n\x1b[31m way\xff\0") == "no [31m way"
    assert len(options.decode_text(b"x" * 900)) == 120


def test_classless_routes_are_asked_for_before_the_router() -> None:
    assert options.WANTED.index(121) < options.WANTED.index(3)  # RFC 3442
    assert set(options.WANTED) == {1, 3, 6, 15, 26, 28, 51, 58, 59, 119, 121, 249}
