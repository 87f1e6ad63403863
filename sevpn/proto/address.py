"""IP addresses between text and bytes.

Layer 1, pure: `socket.inet_pton` is not allowed here. Reads what sockets and resolvers
print; raises ValueError for anything else.
"""


def ipv4_text(octets: bytes) -> str:
    """Return 4 bytes in network order as "192.0.2.1"."""
    return ".".join(str(octet) for octet in octets)


def ipv4_bytes(text: str) -> bytes:
    """Return "192.0.2.1" as 4 bytes in network order."""
    parts = text.split(".")
    if len(parts) != 4 or not all(_is_decimal(part) and int(part) < 256 for part in parts):
        raise ValueError(f"{text!r} is no IPv4 address")
    return bytes(int(part) for part in parts)


def ipv6_bytes(text: str) -> bytes:
    """Return "2001:db8::1" as 16 bytes; a zone ("%eth0") is ignored (RFC 4291, 2.2)."""
    address = text.split("%", 1)[0]
    halves = address.split("::")
    if len(halves) > 2:
        raise ValueError(f"{text!r} is no IPv6 address")
    head = _groups(halves[0], text, may_end_in_ipv4=len(halves) == 1)
    if len(halves) == 1:
        raw = head
    else:
        tail = _groups(halves[1], text, may_end_in_ipv4=True)
        raw = head + bytes(max(16 - len(head) - len(tail), 0)) + tail
        if len(head) + len(tail) > 14:  # "::" stands for at least one group
            raise ValueError(f"{text!r} is no IPv6 address")
    if len(raw) != 16:
        raise ValueError(f"{text!r} is no IPv6 address")
    return raw


def _is_decimal(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= 3


def _groups(half: str, text: str, *, may_end_in_ipv4: bool) -> bytes:
    """Return the groups of one side of "::" (or of an address without it)."""
    if not half:
        return b""
    raw = b""
    groups = half.split(":")
    for position, group in enumerate(groups):
        if "." in group and may_end_in_ipv4 and position == len(groups) - 1:
            raw += ipv4_bytes(group)
        elif 0 < len(group) <= 4 and all(c in "0123456789abcdefABCDEF" for c in group):
            raw += int(group, 16).to_bytes(2, "big")
        else:
            raise ValueError(f"{text!r} is no IPv6 address")
    return raw
