"""The server's end of a TLS connection, on Python's ssl, turned by hand in one thread.

`Peer` keeps ciphertext apart from the socket (MemoryBIO), so a test chooses how it is cut
and when it flows.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct

from sevpn._tls import WANT_NOTHING, Context, Stream
from support.tls_certs import Pair, certificates

TURNS_MAX = 200


class Peer:
    """A server over one end of a socket pair."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.records: list[int] = []  # content types of the records received, once recorded
        self._raw = b""
        self.record = False
        sock.setblocking(False)

    def take(self) -> int:
        """Read what the socket has; return how many bytes."""
        total = 0
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while part := self.sock.recv(65536):
                total += len(part)
                self.incoming.write(part)
                if self.record:
                    self._note(part)
        return total

    def _note(self, part: bytes) -> None:
        self._raw += part
        while len(self._raw) >= 5:
            kind, size = self._raw[0], struct.unpack(">H", self._raw[3:5])[0]
            if len(self._raw) < 5 + size:
                break
            self.records.append(kind)
            self._raw = self._raw[5 + size :]

    def give(self, most: int = -1) -> None:
        """Send ciphertext that waits, at most so many bytes of it."""
        data = self.outgoing.read(most)
        while data:
            data = data[self.sock.send(data) :]

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is done."""
        self.take()
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.give()
            return False
        self.give()
        return True

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        self.tls.write(data)
        self.give()

    def read(self) -> bytes:
        """Return all plaintext that has come."""
        self.take()
        data = b""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while part := self.tls.read(65536):
                data += part
        return data

    def close_notify(self) -> None:
        """Say the end of TLS; the socket stays open."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self.give()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return (client, server) of a TCP connection over the loopback, both non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setblocking(False)
    server.setblocking(False)
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, server


class Link:
    """A TLS connection whose both ends are in this process; close() or use as a context."""

    def __init__(
        self,
        pair: Pair | None = None,
        *,
        context: Context | None = None,
        name: bytes = b"vpn.test",
        name_is_ip: bool = False,
        sockets: tuple[socket.socket, socket.socket] | None = None,
        **versions: ssl.TLSVersion,
    ) -> None:
        self.client, server = sockets or tcp_pair()
        self.client.setblocking(False)
        self.context = context or Context()
        self.stream = Stream(self.context, self.client.fileno(), name, name_is_ip)
        self.peer = Peer(server, (pair or certificates().good).context(**versions))

    def shake(self) -> None:
        """Do the whole handshake."""
        for _ in range(TURNS_MAX):
            done = self.stream.handshake() == WANT_NOTHING
            if self.peer.handshake() and done:
                return
        raise AssertionError("the handshake does not end")

    def __enter__(self) -> Link:
        self.shake()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()
        self.peer.sock.close()
