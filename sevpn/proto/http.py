"""The HTTP that carries the negotiation: two requests out, responses in.

Layer 1, pure. Each response is one status line, a head and `Content-Length` bytes; no
chunking, no compression. The parser has three outcomes from any bytes: complete, need
more, HttpError. It may hold one head line, the body, and what was fed behind it; all
else is dropped as it is read. Source: protocol.md 1.3.

    STATUS --"HTTP/1.1 200"--> HEAD --empty line--> BODY --Content-Length--> DONE
"""

from sevpn.constants import HTTP_HEAD_MAX_BYTES, PACK_TARGET, SIGNATURE_BODY, SIGNATURE_TARGET
from sevpn.errors import HttpError
from sevpn.log import clean

PACK_CONTENT_TYPE = "application/octet-stream"
LINE_MAX_BYTES = 4_096  # protocol.md 1.3
FIELDS_MAX = 128  # protocol.md 1.3
QUOTE_MAX_CHARACTERS = 60  # how much of the peer's words a message repeats

STATUS = "status"
HEAD = "head"
BODY = "body"
DONE = "done"

_NOT_VPN = "not a SoftEther VPN server"
_CHECK = "check -host and -port"


def build_signature_request(host: str) -> bytes:
    """Return the first request: the signature that says we are a VPN client (1.3.1)."""
    head = (
        f"POST {SIGNATURE_TARGET} HTTP/1.1\r\n"
        f"Host: {_header_value(host)}\r\n"
        "Content-Type: image/jpeg\r\n"
        "Connection: Keep-Alive\r\n"
        f"Content-Length: {len(SIGNATURE_BODY)}\r\n"
        "\r\n"
    )
    return head.encode("ascii") + SIGNATURE_BODY


def build_pack_request(host: str, pack: bytes, date: str) -> bytes:
    """Return the request that carries a Pack; `date` is an IMF-fixdate (1.3.2)."""
    head = (
        f"POST {PACK_TARGET} HTTP/1.1\r\n"
        f"Date: {_header_value(date)}\r\n"
        f"Host: {_header_value(host)}\r\n"
        "Keep-Alive: timeout=15; max=19\r\n"
        "Connection: Keep-Alive\r\n"
        f"Content-Type: {PACK_CONTENT_TYPE}\r\n"
        f"Content-Length: {len(pack)}\r\n"
        "\r\n"
    )
    return head.encode("ascii") + pack


class ResponseParser:
    """Read one response whose body is at most `max_body_bytes` long.

    `status` is 0 until the status line is read. When `feed` has returned True, `body`
    is whole and `rest` holds the bytes behind it: they belong to what follows.
    """

    __slots__ = (
        "_buffer",
        "_content_type",
        "_fields",
        "_head_bytes",
        "_length",
        "_max_body_bytes",
        "_state",
        "body",
        "rest",
        "status",
    )

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._state = STATUS
        self._buffer = bytearray()
        self._head_bytes = 0
        self._fields = 0
        self._length = -1
        self._content_type = ""
        self.status = 0
        self.body = b""
        self.rest = b""

    def feed(self, data: bytes) -> bool:
        """Take bytes of the response; return True when it is complete.

        Raises HttpError that names what was wrong; the parser is of no use afterwards.
        """
        if self._state == DONE:
            self.rest += data
            return True
        self._buffer += data
        start = 0
        while self._state != BODY:
            end = self._buffer.find(b"\n", start)
            if end < 0:
                self._check_unfinished(bytes(self._buffer[start:]))
                break
            self._take_line(bytes(self._buffer[start : end + 1]))
            start = end + 1
        del self._buffer[:start]
        if self._state != BODY or len(self._buffer) < self._length:
            return False
        self.body = bytes(self._buffer[: self._length])
        self.rest = bytes(self._buffer[self._length :])
        self._buffer = bytearray()
        self._state = DONE
        return True

    def _check_unfinished(self, line: bytes) -> None:
        """Refuse what cannot become a good line, however long we wait."""
        if self._state == STATUS and line[:5] != b"HTTP/"[: len(line)]:
            raise _not_http(line.decode("latin-1"))
        self._check_size(line)

    def _check_size(self, line: bytes) -> None:
        if len(line) > LINE_MAX_BYTES:
            raise HttpError(f"{_NOT_VPN}: an HTTP line over {LINE_MAX_BYTES} bytes", _CHECK)
        if self._head_bytes + len(line) > HTTP_HEAD_MAX_BYTES:
            raise HttpError(f"{_NOT_VPN}: an HTTP head over {HTTP_HEAD_MAX_BYTES} bytes", _CHECK)

    def _take_line(self, line: bytes) -> None:
        self._check_size(line)
        self._head_bytes += len(line)
        text = line.rstrip(b"\r\n").decode("latin-1")
        if self._state == STATUS:
            self._take_status(text)
        elif text:
            self._take_field(text)
        else:
            self._end_head()

    def _take_status(self, text: str) -> None:
        words = text.split(" ", 2)
        if words[0] != "HTTP/1.1" or len(words) < 2 or not _is_number(words[1], 3):
            raise _not_http(text)
        self.status = int(words[1])
        if self.status != 200:
            raise HttpError(
                f"{_NOT_VPN}: it answered HTTP {self.status}",
                "a web server or proxy seems to answer here: " + _CHECK,
            )
        self._state = HEAD

    def _take_field(self, text: str) -> None:
        name, colon, value = text.partition(":")
        self._fields += 1
        if not colon:
            raise HttpError(f"{_NOT_VPN}: an HTTP header line without a colon", _CHECK)
        if self._fields > FIELDS_MAX:
            raise HttpError(f"{_NOT_VPN}: more than {FIELDS_MAX} HTTP header lines", _CHECK)
        name = name.strip().lower()
        value = value.strip()
        if name == "content-length":
            self._take_length(value)
        elif name == "content-type":
            self._content_type = value
        elif name == "transfer-encoding":
            raise HttpError(f"{_NOT_VPN}: it uses a Transfer-Encoding", _CHECK)

    def _take_length(self, value: str) -> None:
        if not _is_number(value, 10):
            raise HttpError(f"{_NOT_VPN}: Content-Length {_quote(value)}", _CHECK)
        length = int(value)
        if self._length not in (-1, length):
            raise HttpError(f"{_NOT_VPN}: two different Content-Length lines", _CHECK)
        if length == 0 or length > self._max_body_bytes:
            raise HttpError(
                f"{_NOT_VPN}: Content-Length {length} is not within 1 to {self._max_body_bytes}",
                _CHECK,
            )
        self._length = length

    def _end_head(self) -> None:
        if self._length < 0:
            raise HttpError(f"{_NOT_VPN}: an HTTP answer without Content-Length", _CHECK)
        if self._content_type.partition(";")[0].strip().lower() != PACK_CONTENT_TYPE:
            raise HttpError(f"{_NOT_VPN}: Content-Type {_quote(self._content_type)}", _CHECK)
        self._state = BODY


def _not_http(line: str) -> HttpError:
    return HttpError(f"{_NOT_VPN}: it answered {_quote(line)} instead of HTTP/1.1", _CHECK)


def _header_value(text: str) -> str:
    """Return `text` if it can stand in a header line. Raises HttpError."""
    if not text.isascii() or not text.isprintable():
        raise HttpError(f"{clean(text, QUOTE_MAX_CHARACTERS)!a} cannot stand in an HTTP header")
    return text


def _is_number(text: str, max_digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= max_digits


def _quote(text: str) -> str:
    """Return the start of the peer's words, harmless on a terminal."""
    return repr(clean(text, QUOTE_MAX_CHARACTERS))
