"""A small TLS server on real sockets that answers as a script tells it, also badly.

    with FakeServer(lambda visit: visit.refuse(9)) as server: ... connect to server.port

Each connection is a `Visit` in a thread of its own; a list of scripts gives one to each
connection in turn, the last one to all that follow. A script that the client leaves in
the middle has ended; what else goes wrong in it is raised at the end of the `with`.
With `namespace` the socket is made in that network namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sevpn._block import Parser, encode_keepalive
from support.fakeserver_proto import (
    Request,
    ServerSide,
    additional_response,
    error_response,
    hello_response,
    http_response,
    welcome_response,
)
from support.tls_certs import Pair, certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from sevpn.proto.pack import Pack

CLONE_NEWNET = 0x40000000
LIMIT_S = 30.0  # no script lives longer
KEEPALIVE_S = 0.3
HOSTILE = "\x1b[31mred\nerror: forged line\r\x07\x9b1m\u202e"

TOO_MANY_ELEMENTS = struct.pack(">I", 0xFFFFFFFF)
TUNNEL_BLOCK_1601 = struct.pack(">II", 1, 1601) + bytes(1601)
TUNNEL_BLOCK_3201 = struct.pack(">II", 1, 3201) + bytes(3201)
TUNNEL_KEEPALIVE_513 = struct.pack(">II", 0xFFFFFFFF, 513) + bytes(513)


class Visit:
    """One connection of a client: what a script has to work with."""

    def __init__(self, server: FakeServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number  # from 0, in the order of the connections
        self.at_s = time.monotonic()
        self.side = ServerSide([])
        self.received = b""  # behind the negotiation
        self.frames: list[bytes] = []
        self.has_ended = False  # the client closed

    @property
    def packs(self) -> list[Pack]:
        """The client's Packs, in order."""
        return self.side.packs

    @property
    def requests(self) -> list[Request]:
        """The client's requests, in order."""
        return self.side.requests

    # --- steps of scripts ---

    def secure(self, pair: Pair | None = None) -> None:
        """Do the TLS handshake."""
        context = (pair or self.server.pair).context()
        self.sock = context.wrap_socket(self.sock, server_side=True, suppress_ragged_eofs=True)

    def send(self, data: bytes) -> None:
        """Send now."""
        self.sock.sendall(data)

    def drip(self, data: bytes, gap_s: float) -> None:
        """Send byte by byte, with pauses."""
        for at in range(len(data)):
            self.send(data[at : at + 1])
            time.sleep(gap_s)

    def forever(self, data: bytes) -> None:
        """Send again and again until the client leaves or the time is over."""
        end_s = time.monotonic() + LIMIT_S
        while time.monotonic() < end_s:
            self.send(data)

    def hear(self, count: int) -> None:
        """Read until the client has sent `count` requests; answers come from `side`."""
        while len(self.side.requests) < count:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionResetError("the client left")
            answer = self.side.receive(data)
            if answer:
                self.send(answer)

    def login(self, *replies: bytes, hello: bytes | None = None) -> None:
        """Negotiate: hello, then `replies` to the client's Pack, in one write."""
        self.secure()
        self.side = ServerSide(list(replies), hello or hello_response())
        self.hear(2)

    def refuse(self, code: int) -> None:
        """Answer the login with an error code."""
        self.login(error_response(code))
        self.wait_end()

    def welcome(self, **changes: object) -> None:
        """Answer the login with a Welcome; arguments as for `welcome_pack`."""
        self.login(welcome_response(**changes))

    def resume(self) -> None:
        """Answer an additional connection with yes."""
        self.login(additional_response())

    def wait_end(self) -> None:
        """Read and keep what comes until the client closes."""
        while data := self.sock.recv(65536):
            self.received += data
        self.has_ended = True

    def tunnel(self, seconds: float = LIMIT_S) -> None:
        """Behave in tunnel mode: keepalives down, frames up kept, until the client closes."""
        parser = Parser()
        self.frames += parser.feed(self.side.parser.take_rest())
        end_s = time.monotonic() + seconds
        self.sock.settimeout(KEEPALIVE_S)
        while time.monotonic() < end_s:
            self.send(encode_keepalive(b"fake"))
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                continue
            if not data:
                self.has_ended = True
                return
            self.received += data
            self.frames += parser.feed(data)

    def cut(self) -> None:
        """Close the TCP connection without a word of TLS."""
        self.sock.close()


class FakeServer:
    """Listens from the start of the `with` to its end."""

    def __init__(
        self,
        *scripts: Callable[[Visit], object],
        pair: Pair | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
        namespace: str = "",
    ) -> None:
        self.scripts = scripts
        self.pair = pair or certificates().good
        self.visits: list[Visit] = []
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._listener = _listen(address, port, namespace)
        self.address = address
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if self.errors and kind is None:
            raise self.errors[0]

    def stop(self) -> None:
        """Close everything; scripts end by the error that this gives them."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5.0)
        for visit in self.visits:
            with contextlib.suppress(OSError):
                visit.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        for visit in self.visits:
            visit.sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(LIMIT_S)
            visit = Visit(self, sock, len(self.visits))
            self.visits.append(visit)
            thread = threading.Thread(target=self._serve, args=(visit,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, visit: Visit) -> None:
        script = self.scripts[min(visit.number, len(self.scripts) - 1)]
        try:
            script(visit)
        except OSError:
            pass  # the client left, or the server was stopped
        except BaseException as error:
            if visit.sock.fileno() >= 0:  # a closed socket has no TLS any more
                self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                visit.sock.close()


def _listen(address: str, port: int, namespace: str) -> socket.socket:
    """Return a listening socket; a thread may be in another namespace than its process."""
    made: list[socket.socket] = []
    errors: list[OSError] = []

    def make() -> None:
        try:
            if namespace:
                with Path("/run/netns", namespace).open("rb") as file:
                    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.create_server((address, port)))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]


# --- Scripts with a name ---


def eof_in_tls(visit: Visit) -> None:
    visit.sock.recv(1000)


def not_tls(visit: Visit) -> None:
    visit.sock.recv(1000)
    visit.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    visit.wait_end()


def web_server(visit: Visit) -> None:
    visit.secure()
    visit.sock.recv(1000)
    visit.send(http_response(b"<html>", "404 Not Found", "text/html"))
    visit.wait_end()


def endless_headers(visit: Visit) -> None:
    visit.secure()
    visit.sock.recv(1000)
    visit.send(b"HTTP/1.1 200 OK\r\n")
    visit.forever(b"X-Filler: nothing\r\n" * 50)


def endless_line(visit: Visit) -> None:
    visit.secure()
    visit.sock.recv(1000)
    visit.send(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    visit.forever(b"x" * 10_000)


def huge_content_length(visit: Visit) -> None:
    visit.secure()
    visit.sock.recv(1000)
    visit.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: 4294967295\r\n\r\n"
    )
    visit.forever(bytes(100_000))


def slow_drip(visit: Visit) -> None:
    visit.secure()
    visit.sock.recv(1000)
    visit.drip(hello_response(), 0.01)


def hello_without_random(visit: Visit) -> None:
    visit.login(hello=hello_response(random=b""))


def hostile_pack(visit: Visit) -> None:
    visit.login(http_response(TOO_MANY_ELEMENTS + bytes(1000)))
    visit.wait_end()


def silent_in_tunnel(visit: Visit) -> None:
    """A dead peer: it reads, and never says a word."""
    visit.welcome(timeout_ms=5000)
    visit.wait_end()


def tunnel_and_cut(visit: Visit) -> None:
    visit.welcome()
    visit.tunnel(0.5)
    visit.cut()


def resumed_and_cut(visit: Visit) -> None:
    visit.resume()
    visit.cut()


def usual(visit: Visit) -> None:
    """A server as it should be, without anybody on its LAN."""
    visit.welcome()
    visit.tunnel()


def just_silent(visit: Visit) -> None:
    visit.secure()
    visit.wait_end()
