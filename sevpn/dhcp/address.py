"""IPv4 addresses as dotted-quad text: conversions and the few questions DHCP asks.

Layer 1, pure. A stand-in for `ipaddress`, which costs a session 1 MB.
"""

from sevpn.errors import ProtocolError

UNSPECIFIED = "0.0.0.0"
LIMITED_BROADCAST = "255.255.255.255"
PREFIX_MIN = 8  # a wider subnet would put foreign networks on our link: never a real mask


class DhcpError(ProtocolError):
    """Bytes that are no DHCP reply, or a reply that grants nothing usable."""


def format_ip(raw: bytes) -> str:
    """Return 4 bytes as a dotted quad."""
    return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}"


def parse_ip(text: str) -> bytes:
    """Return a dotted quad as 4 bytes.

    Raises: DhcpError when `text` is not exactly four decimal numbers of 0..255.
    """
    parts = text.split(".")
    if len(parts) != 4:
        raise DhcpError("not an IPv4 address")
    octets = []
    for part in parts:
        # isascii: isdigit alone lets other scripts' digits through, which int() takes too.
        if not (part.isascii() and part.isdigit() and len(part) <= 3) or int(part) > 255:
            raise DhcpError("not an IPv4 address")
        octets.append(int(part))
    return bytes(octets)


def ip_to_int(text: str) -> int:
    """Return a dotted quad as a number, 0..2**32-1. Raises: DhcpError."""
    return int.from_bytes(parse_ip(text), "big")


def int_to_ip(value: int) -> str:
    """Return a number of 0..2**32-1 as a dotted quad."""
    return format_ip(value.to_bytes(4, "big"))


def is_host_address(text: str) -> bool:
    """Tell whether a host can have this address: not 0/8, loopback, multicast or above."""
    first = parse_ip(text)[0]
    return 1 <= first <= 223 and first != 127


def prefix_mask(prefix_len: int) -> int:
    """Return the mask of a prefix length of 0..32 as a number."""
    return (0xFFFFFFFF << (32 - prefix_len)) & 0xFFFFFFFF


def mask_prefix(mask: bytes) -> int | None:
    """Return the prefix length of a 4-byte mask, None when its ones are not contiguous."""
    value = int.from_bytes(mask, "big")
    prefix_len = value.bit_count()
    return prefix_len if value == prefix_mask(prefix_len) else None


def classful_prefix(text: str) -> int:
    """Return the prefix length an address had before masks were sent (A 8, B 16, C 24)."""
    first = parse_ip(text)[0]
    return 8 if first < 128 else 16 if first < 192 else 24


def network_of(text: str, prefix_len: int) -> str:
    """Return `text` with its host bits cleared."""
    return int_to_ip(ip_to_int(text) & prefix_mask(prefix_len))


def broadcast_of(text: str, prefix_len: int) -> str | None:
    """Return the subnet's broadcast address, None for /31 and /32, which have none."""
    if prefix_len > 30:
        return None
    return int_to_ip(ip_to_int(text) | (prefix_mask(prefix_len) ^ 0xFFFFFFFF))
