"""HTTP: what we send to the byte, and each wrong answer named."""

from __future__ import annotations

import pytest

from sevpn.errors import HttpError
from sevpn.proto.http import ResponseParser, build_pack_request, build_signature_request
from support import fakeserver_proto as fake

GOOD = fake.http_response(b"body")
OK = b"HTTP/1.1 200 OK\r\n"
TYPE = b"Content-Type: application/octet-stream\r\n"
LENGTH = b"Content-Length: 4\r\n"


def test_requests_to_the_byte() -> None:
    assert build_signature_request("192.0.2.1") == (
        b"POST /vpnsvc/connect.cgi HTTP/1.1\r\nHost: 192.0.2.1\r\nContent-Type: image/jpeg\r\n"
        b"Connection: Keep-Alive\r\nContent-Length: 10\r\n\r\nVPNCONNECT"
    )
    assert build_pack_request("192.0.2.1", b"abc", "Sun, 22 Nov 2026 13:09:07 GMT") == (
        b"POST /vpnsvc/vpn.cgi HTTP/1.1\r\nDate: Sun, 22 Nov 2026 13:09:07 GMT\r\n"
        b"Host: 192.0.2.1\r\nKeep-Alive: timeout=15; max=19\r\nConnection: Keep-Alive\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nabc"
    )


@pytest.mark.parametrize("host", ["a\r\nX: y", "a\n", "hö", "\x7f"])
def test_a_host_cannot_add_header_lines(host: str) -> None:
    with pytest.raises(HttpError):
        build_signature_request(host)


def feed(data: bytes, size: int, limit: int = 1000) -> ResponseParser | None:
    parser = ResponseParser(limit)
    done = False
    for i in range(0, len(data), size):
        done = parser.feed(data[i : i + size])
    return parser if done else None


RESPONSES = {
    "as a server sends it": GOOD,
    "LF only": GOOD.replace(b"\r\n", b"\n"),
    "odd case and spaces": OK + b"CONTENT-type :Application/Octet-Stream\r\ncontent-LENGTH:4  \r\n"
    b"\r\nbody",
    "a parameter": OK + TYPE[:-2] + b"; x=y\r\n" + LENGTH + b"\r\nbody",
    "no reason": b"HTTP/1.1 200\r\n" + TYPE + LENGTH + b"\r\nbody",
    "length twice, the same": OK + LENGTH + LENGTH + TYPE + b"\r\nbody",
    "line of 4096": OK + TYPE + LENGTH + b"X: " + b"y" * 4091 + b"\r\n\r\nbody",
    "128 fields": OK + TYPE + LENGTH + b"X: y\r\n" * 126 + b"\r\nbody",
}


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("name", RESPONSES)
def test_good_answers(name: str, size: int) -> None:
    parser = feed(RESPONSES[name], size)
    assert parser is not None
    assert (parser.status, parser.body, parser.rest) == (200, b"body", b"")
    parser = feed(RESPONSES[name] + b"tunnel", size)
    assert parser is not None
    assert (parser.body, parser.rest) == (b"body", b"tunnel")
    assert feed(RESPONSES[name][:-1], size) is None


# name: (what the message must say, bytes)
WRONG = {
    "403": ("not a SoftEther VPN server: it answered HTTP 403", fake.http_error_response()),
    "404": ("HTTP 404", fake.http_error_response("404 Not Found")),
    "202": ("HTTP 202", fake.http_error_response("202 Accepted")),
    "302": ("HTTP 302", b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\n\r\n"),
    "HTTP/1.0": ("HTTP/1.0 200", b"HTTP/1.0 200 OK\r\n"),
    "HTTP/2": ("HTTP/2", b"HTTP/2 200\r\n"),
    "no status": ("HTTP/1.1", b"HTTP/1.1\r\n"),
    "status of letters": ("abc", b"HTTP/1.1 abc OK\r\n"),
    "a negative status": ("-20", b"HTTP/1.1 -20 OK\r\n"),
    "SSH": ("instead of HTTP", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "SMTP without line end": ("instead of HTTP", b"220 mail ESMTP"),
    "zeros": ("instead of HTTP", bytes(100)),
    "an empty line": ("answered|instead", b"\r\n"),
    "an escape sequence": ("instead of HTTP", b"\x1b[2J\r\n"),
    "no length": ("without Content-Length", OK + TYPE + b"\r\n"),
    "length 0": ("Content-Length 0", OK + TYPE + b"Content-Length: 0\r\n\r\n"),
    "length 1001": ("Content-Length 1001", OK + TYPE + b"Content-Length: 1001\r\n\r\n"),
    "length 10^12": ("Content-Length", OK + TYPE + b"Content-Length: 1000000000000\r\n\r\n"),
    "length -1": ("Content-Length", OK + TYPE + b"Content-Length: -1\r\n\r\n"),
    "length +4": ("Content-Length", OK + TYPE + b"Content-Length: +4\r\n\r\nbody"),
    "length 0x4": ("Content-Length", OK + TYPE + b"Content-Length: 0x4\r\n\r\nbody"),
    "length in other digits": ("Content-Length", OK + b"Content-Length: \xb2\r\n"),
    "two lengths": ("two different", OK + LENGTH + b"Content-Length: 5\r\n\r\nbody5"),
    "no type": ("Content-Type", OK + LENGTH + b"\r\nbody"),
    "html": ("text/html", OK + LENGTH + b"Content-Type: text/html\r\n\r\nbody"),
    "chunked": ("Transfer-Encoding", OK + TYPE + b"Transfer-Encoding: chunked\r\n\r\n"),
    "no colon": ("colon", OK + b"no colon here\r\n"),
    "a line without end": ("over 4096", OK + b"X: " + b"y" * 5000),
    "a status line without end": ("over 4096", b"HTTP/1.1 200 " + b"y" * 5000),
    "a line too long": ("over 4096", OK + b"X: " + b"y" * 4097 + b"\r\n"),
    "129 fields": ("128", OK + b"X: y\r\n" * 129),
    "endless fields": ("over 8192", OK + (b"X: " + b"y" * 100 + b"\r\n") * 100),
}


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_are_named(name: str, size: int) -> None:
    words, data = WRONG[name]
    with pytest.raises(HttpError, match=words) as caught:
        feed(data, size)
    assert str(caught.value).isprintable()
    assert "-host" in caught.value.hint


def test_the_body_is_not_allocated_before_it_comes() -> None:
    parser = ResponseParser(1 << 40)
    assert not parser.feed(OK + TYPE + b"Content-Length: 9999999999\r\n\r\n")


def test_bytes_after_the_end_are_kept() -> None:
    parser = ResponseParser(1000)
    assert parser.feed(GOOD + b"a")
    assert parser.feed(b"b")
    assert parser.rest == b"ab"
