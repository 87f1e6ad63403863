"""Any bytes, cut anywhere: complete, need more, or HttpError; and always the same one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sevpn.errors import HttpError
from sevpn.proto.http import ResponseParser
from support import fakeserver_proto as fake

LIMIT = 300

LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 403 No\n", b"Content-Length: 5\r\n",
        b"Content-Length: 400\r\n", b"content-type: application/octet-stream\r\n",
        b"Transfer-Encoding: chunked\r\n", b"\r\n", b"\n", b"X: y\r\n", b"no colon\r\n",
        b"X: " + b"z" * 4000 + b"\r\n",
    ]
)  # fmt: skip
STREAMS = st.one_of(
    st.binary(max_size=60),
    st.tuples(st.lists(LINES, max_size=8), st.binary(max_size=20)).map(
        lambda parts: b"HTTP/1.1 200 OK\r\n" + b"".join(parts[0]) + parts[1]
    ),
    st.binary(min_size=1, max_size=LIMIT + 1).map(fake.http_response),
)

Outcome = tuple[str, int, bytes, bytes]


def outcome(stream: bytes, cuts: list[int]) -> Outcome:
    parser = ResponseParser(LIMIT)
    done = False
    position = 0
    try:
        for cut in [*cuts, len(stream)]:
            done = parser.feed(stream[position : position + cut])
            position += cut
    except HttpError as error:
        return "error" if str(error).isprintable() else "dirty", 0, b"", b""
    return "done" if done else "more", parser.status, parser.body, parser.rest


@given(STREAMS, st.lists(st.integers(1, 100), max_size=20))
def test_any_stream_cut_anywhere(stream: bytes, cuts: list[int]) -> None:
    whole = outcome(stream, [])
    assert whole[0] != "dirty"
    assert outcome(stream, cuts) == whole
    assert outcome(stream, [1] * len(stream)) == whole
    if whole[0] == "done":
        assert 0 < len(whole[2]) <= LIMIT
        assert stream.endswith(whole[2] + whole[3])


@given(st.binary(min_size=1, max_size=LIMIT), st.binary(max_size=50))
def test_a_good_answer(body: bytes, rest: bytes) -> None:
    assert outcome(fake.http_response(body) + rest, [7] * 50) == ("done", 200, body, rest)
