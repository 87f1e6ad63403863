"""Numbers and durations against slow oracles: Go's grammar as patterns, and exact fractions."""

import re
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sevpn.flags.values import PARSE_ERROR, RANGE_ERROR, parse_duration_ns, parse_int

INT64_MAX = 2**63 - 1
# go.dev/ref/spec#Integer_literals, with strconv's wider octals and sign
INT_PATTERN = re.compile(
    r"[+-]?(?:0[bB](?P<b>(?:_?[01])+)|0[oO](?P<o>(?:_?[0-7])+)|0[xX](?P<x>(?:_?[0-9a-fA-F])+)"
    r"|0(?P<z>(?:_?[0-7])*)|(?P<d>[1-9](?:_?[0-9])*))"
)
BASES = {"b": 2, "o": 8, "x": 16, "z": 8, "d": 10}
UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def oracle_int(text: str) -> int | None:
    match = INT_PATTERN.fullmatch(text)
    if not match:
        return None
    assert match.lastgroup
    value = int(match[match.lastgroup].replace("_", "") or "0", BASES[match.lastgroup])
    return -value if text[0] == "-" else value


def outcome_of_int(text: str) -> int | str:
    try:
        return parse_int(text)
    except ValueError as error:
        return str(error)


def outcome_of_duration(text: str) -> int | str:
    try:
        return parse_duration_ns(text)
    except ValueError as error:
        return str(error)


int_like = st.one_of(
    st.text("0123456789abfoxABFOX_+- .", max_size=12),
    st.from_regex(INT_PATTERN, fullmatch=True),
    st.builds(
        "{}{}".format,
        st.sampled_from(["", "+", "-"]),
        st.builds(
            format, st.integers(0, 2**65), st.sampled_from(["d", "#x", "#X", "#o", "#b", "_d"])
        ),
    ),
    st.text(max_size=8),
)


@given(int_like)
def test_int_is_what_the_grammar_says(text: str) -> None:
    expected = oracle_int(text)
    found = outcome_of_int(text)
    if expected is None:
        # A wrong character behind an overflow is never reached.
        assert found == PARSE_ERROR or (found == RANGE_ERROR and len(text) > 16)
    elif -INT64_MAX - 1 <= expected <= INT64_MAX:
        assert found == expected
    else:
        assert found == RANGE_ERROR


@given(
    st.integers(-INT64_MAX - 1, INT64_MAX), st.sampled_from(["d", "_d", "#x", "#_x", "#o", "#b"])
)
def test_int_round_trip(value: int, form: str) -> None:
    assert parse_int(format(value, form)) == value


decimal = st.one_of(
    st.from_regex(r"[0-9]{1,20}", fullmatch=True),
    st.from_regex(r"[0-9]{0,10}\.[0-9]{0,25}", fullmatch=True).filter(lambda text: text != "."),
)
terms = st.lists(st.tuples(decimal, st.sampled_from(sorted(UNITS_NS))), min_size=1, max_size=4)


@given(st.sampled_from(["", "+", "-"]), terms)
def test_duration_is_the_exact_sum(sign: str, parts: list[tuple[str, str]]) -> None:
    """Each fraction is cut to nanoseconds in floating point, so may be one off."""
    text = sign + "".join(number + unit for number, unit in parts)
    exact = [
        Fraction(number.strip(".") if number[-1] == "." else f"0{number}") * UNITS_NS[unit]
        for number, unit in parts
    ]
    expected = sum(int(term) for term in exact)
    slack = sum("." in number for number, _ in parts)
    found = outcome_of_duration(text)
    if isinstance(found, int):
        assert abs(abs(found) - expected) <= slack or expected >= 2**64
        assert found == 0 or (found < 0) == (sign == "-")
    else:
        assert found == PARSE_ERROR
        assert expected + slack > INT64_MAX


@given(st.integers(0, INT64_MAX))
def test_duration_round_trip(value_ns: int) -> None:
    """The form in which Go prints a duration."""
    seconds, fraction_ns = divmod(value_ns, 10**9)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}h{minute}m{second}.{fraction_ns:09d}"
    assert parse_duration_ns(f"{text}s") == value_ns
    assert parse_duration_ns(f"-{text.rstrip('0')}s") == -value_ns


@given(st.one_of(st.text(max_size=12), st.text("0123456789.nu\u00b5\u03bcmsh+- ", max_size=12)))
def test_any_text_is_a_duration_or_a_parse_error(text: str) -> None:
    found = outcome_of_duration(text)
    grammar = re.fullmatch(
        r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)", text, re.ASCII
    )
    assert isinstance(found, int) == bool(grammar)
