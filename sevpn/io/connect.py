"""From a name to a verified TLS stream: resolve, race the addresses, shake hands.

Layer 2. Addresses are raced: the next one starts 250 ms after the one before it or as soon
as that has failed, and the first that answers wins (RFC 8305, simplified).
"""

import _socket
import errno
import posix
import select
import sys

from sevpn._tls import WANT_NOTHING, WANT_READ, Context, Stream
from sevpn.constants import CONNECT_TIMEOUT_S, TLS_TIMEOUT_S
from sevpn.errors import CertificateError, TransportError
from sevpn.io.congestion import choose, of_socket
from sevpn.io.judgement import Judge
from sevpn.io.loop import Loop, now_s
from sevpn.io.resolve import Address, parse_literal, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RACE_STAGGER_S = 0.25
# What may wait unsent in the socket beyond what TCP has in flight: bounds the delay that a
# bulk upload adds to everything behind it; with more, TCP has nothing to gain.
NOTSENT_LOWAT_BYTES = 65536
# A path on which nothing is acknowledged for so long is dead; the kernel then says so.
DEAD_PATH_TIMEOUT_S = 8.0
_TCP_NOTSENT_LOWAT = 25
_TCP_USER_TIMEOUT = 18
_TCP_INFO_BYTES = 60
_UNACKED_AT = 24  # u32 offsets in struct tcp_info, <linux/tcp.h>
_LAST_ACK_AT = 56


class Connection:
    """A TLS stream, its socket, and who is at the other end."""

    __slots__ = ("address", "local", "port", "sock", "stream")

    def __init__(self, sock: _socket.socket, stream: Stream, address: Address, port: int) -> None:
        self.sock = sock
        self.stream = stream
        self.address = address
        self.port = port
        self.local = sock.getsockname()

    def silent_s(self) -> float:
        """Return for how long the far end has owed an acknowledgement, 0.0 = it does not."""
        info = self.sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, _TCP_INFO_BYTES)
        if len(info) < _TCP_INFO_BYTES:
            return 0.0
        unacked = int.from_bytes(info[_UNACKED_AT : _UNACKED_AT + 4], sys.byteorder)
        last_ack_ms = int.from_bytes(info[_LAST_ACK_AT : _LAST_ACK_AT + 4], sys.byteorder)
        return last_ack_ms / 1000 if unacked else 0.0

    def congestion(self) -> str:
        """Return the name of the congestion control that is in force, "" = not told."""
        return of_socket(self.sock)

    def leave(self) -> None:
        """Say goodbye and stop sending, but keep the socket until `close`.

        For a connection whose path is dead or whose local address is gone. Were the socket
        closed now, the first thing the server still sends after the path is back would be
        answered by a reset, and a reset ends the whole session (protocol.md 6.9).
        """
        try:
            self.sock.setsockopt(_socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, 0)
            self.stream.shutdown()
            if self.stream.flush():
                self.sock.shutdown(_socket.SHUT_WR)
        except (OSError, TransportError):
            pass  # it is dead already

    def close(self, notify: bool = True) -> None:
        """Say close_notify (protocol.md 6.9) and close the socket; harmless when repeated."""
        if self.sock.fileno() >= 0:
            if notify:
                self.stream.shutdown()
            try:
                # A child forked meanwhile has the descriptor too: the end must not wait for it.
                self.sock.shutdown(_socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was first
            self.sock.close()


def _start(address: Address, port: int) -> _socket.socket:
    """Begin a non-blocking connect. Raises OSError."""
    sock = _socket.socket(address.family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK, 0)
    try:
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        sock.setsockopt(_socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)
        timeout_ms = int(DEAD_PATH_TIMEOUT_S * 1000)
        sock.setsockopt(_socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, timeout_ms)
        code = sock.connect_ex(address.sockaddr(port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, posix.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _explain(code: int, where: str) -> TransportError:
    reasons = {
        errno.ECONNREFUSED: ("connection refused", "nothing listens there: check -host and -port"),
        errno.ENETUNREACH: ("network unreachable", "this host has no route to it"),
        errno.EHOSTUNREACH: ("host unreachable", "check the network between here and the server"),
        errno.ETIMEDOUT: ("no answer", "check -host, -port and firewalls in between"),
    }
    text, hint = reasons.get(code, (posix.strerror(code).lower(), "check the network"))
    return TransportError(f"cannot connect to {where}: {text}", hint)


class _Race:
    """The sockets under way; whatever happens, all but the winner are closed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.poller = select.epoll()
        self.running: dict[int, tuple[_socket.socket, Address]] = {}
        self.error: TransportError | None = None

    def start(self, address: Address) -> None:
        try:
            sock = _start(address, self.port)
        except OSError as error:
            self.error = _explain(error.errno or 0, show(address, self.port))
            return
        self.running[sock.fileno()] = (sock, address)
        self.poller.register(sock.fileno(), select.EPOLLOUT)

    def harvest(self) -> tuple[_socket.socket, Address] | None:
        """Return the first connected socket, dropping those that failed."""
        for fd, _mask in self.poller.poll(0):
            sock, address = self.running.pop(fd)
            self.poller.unregister(fd)
            code = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if code == 0:
                return sock, address
            self.error = _explain(code, show(address, self.port))
            sock.close()
        return None

    def close(self) -> None:
        for sock, _address in self.running.values():
            sock.close()
        self.poller.close()


def show(address: Address, port: int) -> str:
    """Return "192.0.2.1:443" or "[2001:db8::1]:443"."""
    return f"[{address.text}]:{port}" if address.is_ipv6 else f"{address.text}:{port}"


async def connect_tcp(
    loop: Loop, addresses: list[Address], port: int, timeout_s: float = CONNECT_TIMEOUT_S
) -> tuple[_socket.socket, Address]:
    """Connect to the first address that answers. Raises TransportError for the last failure."""
    race = _Race(port)
    deadline_s = now_s() + timeout_s
    left = list(addresses)
    try:
        while True:
            if left:
                race.start(left.pop(0))
            elif not race.running:
                raise race.error or _explain(errno.ETIMEDOUT, str(port))
            if not race.running:
                continue
            stagger_s = now_s() + RACE_STAGGER_S
            limit_s = min(deadline_s, stagger_s) if left else deadline_s
            await loop.readable(race.poller.fileno(), limit_s)
            winner = race.harvest()
            if winner is not None:
                return winner
            if now_s() >= deadline_s:
                where = " or ".join(show(a, port) for _s, a in race.running.values())
                raise _explain(errno.ETIMEDOUT, where)
    finally:
        race.close()


def _handshake_hint(reason: str) -> str:
    """Return what may be done about a handshake that failed, by OpenSSL's reason."""
    if "protocol version" in reason or "unsupported protocol" in reason:
        return (
            "the server speaks only a TLS that is too old (1.1 or before): update it, or let it "
            "offer TLS 1.2"
        )
    return (
        "is this the port of a SoftEther server? if it has just refused many connections in a "
        "row, wait a little"
    )


async def _shake_hands(loop: Loop, stream: Stream, where: str) -> None:
    deadline_s = now_s() + TLS_TIMEOUT_S
    while True:
        try:
            want = stream.handshake()
        except TransportError as error:
            raise TransportError(f"{error} ({where})", _handshake_hint(str(error))) from error
        if want == WANT_NOTHING:
            return
        wait = loop.readable if want == WANT_READ else loop.writable
        if not await wait(stream.fileno(), deadline_s):
            raise TransportError(f"no TLS answer from {where}", "is this a SoftEther server?")


class Dialer:
    """How to reach servers: certificate policy and congestion control of one run."""

    __slots__ = ("_congestion", "_insecure", "_judge")

    def __init__(
        self,
        insecure: bool,
        ca_file: str,
        pins: "Sequence[tuple[bool, bytes]]" = (),
        congestion: str = "",
    ) -> None:
        self._congestion = congestion
        self._insecure = insecure
        self._judge = Judge(insecure, ca_file, pins)

    async def connect(
        self,
        loop: Loop,
        host: str,
        port: int,
        addresses: "list[Address] | None" = None,
        expected_der: bytes = b"",
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> Connection:
        """Resolve `host`, connect, shake hands and judge the certificate.

        `addresses`: when given, these are tried and nothing is resolved.
        `expected_der`: when given, the certificate must be these bytes (a redirect's target
        or a resumed session), and no CA is asked.

        Raises TransportError, CertificateError.
        """
        if addresses is None:
            addresses = await resolve(loop, host, port)
        sock, address = await connect_tcp(loop, addresses, port, timeout_s)
        try:
            choose(sock, self._congestion)
            context = Context(legacy=self._insecure)
            literal = parse_literal(host)
            name = literal.text if literal is not None else host.rstrip(".")
            encoded = name.encode("ascii") if name.isascii() else name.encode("idna")
            stream = Stream(context, sock.fileno(), encoded, literal is not None)
            where = show(address, port)
            await _shake_hands(loop, stream, where)
            if expected_der:
                if stream.peer_certificate() != expected_der:
                    raise CertificateError(
                        f"{where} shows another certificate than expected",
                        "somebody may be in between; if the server was changed, start again",
                    )
            else:
                await self._judge.judge(loop, context, stream, name)
            return Connection(sock, stream, address, port)
        except BaseException:
            sock.close()
            raise


__all__ = ["Connection", "Dialer", "connect_tcp", "show"]
