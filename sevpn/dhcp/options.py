"""The option area of a DHCP message, and values of fixed shape.

Layer 1, pure. Sources: RFC 2132 (options), RFC 3396 (long options), RFC 2131 4.1
(overload). Value decoders return None for a value of the wrong shape: the option is
then treated as absent and counted by whoever asked.

    option = code 1, length 1, value; code 0 is padding and 255 the end, both alone
"""

from sevpn.dhcp.address import DhcpError, format_ip, is_host_address

PAD = 0
SUBNET_MASK = 1
ROUTER = 3
DNS_SERVER = 6
HOST_NAME = 12
DOMAIN_NAME = 15
INTERFACE_MTU = 26
BROADCAST_ADDRESS = 28
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
OVERLOAD = 52
MESSAGE_TYPE = 53
SERVER_ID = 54
PARAMETER_LIST = 55
ERROR_TEXT = 56
MAX_MESSAGE_SIZE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
CLIENT_ID = 61
DOMAIN_SEARCH = 119
CLASSLESS_ROUTES = 121
CLASSLESS_ROUTES_MICROSOFT = 249
END = 255

# 121 and 249 stand before 3: RFC 3442 demands that order, some servers stop at a full
# packet and send what was asked first.
WANTED = bytes((1, 121, 249, 3, 6, 15, 26, 28, 51, 58, 59, 119))

_ADDRESSES_MAX = 16


def collect_options(area: bytes, into: dict[int, bytes]) -> None:
    """Add an option area's values to `into`.

    A code that occurs again continues the earlier value (RFC 3396), also across areas. A
    missing end mark is tolerated: real servers fill the area to its last byte.
    Raises: DhcpError when an option reaches past the area.
    """
    at = 0
    while at < len(area):
        code = area[at]
        at += 1
        if code == PAD:
            continue
        if code == END:
            return
        if at >= len(area) or at + 1 + area[at] > len(area):
            raise DhcpError(f"option {code} reaches past its area")
        length = area[at]
        into[code] = into.get(code, b"") + area[at + 1 : at + 1 + length]
        at += 1 + length


def encode_options(options: dict[int, bytes]) -> bytes:
    """Return an option area with its end mark; long values are split (RFC 3396)."""
    out = bytearray()
    for code, value in options.items():
        # max(..., 1): an empty value is still an option, of length 0.
        for at in range(0, max(len(value), 1), 255):
            part = value[at : at + 255]
            out += bytes((code, len(part))) + part
    out.append(END)
    return bytes(out)


def decode_number(value: bytes, size: int) -> int | None:
    """Return an unsigned number of exactly `size` bytes, else None."""
    return int.from_bytes(value, "big") if len(value) == size else None


def decode_address(value: bytes) -> str | None:
    """Return one address a host can have, else None."""
    if len(value) != 4:
        return None
    address = format_ip(value)
    return address if is_host_address(address) else None


def decode_addresses(value: bytes) -> list[str] | None:
    """Return a list of addresses in the server's order, without doubles.

    Those no host can have are left out; at most 16 are kept. None when the length is no
    multiple of 4, or 0.
    """
    if not value or len(value) % 4:
        return None
    found: list[str] = []
    for at in range(0, len(value), 4):
        address = decode_address(value[at : at + 4])
        if address is not None and address not in found and len(found) < _ADDRESSES_MAX:
            found.append(address)
    return found


def decode_text(value: bytes, limit: int = 120) -> str:
    """Return a server's message (option 56) as printable ASCII on one line."""
    kept = bytes(byte if 32 <= byte < 127 else 32 for byte in value[:limit])
    return " ".join(kept.decode("ascii").split())
