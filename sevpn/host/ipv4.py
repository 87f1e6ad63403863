"""IPv4 addresses and prefixes as numbers.

Layer 2, pure and lean (imports nothing): the long-lived process uses it where
`ipaddress` would cost a megabyte.
"""

from __future__ import annotations


def to_int(text: str) -> int:
    """Return the 32-bit number of a dotted quad.

    Raises ValueError for anything else, also for the short and the octal forms that
    `inet_aton` takes.
    """
    parts = text.split(".")
    if len(parts) != 4:
        raise ValueError(f"not an IPv4 address: {text!r}")
    number = 0
    for part in parts:
        if not (part.isascii() and part.isdigit()) or (len(part) > 1 and part[0] == "0"):
            raise ValueError(f"not an IPv4 address: {text!r}")
        value = int(part)
        if value > 255:
            raise ValueError(f"not an IPv4 address: {text!r}")
        number = number << 8 | value
    return number


def to_text(number: int) -> str:
    """Return the dotted quad of a 32-bit number."""
    return f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def mask(prefix_len: int) -> int:
    """Return the netmask of a prefix length 0-32 as a number. Raises ValueError."""
    if not 0 <= prefix_len <= 32:
        raise ValueError(f"not an IPv4 prefix length: {prefix_len}")
    return 0xFFFFFFFF << (32 - prefix_len) & 0xFFFFFFFF


def network(address: str, prefix_len: int) -> str:
    """Return `address` with its host bits cleared. Raises ValueError."""
    return to_text(to_int(address) & mask(prefix_len))


def is_within(inner: str, inner_len: int, outer: str, outer_len: int) -> bool:
    """Tell whether the prefix `inner` is `outer` or a part of it."""
    if inner_len < outer_len:
        return False
    bits = mask(outer_len)
    return to_int(inner) & bits == to_int(outer) & bits
