"""Any bytes of a server, at any stage: need more, a result, or one of the declared errors."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sevpn.errors import ProtocolError, ServerError
from sevpn.proto import handshake as machine
from sevpn.proto.handshake import Handshake
from sevpn.proto.login import AdditionalConnect, Login
from support import fakeserver_proto as fake
from support import oracle_pack as oracle

NAMES = st.sampled_from(
    [
        "error", "noop", "Redirect", "Ip", "Ip@ipv6_bool", "Port", "Ticket", "Cert", "Msg",
        "session_name", "connection_name", "session_key", "use_encrypt", "timeout", "direction",
        "max_connection", "random", "hello", "version", "build", "policy:Access", "other",
    ]
)  # fmt: skip
ELEMENTS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(NAMES, st.just(0), st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=3)),
    st.tuples(NAMES, st.just(0), st.just([0])),
    st.tuples(NAMES, st.just(1), st.sampled_from([[bytes(20)], [b""], [b"\xff" * 30]])),
    st.tuples(NAMES, st.just(2), st.sampled_from([["name"], [""], ["\x1b[2J\n"]])),
)
PACKS = st.lists(ELEMENTS, max_size=12, unique_by=lambda element: element[0].lower())
ANSWERS = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.binary(min_size=1, max_size=80).map(fake.http_response),
    PACKS.map(lambda elements: fake.http_response(oracle.encode(elements))),
    st.sampled_from(
        [
            fake.hello_response(), fake.welcome_response(), fake.noop_response(),
            fake.redirect_response(), fake.additional_response(), fake.error_response(9),
        ]
    ),
)  # fmt: skip
LOGINS: list[Login | AdditionalConnect] = [
    Login("H", "u", "p"),
    AdditionalConnect(fake.SESSION_KEY),
]


def outcome(login: Login | AdditionalConnect, stream: bytes, size: int) -> tuple[str, str, bytes]:
    client = Handshake(login, "192.0.2.1", "date", bytes)
    try:
        for i in range(0, len(stream), size):
            client.receive(stream[i : i + size])
    except (ProtocolError, ServerError) as error:
        is_printable = str(error).isprintable()
        name = type(error).__name__
        failed = True
    else:
        is_printable, name, failed = True, type(client.result).__name__, False
    assert is_printable
    assert failed == (client.state == machine.FAILED)
    if failed:
        return "error", name, b""
    assert (client.result is None) == (client.state in {machine.HELLO, machine.REPLY})
    return client.state, name, client.rest


@given(st.sampled_from(LOGINS), st.booleans(), st.lists(ANSWERS, max_size=3), st.integers(1, 300))
def test_any_answers(
    login: Login | AdditionalConnect, hello: bool, answers: list[bytes], size: int
) -> None:
    stream = (fake.hello_response() if hello else b"") + b"".join(answers)
    whole = outcome(login, stream, len(stream) or 1)
    pieces = outcome(login, stream, size)
    if whole[0] != "error":
        assert pieces == whole
    else:
        assert pieces[:2] == whole[:2]
