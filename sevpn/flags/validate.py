"""Whether the values can work, before anything is changed or sent.

Pure. One line says what is wrong, the hint what would be right. Refused is only what
cannot work with any server or kernel; what depends on them is for them to say.
"""

from sevpn.errors import UsageError
from sevpn.flags.pins import parse_pin

# mypy takes it for true; at run time `typing` is not loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.config import Config

NAME_MAX_BYTES = 255  # protocol.md 4.1: hub, user and password
HOST_MAX_BYTES = 255  # RFC 1035 2.3.4
IFNAME_MAX_BYTES = 15  # IFNAMSIZ less the NUL
CONGESTION_MAX_BYTES = 15  # TCP_CA_NAME_MAX less the NUL
PORT_MAX = 65_535
TABLE_MAX = 2**32 - 1  # RTA_TABLE is 32 bits

_HEX = "0123456789abcdefABCDEF"
_MAC_HINT = "give six pairs of hexadecimal digits, as in -mac 5E:3B:6F:63:A8:3E"
# The kernel's isspace() counts 0xA0 too (lib/ctype.c), even inside a UTF-8 sequence.
_KERNEL_SPACES = b" \t\n\v\f\r\xa0"

DNS_MODES = ("auto", "file", "resolved", "resolvconf", "none")


def validate(config: "Config") -> None:
    """Judge every value that can be judged alone. Raises: UsageError with a hint."""
    _check_host(config.host)
    _check_bytes("user", config.user)
    if not config.user:
        raise UsageError("-user is missing", "give the name to log in with: -user NAME")
    _check_bytes("pass", config.password)
    _check_name("hub", config.hub)
    if not config.hub:
        raise UsageError("-hub is empty", "leave it out for the hub DEFAULT, or give a name")
    if not 1 <= config.port <= PORT_MAX:
        raise UsageError(
            f"-port {config.port} is no TCP port", "give 1 to 65535; servers use 443, 992 or 5555"
        )
    if config.mac:
        parse_mac(config.mac)
    if config.tap:
        _check_interface_name(config.tap)
    if not 0 <= config.policy_route_table <= TABLE_MAX:
        raise UsageError(
            f"-policy-route-table {config.policy_route_table} is no table number",
            f"give 1 to {TABLE_MAX}, or 0 for no policy routing",
        )
    for flag, delay_s in (
        ("reconnect-delay", config.reconnect_delay),
        ("reconnect-max-delay", config.reconnect_max_delay),
    ):
        if delay_s <= 0:
            raise UsageError(f"-{flag} must be more than 0", f"give a duration, as in -{flag} 5s")
    if config.retry_refused < 0:
        raise UsageError("-retry-refused must not be negative", "give a duration, as in 15m")
    if config.dns not in DNS_MODES:
        raise UsageError(
            f"-dns {_shown(config.dns)} is no way to set DNS", f"give one of {', '.join(DNS_MODES)}"
        )
    for text in config.cert_sha256:
        parse_pin(text)
    if config.insecure and (config.ca_file or config.cert_sha256):
        other = "-ca-file" if config.ca_file else "-cert-sha256"
        raise UsageError(
            f"-insecure and {other} contradict each other: -insecure checks nothing",
            "leave out -insecure",
        )
    if not all(c.isascii() and (c.isalnum() or c in "_-") for c in config.congestion) or (
        len(config.congestion) > CONGESTION_MAX_BYTES
    ):
        raise UsageError(
            f"-congestion {_shown(config.congestion)} is no congestion control",
            "give auto, or a name in /proc/sys/net/ipv4/tcp_available_congestion_control",
        )
    if not config.state_dir:
        raise UsageError("-state-dir is empty", "leave it out for /run/sevpn")


def parse_mac(text: str) -> bytes:
    """Return the 6 bytes of a MAC an interface of ours may have.

    Pairs are separated by `:` or `-` throughout.
    Raises: UsageError for another form and for the addresses no host may use: a group's
    (multicast bit set), all zero, and `00:ae:...`, which hubs use (protocol.md 9).
    """
    separator = "-" if "-" in text else ":"
    pairs = text.split(separator)
    if len(pairs) != 6 or not all(map(_is_hex_pair, pairs)):
        raise UsageError(f"-mac {_shown(text)} is no MAC address", _MAC_HINT)
    mac = bytes(int(pair, 16) for pair in pairs)
    if mac[0] & 1:
        raise UsageError(
            f"-mac {text} is a multicast address",
            "the first byte must be even, as in -mac 5E:3B:6F:63:A8:3E",
        )
    if not any(mac):
        raise UsageError(f"-mac {text} is all zero", _MAC_HINT)
    if mac[:2] == b"\x00\xae":
        raise UsageError(
            f"-mac {text} belongs to the range of virtual hubs (00:AE:...)",
            "give another first byte, as in -mac 5E:3B:6F:63:A8:3E",
        )
    return mac


def _is_hex_pair(pair: str) -> bool:
    return len(pair) == 2 and pair[0] in _HEX and pair[1] in _HEX


def _check_host(host: str) -> None:
    """Refuse what is no host name; a URL or host:port, which people paste, with a remedy."""
    if not host:
        raise UsageError("-host is missing", "give the server: -host vpn.example.com")
    _check_text("host", host, HOST_MAX_BYTES)
    if not host.isprintable() or " " in host:
        raise UsageError(
            "-host contains a blank or control character", "give a name or an IP address alone"
        )
    name, colon, port = host.partition(":")
    if "/" in host or (colon and port.isdigit()):
        raise UsageError(
            f"-host {host} is more than a name",
            "give the name or address alone, and the port by -port 443",
        )
    if host[0] == "[":
        raise UsageError(f"-host {host} has brackets", f"write -host {host.strip('[]')}")


def _check_name(flag: str, text: str) -> None:
    _check_text(flag, text, NAME_MAX_BYTES)


def _check_bytes(flag: str, text: str) -> None:
    """Refuse only what has no place: another charset's bytes were stored by other clients."""
    if "\0" in text:
        raise UsageError(f"-{flag} contains a NUL character", "leave it out")
    size = len(text.encode("utf-8", "surrogateescape"))
    if size > NAME_MAX_BYTES:
        raise UsageError(
            f"-{flag} is {size} bytes long", f"the protocol takes at most {NAME_MAX_BYTES} bytes"
        )


def _check_text(flag: str, text: str, most_bytes: int) -> None:
    """Refuse a text that has no place in the protocol. The message never shows it."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError(f"-{flag} is not UTF-8", "type it in a UTF-8 terminal") from None
    if "\0" in text:
        raise UsageError(f"-{flag} contains a NUL character", "leave it out")
    if size > most_bytes:
        raise UsageError(
            f"-{flag} is {size} bytes long", f"the protocol takes at most {most_bytes} bytes"
        )


def _check_interface_name(name: str) -> None:
    """Refuse what the kernel would (net/core/dev.c, dev_valid_name and dev_alloc_name).

    A single `%d` is kept: the kernel puts the first free number there, as in `vpn%d`.
    `all` and `default` name settings of all interfaces in /proc/sys (sysctl_dev_name_is_allowed),
    and `lo` is always there. Not UTF-8 would be the kernel's right, but not netlink's users'.
    """
    _check_text("tap", name, NAME_MAX_BYTES)
    raw = name.encode()
    if len(raw) > IFNAME_MAX_BYTES:
        reason = f"has {len(raw)} bytes, and the kernel takes at most {IFNAME_MAX_BYTES}"
    elif name in (".", "..", "all", "default", "lo"):
        reason = "is reserved"
    elif "/" in name or ":" in name or any(byte in _KERNEL_SPACES for byte in raw):
        reason = "contains what the kernel refuses (a blank, / or :, or the byte A0)"
    elif "%" in name.replace("%d", "", 1):
        reason = "contains %, which the kernel takes only as one %d"
    else:
        return
    raise UsageError(
        f"-tap {_shown(name)} {reason}", "give a name such as -tap vpn0, or leave it out"
    )


def _shown(text: str) -> str:
    """Return a wrong value as one short line."""
    from sevpn.flags.usage import quote

    return quote(text[:40])
