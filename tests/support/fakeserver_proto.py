"""The server's side of the handshake, pure: made from our own codecs.

Functions build the responses; `RequestParser` reads the client's requests; `ServerSide`
is a whole server for one connection, without a socket. Used by the pair tests and by
the fake server of the end-to-end tests. What it checks is what protocol.md 1.3 says
that servers check.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sevpn.constants import PACK_TARGET, SIGNATURE_BODY, SIGNATURE_TARGET
from sevpn.proto.auth import hash_password, secure_password
from sevpn.proto.pack import Pack

RANDOM = bytes(range(20))
SESSION_KEY = bytes(range(100, 120))
TICKET = bytes(range(200, 220))
CERTIFICATE = b"\x30\x03\x02\x01\x00"
PRODUCT = "SoftEther VPN Server (64 bit) (Open Source)"


# --- Responses ---


def http_response(
    body: bytes, status: str = "200 OK", content_type: str = "application/octet-stream"
) -> bytes:
    """Return a response with the header lines of a real server."""
    head = (
        f"HTTP/1.1 {status}\r\n"
        "Connection: Keep-Alive\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Content-Type: {content_type}\r\n"
        "Date: Sun, 22 Nov 2026 13:09:07 GMT\r\n"
        "Keep-Alive: timeout=15; max=19\r\n"
        "\r\n"
    )
    return head.encode() + body


def pack_response(pack: Pack, padding: bytes = b"pad") -> bytes:
    """Return a Pack as the server sends it, `pencore` last."""
    pack.add_data("pencore", padding)
    return http_response(pack.to_bytes())


def http_error_response(status: str = "403 Forbidden") -> bytes:
    """Return what a server answers to something that is no signature."""
    html = b"<html><body>no</body></html>"
    return http_response(html, status, "text/html; charset=iso-8859-1")


def hello_response(
    random: bytes = RANDOM, product: str = PRODUCT, version: int = 501, build: int = 9674
) -> bytes:
    """Return the answer to the signature."""
    pack = Pack()
    pack.add_data("random", random)
    pack.add_str("hello", product)
    pack.add_int("version", version)
    pack.add_int("build", build)
    return pack_response(pack)


def welcome_pack(
    *,
    session_name: str = "SID-TEST-1",
    session_key: bytes = SESSION_KEY,
    timeout_ms: int = 20_000,
    max_connection: int = 1,
    use_encrypt: int = 1,
    use_compress: int = 0,
    half_connection: int = 0,
    message: bytes = b"",
    policy: dict[str, int] | None = None,
) -> Pack:
    """Return a Welcome, to be changed or sent."""
    pack = Pack()
    pack.add_str("session_name", session_name)
    pack.add_str("connection_name", "CID-1")
    pack.add_data("session_key", session_key)
    pack.add_int("session_key_32", 7)
    pack.add_int("max_connection", max_connection)
    pack.add_int("use_encrypt", use_encrypt)
    pack.add_int("use_compress", use_compress)
    pack.add_int("half_connection", half_connection)
    pack.add_int("qos", 0)
    pack.add_int("timeout", timeout_ms)
    pack.add_data("Msg", message)
    policies = {"Access": 1, "NoBridge": 1, "NoRouting": 1, "MaxConnection": 32, "TimeOut": 20}
    for name, value in (policies | (policy or {})).items():
        pack.add_int(f"policy:{name}", value)
    return pack


def welcome_response(**changes: object) -> bytes:
    """Return the answer to a good login; arguments as for `welcome_pack`."""
    return pack_response(welcome_pack(**changes))  # type: ignore[arg-type]


def error_response(code: int) -> bytes:
    """Return a refusal with a code of protocol.md 5.4."""
    pack = Pack()
    pack.add_int("error", code)
    pack.add_int("no_save_password", 0)
    return pack_response(pack)


def redirect_pack(
    ip: str = "192.0.2.7",
    ports: tuple[int, ...] = (443, 992),
    ticket: bytes = TICKET,
    certificate: bytes = CERTIFICATE,
) -> Pack:
    """Return the Pack that sends a client to a cluster member."""
    pack = Pack()
    pack.add_int("Redirect", 1)
    pack.add_ip("Ip", ip)
    pack.add_ints("Port", ports)
    pack.add_data("Ticket", ticket)
    pack.add_data("Cert", certificate)
    pack.add_data("Msg", b"this way")
    return pack


def redirect_response(
    ip: str = "192.0.2.7",
    ports: tuple[int, ...] = (443, 992),
    ticket: bytes = TICKET,
    certificate: bytes = CERTIFICATE,
) -> bytes:
    """Return the answer that sends a client to a cluster member."""
    return pack_response(redirect_pack(ip, ports, ticket, certificate))


def noop_response(value: int = 2) -> bytes:
    """Return the answer that asks for patience."""
    pack = Pack()
    pack.add_int("error", 0)
    pack.add_int("noop", value)
    return pack_response(pack)


def additional_response(direction: int = 0) -> bytes:
    """Return the answer to a good additional connection."""
    pack = Pack()
    pack.add_int("error", 0)
    pack.add_int("direction", direction)
    return pack_response(pack)


# --- Requests ---


@dataclass
class Request:
    """One request, its header names in lower case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes

    def is_signature(self) -> bool:
        return (
            self.method == "POST"
            and self.target.lower() == SIGNATURE_TARGET
            and self.body == SIGNATURE_BODY
        )

    def pack(self) -> Pack | None:
        """Return the Pack, or None for what a server answers with error 3."""
        is_right = (
            (self.method, self.target, self.version) == ("POST", PACK_TARGET, "HTTP/1.1")
            and self.headers.get("content-type") == "application/octet-stream"
            and 1 <= len(self.body) <= 65_536
        )
        return Pack.from_bytes(self.body) if is_right else None


class RequestParser:
    """Reads requests cut anywhere; trusts them, for it serves tests only."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Request]:
        """Return the requests that `data` completes."""
        self._buffer += data
        requests = []
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode("ascii").split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            headers = {name.lower(): value for name, value in headers.items()}
            length = int(headers["content-length"])
            if len(rest) < length:
                break
            method, target, version = first.split(" ")
            requests.append(Request(method, target, version, headers, rest[:length]))
            self._buffer = rest[length:]
        return requests

    def take_rest(self) -> bytes:
        """Return and forget the bytes behind the last request: the tunnel's."""
        rest, self._buffer = self._buffer, b""
        return rest


# --- A whole server for one connection ---


def is_right_password(login: Pack, password: str, random: bytes = RANDOM) -> bool:
    """Tell whether a login's hashed or plain password is `password`."""
    if login.int("authtype") == 2:
        return login.str("plain_password") == password
    hashed = hash_password(password, login.str("username"))
    return login.data("secure_password") == secure_password(hashed, random)


@dataclass
class ServerSide:
    """Answers the signature with `hello`, the first Pack with `replies`, and records.

    `replies` are sent one after the other, as a server does that first asks for
    patience. `packs` are the client's, in order.
    """

    replies: list[bytes]
    hello: bytes = field(default_factory=hello_response)
    packs: list[Pack] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    parser: RequestParser = field(default_factory=RequestParser)

    def receive(self, data: bytes) -> bytes:
        """Return what the server sends when it has read `data`."""
        answer = b""
        for request in self.parser.feed(data):
            self.requests.append(request)
            if len(self.requests) == 1:
                answer += self.hello if request.is_signature() else http_error_response()
                continue
            pack = request.pack()
            if pack is None:
                answer += error_response(3)
                continue
            self.packs.append(pack)
            if len(self.packs) == 1:
                answer += b"".join(self.replies)
        return answer
