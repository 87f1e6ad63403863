"""What one flag's text means: Go's strconv.ParseBool, ParseInt (base 0) and time.ParseDuration.

Pure. The rules, their order and their quirks are Go's (pkg.go.dev/strconv, pkg.go.dev/time),
because a text that Go refuses or reads differently would be a difference between two
programs that promise the same flags. Only ASCII digits count: `str.isdigit` knows more.

Raises: ValueError, whose text is Go's word for it: `parse error` or `value out of range`.
"""

PARSE_ERROR = "parse error"
RANGE_ERROR = "value out of range"

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")

_INT_BASES = {"b": 2, "o": 8, "x": 16}
_DIGITS = "0123456789abcdef"
_UINT64_MAX = 2**64 - 1
_INT64_LIMIT = 2**63

NANOSECONDS_PER_S = 1_000_000_000


def parse_bool(text: str) -> bool:
    """Read a boolean in one of Go's twelve spellings. Raises: ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(PARSE_ERROR)


def parse_int(text: str) -> int:
    """Read a signed 64-bit integer with Go's prefixes (0x, 0o, 0, 0b) and underscores.

    Raises: ValueError. A text is judged from left to right, so a number that overflows
    before its first wrong character is out of range, as in Go.
    """
    negative = text[:1] == "-"
    body = text[1:] if text[:1] in ("+", "-") else text
    value = _parse_uint64(body)
    if value > _INT64_LIMIT - (not negative):
        raise ValueError(RANGE_ERROR)
    return -value if negative else value


def _parse_uint64(body: str) -> int:
    base, digits = 10, body
    if body[:1] == "0":
        prefix = body[1:2].lower()
        if len(body) >= 3 and prefix in _INT_BASES:
            base, digits = _INT_BASES[prefix], body[2:]
        else:
            base, digits = 8, body[1:]
    elif not body:
        raise ValueError(PARSE_ERROR)

    value = 0
    for char in digits:
        if char == "_":
            continue
        # isascii first: lower() turns the Kelvin sign and its like into ASCII letters.
        digit = _DIGITS.find(char.lower()) if char.isascii() else -1
        if not 0 <= digit < base:
            raise ValueError(PARSE_ERROR)
        value = value * base + digit
        if value > _UINT64_MAX:
            raise ValueError(RANGE_ERROR)
    # An underscore stands between two digits; a prefix counts as a digit.
    if body[0] == "_" or body[-1] == "_" or "__" in body:
        raise ValueError(PARSE_ERROR)
    return value


def _unit_ns(name: str) -> int:
    if name == "s":
        return NANOSECONDS_PER_S
    if name == "ms":
        return 1_000_000
    if name == "m":
        return 60 * NANOSECONDS_PER_S
    if name == "h":
        return 3600 * NANOSECONDS_PER_S
    if name in ("us", "\u00b5s", "\u03bcs"):  # micro sign and Greek mu
        return 1_000
    return 1 if name == "ns" else 0


def _digits_end(text: str, start: int) -> int:
    while start < len(text) and "0" <= text[start] <= "9":
        start += 1
    return start


def parse_duration_ns(text: str) -> int:
    """Read a duration such as `1h2m3.5s` or `500ms` as signed nanoseconds.

    Shape: `[-+]?([0-9]*(\\.[0-9]*)?unit)+`, or a 0 without a unit.
    Raises: ValueError, also when it does not fit 64 bits.
    """
    negative = text[:1] == "-"
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total = at = 0
    while at < len(body):
        term, at = _parse_term(body, at)
        # Go adds in 64 bits and so wraps when two terms are 2^63 each.
        total = (total + term) & _UINT64_MAX
        if total > _INT64_LIMIT:
            raise ValueError(PARSE_ERROR)
    if not body or total > _INT64_LIMIT - (not negative):
        raise ValueError(PARSE_ERROR)
    return -total if negative else total


def _parse_term(body: str, at: int) -> tuple[int, int]:
    """Read one number with its unit. Returns nanoseconds and where the next one starts."""
    end = _digits_end(body, at)
    whole = _leading_int(body[at:end])
    has_digits = end > at
    fraction, scale = 0, 1.0
    if body[end : end + 1] == ".":
        at = end + 1
        end = _digits_end(body, at)
        fraction, scale = _leading_fraction(body[at:end])
        has_digits = has_digits or end > at
    if not has_digits:
        raise ValueError(PARSE_ERROR)

    at = end
    while end < len(body) and body[end] != "." and not "0" <= body[end] <= "9":
        end += 1
    unit = _unit_ns(body[at:end])
    if not unit or whole > _INT64_LIMIT // unit:
        raise ValueError(PARSE_ERROR)
    # Floating point, in Go's order of operations, so that the last digit is Go's too.
    value = whole * unit + int(float(fraction) * (float(unit) / scale))
    if value > _INT64_LIMIT:
        raise ValueError(PARSE_ERROR)
    return value, end


def _leading_int(digits: str) -> int:
    value = 0
    for char in digits:
        value = value * 10 + ord(char) - 48
        if value > _INT64_LIMIT:
            raise ValueError(PARSE_ERROR)
    return value


def _leading_fraction(digits: str) -> tuple[int, float]:
    """Read digits behind the point as value and scale; what no longer fits is dropped."""
    value, scale = 0, 1.0
    for char in digits:
        if value > (_INT64_LIMIT - 1) // 10:
            break
        value_next = value * 10 + ord(char) - 48
        if value_next > _INT64_LIMIT:
            break
        value, scale = value_next, scale * 10
    return value, scale
