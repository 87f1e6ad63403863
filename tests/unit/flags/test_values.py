"""Texts and what Go makes of them; every row was compared with Go 1.26's flag package."""

import pytest

from sevpn.flags.values import (
    PARSE_ERROR,
    RANGE_ERROR,
    parse_bool,
    parse_duration_ns,
    parse_int,
)

INT64_MAX = 2**63 - 1
S = 10**9

INTS = {
    "0": 0,
    "-0": 0,
    "00": 0,
    "+7": 7,
    "-1": -1,
    "443": 443,
    "0x10": 16,
    "0X1f": 31,
    "0o17": 15,
    "0O7": 7,
    "017": 15,
    "0b1": 1,
    "-0B101": -5,
    "1_000": 1000,
    "0_7": 7,
    "000_1": 1,
    "0x_1": 1,
    "+0x_f": 15,
    "9223372036854775807": INT64_MAX,
    "0x7fffffffffffffff": INT64_MAX,
    "-9223372036854775808": -INT64_MAX - 1,
    "-0x8000000000000000": -INT64_MAX - 1,
}
BAD_INTS = {
    **dict.fromkeys(["", "+", "-", "+-1", "--1", " 1", "1 ", "1.0", "1e3", "x"], PARSE_ERROR),
    **dict.fromkeys(["08", "0x", "0b", "0o", "0b102", "0xg", "0o8"], PARSE_ERROR),
    **dict.fromkeys(["_1", "1_", "1__0", "0_x1", "0b_", "0x1__2", "_"], PARSE_ERROR),
    **dict.fromkeys(["\u0663", "0\u0663", "0x\u212a", "\uff11", "1\udcff"], PARSE_ERROR),
    "9223372036854775808": RANGE_ERROR,
    "-9223372036854775809": RANGE_ERROR,
    "18446744073709551615": RANGE_ERROR,
    "18446744073709551616": RANGE_ERROR,
    # Read from the left: the overflow comes before the wrong character, or does not.
    "99999999999999999999x": RANGE_ERROR,
    "9223372036854775808x": PARSE_ERROR,
    "99999999999999999999_": RANGE_ERROR,
}

DURATIONS_NS = {
    "0": 0,
    "+0": 0,
    "-0": 0,
    "0s": 0,
    "5s": 5 * S,
    "-1s": -S,
    "+1s": S,
    "500ms": S // 2,
    "1h2m3.5s": 3723 * S + S // 2,
    "1m0s": 60 * S,
    ".5s": S // 2,
    "5.s": 5 * S,
    "1us": 1000,
    "1\u00b5s": 1000,
    "1\u03bcs": 1000,
    "1ns": 1,
    "1.5ns": 1,
    "0.9ns": 0,
    "1h1h": 7200 * S,
    "0.1000000000000000000000h": 360 * S,
    "0.830103483285477580700h": 2_988_372_539_827,
    "39.123456789012345678h": 140_844_444_440_444,
    "2562047h47m16.854775807s": INT64_MAX,
    "9223372036854775807ns": INT64_MAX,
    "-9223372036854775808ns": -INT64_MAX - 1,
    "-2562047h47m16.854775808s": -INT64_MAX - 1,
    # Go's sum is 64 bits wide and wraps to nothing here.
    "-9223372036854775808ns9223372036854775808ns": 0,
}
BAD_DURATIONS = [
    *["", "+", "-", "5", "00", "0.0", "s", ".s", "-.s", "1.", "1..5s", "--1s", "1h-1m", "1m30"],
    *["1d", "1S", "1H", "1 s", " 1s", "1s ", "1s 2s", "1e3s", "\u0663s", "1\udcb5s"],
    *["3000000h", "2562048h", "9223372036854775808ns", "2562047h47m16.854775808s"],
    *["-9223372036854775809ns", "99999999999999999999ns", "-5124095h34m33.709551616s"],
]


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "yes", "on", "tRUE", "2", "01", " true", "true "])
def test_no_boolean(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{PARSE_ERROR}$"):
        parse_bool(text)


@pytest.mark.parametrize(("text", "value"), INTS.items())
def test_int(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(("text", "word"), BAD_INTS.items())
def test_no_int(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word}$"):
        parse_int(text)


def test_a_very_long_int_is_judged_at_once() -> None:
    with pytest.raises(ValueError, match=RANGE_ERROR):
        parse_int("9" * 1_000_000)


@pytest.mark.parametrize(("text", "value_ns"), DURATIONS_NS.items())
def test_duration(text: str, value_ns: int) -> None:
    assert parse_duration_ns(text) == value_ns


@pytest.mark.parametrize("text", BAD_DURATIONS)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{PARSE_ERROR}$"):
        parse_duration_ns(text)
