"""Names to addresses, in a child: `getaddrinfo` blocks, and a signal must not wait for it.

Layer 2. The system's own resolver is used, so /etc/hosts and the rest work as elsewhere.
"""

import _socket

from sevpn.errors import HostError, TransportError
from sevpn.io import child
from sevpn.io.files import read_text
from sevpn.io.loop import Loop

RESOLVE_TIMEOUT_S = 30.0


class Address:
    """One address to connect to: `family` AF_INET or AF_INET6, `text` without brackets."""

    __slots__ = ("family", "scope_id", "text")

    def __init__(self, family: int, text: str, scope_id: int = 0) -> None:
        self.family = family
        self.text = text
        self.scope_id = scope_id

    @property
    def is_ipv6(self) -> bool:
        """Tell whether this is an IPv6 address."""
        return self.family == _socket.AF_INET6

    def sockaddr(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return what `connect` takes."""
        return (self.text, port, 0, self.scope_id) if self.is_ipv6 else (self.text, port)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text


def parse_literal(host: str) -> Address | None:
    """Return the address when `host` is an IP literal (IPv6 also in brackets), else None."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return Address(family, text)
    return None


def _explain(error: _socket.gaierror) -> str:
    """Say what happened by the code: C libraries' words differ, and "Try again" is no advice."""
    if error.args[0] == _socket.EAI_AGAIN:
        words = [line.split() for line in read_text("/etc/resolv.conf", 4096).splitlines()]
        servers = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
        if not servers:
            return "no name server is set, and none answers here"
        return f"no answer from the name server {' or '.join(servers[:3])}"
    if error.args[0] == _socket.EAI_NONAME:
        return "there is no such name"
    return str(error.args[1] if len(error.args) > 1 else error)


def lookup(host: bytes, port: int) -> list[tuple[int, str, int]]:
    """Resolve in this process (a child): (family, address, scope id) in the system's order.

    Raises HostError with the resolver's words. Bytes, because a `str` host would import
    the IDNA codec.
    """
    try:
        # Small letters: musl takes names in /etc/hosts literally.
        found = _socket.getaddrinfo(host.lower(), port, 0, _socket.SOCK_STREAM, 0)
    except _socket.gaierror as error:
        raise HostError(_explain(error)) from error
    result: list[tuple[int, str, int]] = []
    for family, _kind, _proto, _name, sockaddr in found:
        if family in (_socket.AF_INET, _socket.AF_INET6):
            scope = sockaddr[3] if len(sockaddr) > 3 else 0
            entry = (int(family), str(sockaddr[0]).partition("%")[0], int(scope))
            if entry not in result:
                result.append(entry)
    return result


def interleave(found: list[tuple[int, str, int]]) -> list[Address]:
    """Order for racing: the system's first choice first, then the families in turn."""
    if not found:
        return []
    first = [a for a in found if a[0] == found[0][0]]
    second = [a for a in found if a[0] != found[0][0]]
    ordered: list[Address] = []
    for position in range(max(len(first), len(second))):
        for group in (first, second):
            if position < len(group):
                ordered.append(Address(*group[position]))
    return ordered


def _ascii_name(host: str) -> bytes:
    try:
        return host.encode("ascii")
    except UnicodeEncodeError:
        return host.encode("idna")  # rare, so its tables are loaded only here


async def resolve(loop: Loop, host: str, port: int) -> list[Address]:
    """Return the addresses of `host` in the order to try them; at least one.

    Raises TransportError when the name does not resolve.
    """
    literal = parse_literal(host)
    if literal is not None:
        return [literal]
    hint = "check -host, and this machine's DNS (/etc/resolv.conf)"
    try:
        name = _ascii_name(host)
        found = await child.call(
            loop, "sevpn.io.resolve:lookup", name, port, timeout_s=RESOLVE_TIMEOUT_S
        )
    except (HostError, UnicodeError) as error:
        raise TransportError(f"cannot resolve {host}: {error}", hint) from error
    addresses = interleave(found) if isinstance(found, list) else []
    if not addresses:
        raise TransportError(f"cannot resolve {host}: it has no address", hint)
    return addresses
