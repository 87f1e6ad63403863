"""The machine for one TLS connection, from the signature to the tunnel.

Layer 1, pure: bytes in, bytes and a result out. The driver writes what
`bytes_to_send()` gives, feeds what it reads to `receive()`, and stops when `result` is
set. Source: protocol.md 10.1 and 10.2.

    HELLO --hello--> REPLY --welcome / resumed--> TUNNEL
                     |   ^ \\--redirect---------> REDIRECTED
                     +---+ noop
    any --error--> FAILED
"""

from __future__ import annotations

from sevpn.constants import HELLO_MAX_BYTES, NOOP_MAX_REPLIES, WELCOME_MAX_BYTES
from sevpn.errors import HandshakeError, ProtocolError
from sevpn.proto.hello import Hello, parse_hello
from sevpn.proto.http import ResponseParser, build_pack_request, build_signature_request
from sevpn.proto.login import (
    AdditionalConnect,
    Login,
    build_acknowledgement,
    build_additional,
    build_login,
)
from sevpn.proto.pack import Pack
from sevpn.proto.welcome import (
    DIRECTION_BOTH,
    Redirect,
    Resumed,
    Welcome,
    parse_additional_reply,
    parse_reply,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FAILED",
    "HELLO",
    "REDIRECTED",
    "REPLY",
    "TRANSITIONS",
    "TUNNEL",
    "AdditionalConnect",
    "Handshake",
]

# States, as messages name them: "... while waiting for the hello".
HELLO = "waiting for the hello"
REPLY = "waiting for the answer to the login"
TUNNEL = "in the tunnel"
REDIRECTED = "redirected"
FAILED = "failed"

# (state, event) -> state: all there is. Any error leads to FAILED.
TRANSITIONS: dict[tuple[str, str], str] = {
    (HELLO, "hello"): REPLY,
    (REPLY, "noop"): REPLY,
    (REPLY, "welcome"): TUNNEL,
    (REPLY, "resumed"): TUNNEL,
    (REPLY, "redirect"): REDIRECTED,
}

PADDING_SIZES = 1_000  # 0..999 bytes (protocol.md 1.3.4)


class Handshake:
    """One connection's negotiation.

    `login`: a Login, or AdditionalConnect to join a session. `host_header`: the peer's
    IP address, without port. `date`: now, as an IMF-fixdate. `rng(n)`: n random bytes.

    `result`: None until there is one, then Welcome, Redirect or Resumed. `hello`: the
    server's Hello, once read. `rest`: the tunnel's first bytes, read together with the
    answer. `noops`: answers that only asked for patience; the driver restarts its read
    timer when it grows. Memory: at most one answer of WELCOME_MAX_BYTES.
    """

    __slots__ = (
        "_budget_bytes",
        "_date",
        "_host",
        "_login",
        "_outgoing",
        "_parser",
        "_rng",
        "hello",
        "noops",
        "rest",
        "result",
        "state",
    )

    def __init__(
        self,
        login: Login | AdditionalConnect,
        host_header: str,
        date: str,
        rng: Callable[[int], bytes],
    ) -> None:
        """Raises HttpError for a host that cannot stand in a header."""
        self._login = login
        self._host = host_header
        self._date = date
        self._rng = rng
        self._budget_bytes = HELLO_MAX_BYTES
        self._parser = ResponseParser(HELLO_MAX_BYTES)
        self._outgoing = build_signature_request(host_header)
        self.state = HELLO
        self.hello: Hello | None = None
        self.result: Welcome | Redirect | Resumed | None = None
        self.rest = b""
        self.noops = 0

    def bytes_to_send(self) -> bytes:
        """Return what must be written now, and forget it; b"" if there is nothing.

        After a Redirect this is the acknowledgement: write it, then close.
        """
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def receive(self, data: bytes) -> None:
        """Take bytes of the server, cut anywhere.

        In the tunnel they are added to `rest`; behind a redirect they are ignored.

        Raises ServerError if the server refused; HttpError, PackError or HandshakeError
        if it is none or broke the protocol. Then the connection is of no more use.
        """
        if self.state == FAILED:
            raise HandshakeError("the handshake has failed already")
        try:
            while data and self.result is None and self._parser.feed(data):
                body, data = self._parser.body, self._parser.rest
                self._take(body)
        except BaseException as error:
            if self.state == HELLO and isinstance(error, ProtocolError) and not error.hint:
                error.hint = "check -host and -port: is this a SoftEther VPN server?"
            self.state = FAILED
            self._outgoing = b""
            self._parser = ResponseParser(0)
            raise
        if self.state == TUNNEL:
            self.rest += data

    def _take(self, body: bytes) -> None:
        """Handle one answer's Pack and get ready for the next."""
        pack = Pack.from_bytes(body)
        if self.state == HELLO:
            self._take_hello(pack)
            self._budget_bytes = WELCOME_MAX_BYTES
        else:
            self._take_reply(pack)
            # Answers share one budget: thirty noops may not cost thirty times as much.
            self._budget_bytes -= len(body)
        self._parser = ResponseParser(self._budget_bytes)

    def _take_hello(self, pack: Pack) -> None:
        self.hello = parse_hello(pack)
        if isinstance(self._login, AdditionalConnect):
            self._send(build_additional(self._login, self._padding()))
        else:
            self._send(build_login(self._login, self.hello, self._padding()))
        self._move("hello")

    def _take_reply(self, pack: Pack) -> None:
        result: Welcome | Redirect | Resumed | None
        if isinstance(self._login, AdditionalConnect):
            result = parse_additional_reply(pack)
        else:
            result = parse_reply(pack)
        if result is None:
            self.noops += 1
            if self.noops > NOOP_MAX_REPLIES:
                raise HandshakeError(
                    f"the server asked for patience {self.noops} times and never answered"
                )
            self._move("noop")
        elif isinstance(result, Redirect):
            self._send(build_acknowledgement(self._padding()))
            self._move("redirect")
        elif isinstance(result, Welcome):
            _check_granted(result)
            self._move("welcome")
        else:
            if result.direction != DIRECTION_BOTH:
                raise HandshakeError("the server made a connection one-way, which we never ask")
            self._move("resumed")
        self.result = result

    def _send(self, pack: Pack) -> None:
        self._outgoing += build_pack_request(self._host, pack.to_bytes(), self._date)

    def _padding(self) -> bytes:
        return self._rng(int.from_bytes(self._rng(2), "big") % PADDING_SIZES)

    def _move(self, event: str) -> None:
        self.state = TRANSITIONS[self.state, event]


def _check_granted(welcome: Welcome) -> None:
    """Refuse a session whose frames we could not read. Raises HandshakeError."""
    if welcome.use_compress:
        raise HandshakeError("the server compresses the tunnel, which we did not ask for")
    if welcome.half_connection:
        raise HandshakeError("the server makes the tunnel half duplex, which we did not ask for")
