"""The machine against the server's side, whole and byte by byte."""

from __future__ import annotations

import pytest

from sevpn import constants
from sevpn.errors import (
    HandshakeError,
    HttpError,
    PackError,
    ProtocolError,
    ServerError,
)
from sevpn.proto import handshake as machine
from sevpn.proto.handshake import Handshake
from sevpn.proto.login import AdditionalConnect, Login
from sevpn.proto.pack import Pack
from sevpn.proto.welcome import Redirect, Resumed, Welcome
from support import fakeserver_proto as fake

DATE = "Sun, 22 Nov 2026 13:09:07 GMT"
KEEPALIVE = bytes.fromhex("ffffffff00000003010203")

SIZES = pytest.mark.parametrize("size", [1, 5, 1 << 20])


def rng(count: int) -> bytes:
    return bytes(range(7, 7 + count)) if count < 200 else bytes(count)


def make(login: Login | AdditionalConnect | None = None) -> Handshake:
    return Handshake(login or Login("DEFAULT", "admin", "secret"), "192.0.2.1", DATE, rng)


def run(client: Handshake, server: fake.ServerSide, size: int) -> None:
    """Carry bytes both ways in pieces of `size` until nobody has anything to say."""
    while to_server := client.bytes_to_send():
        to_client = b""
        for i in range(0, len(to_server), size):
            to_client += server.receive(to_server[i : i + size])
        for i in range(0, len(to_client), size):
            client.receive(to_client[i : i + size])


def test_the_table_reaches_every_state_and_only_known_ones() -> None:
    states = {machine.HELLO, machine.REPLY, machine.TUNNEL, machine.REDIRECTED}
    assert {state for state, _ in machine.TRANSITIONS} == {machine.HELLO, machine.REPLY}
    assert {machine.HELLO, *machine.TRANSITIONS.values()} == states


@SIZES
def test_a_login(size: int) -> None:
    server = fake.ServerSide([fake.welcome_response()])
    client = make()
    assert client.state == machine.HELLO
    run(client, server, size)
    assert isinstance(client.result, Welcome)
    assert client.result.session_name == "SID-TEST-1"
    assert client.hello is not None
    assert client.hello.product == fake.PRODUCT
    assert client.state == machine.TUNNEL
    assert client.rest == b""
    assert client.bytes_to_send() == b""
    assert [request.target for request in server.requests] == [
        constants.SIGNATURE_TARGET,
        constants.PACK_TARGET,
    ]
    assert server.requests[1].headers["date"] == DATE
    assert fake.is_right_password(server.packs[0], "secret")
    assert not fake.is_right_password(server.packs[0], "Secret")


@SIZES
def test_a_plain_login(size: int) -> None:
    server = fake.ServerSide([fake.welcome_response()])
    run(make(Login("H", "u", "pw", plain=True)), server, size)
    assert fake.is_right_password(server.packs[0], "pw")


@SIZES
def test_bytes_behind_the_welcome_belong_to_the_tunnel(size: int) -> None:
    server = fake.ServerSide([fake.welcome_response() + KEEPALIVE])
    client = make()
    run(client, server, size)
    assert client.rest == KEEPALIVE
    client.receive(b"more")
    assert client.rest == KEEPALIVE + b"more"


@SIZES
def test_noops_are_skipped(size: int) -> None:
    server = fake.ServerSide([fake.noop_response(i % 2 + 1) for i in range(30)])
    server.replies.append(fake.welcome_response() + KEEPALIVE)
    client = make()
    run(client, server, size)
    assert client.noops == 30
    assert isinstance(client.result, Welcome)
    assert client.rest == KEEPALIVE


@SIZES
def test_patience_ends(size: int) -> None:
    client = make()
    with pytest.raises(HandshakeError, match="patience 31 times"):
        run(client, fake.ServerSide([fake.noop_response()] * 40), size)
    assert client.state == machine.FAILED


def test_noops_share_one_budget() -> None:
    pack = Pack()
    pack.add_int("noop", 2)
    pack.add_data("fat", bytes(900_000))
    fat = fake.pack_response(pack)
    with pytest.raises(HttpError, match="Content-Length"):
        run(make(), fake.ServerSide([fat, fat]), 1 << 20)


@SIZES
def test_a_redirect_is_acknowledged(size: int) -> None:
    server = fake.ServerSide([fake.redirect_response() + b"ignored"])
    login = Login("H", "u", "p")
    client = make(login)
    run(client, server, size)
    assert isinstance(client.result, Redirect)
    assert client.state == machine.REDIRECTED
    assert client.rest == b""
    assert [pack.names() for pack in server.packs[1:]] == [["pencore"]]

    member = fake.ServerSide([fake.welcome_response()])
    again = make(login.with_ticket(client.result.ticket))
    run(again, member, size)
    assert isinstance(again.result, Welcome)
    assert member.packs[0].data("ticket") == fake.TICKET


@SIZES
def test_a_session_is_resumed(size: int) -> None:
    server = fake.ServerSide([fake.additional_response() + KEEPALIVE])
    client = make(AdditionalConnect(fake.SESSION_KEY))
    run(client, server, size)
    assert isinstance(client.result, Resumed)
    assert client.rest == KEEPALIVE
    assert server.packs[0].data("session_key") == fake.SESSION_KEY


@pytest.mark.parametrize("code", [13, 14, 15])
def test_a_session_is_gone(code: int) -> None:
    server = fake.ServerSide([fake.error_response(code)])
    with pytest.raises(ServerError) as caught:
        run(make(AdditionalConnect(fake.SESSION_KEY)), server, 1 << 20)
    assert caught.value.code == code


def test_a_one_way_connection_is_refused() -> None:
    server = fake.ServerSide([fake.additional_response(1)])
    with pytest.raises(HandshakeError, match="one-way"):
        run(make(AdditionalConnect(fake.SESSION_KEY)), server, 1 << 20)


@SIZES
@pytest.mark.parametrize("code", [3, 8, 9, 10, 20, 12345])
def test_refusals(code: int, size: int) -> None:
    client = make()
    with pytest.raises(ServerError, match=str(code)) as caught:
        run(client, fake.ServerSide([fake.error_response(code)]), size)
    assert caught.value.code == code
    assert client.state == machine.FAILED
    with pytest.raises(HandshakeError, match="failed already"):
        client.receive(b"x")


@pytest.mark.parametrize("change", ["use_encrypt", "use_compress", "half_connection"])
def test_what_we_did_not_ask_for(change: str) -> None:
    value = 0 if change == "use_encrypt" else 1
    client = make()
    with pytest.raises(HandshakeError):
        run(client, fake.ServerSide([fake.welcome_response(**{change: value})]), 1 << 20)
    assert client.result is None


NO_SERVER: dict[str, tuple[type[ProtocolError], bytes]] = {
    "a web server": (HttpError, fake.http_error_response("404 Not Found")),
    "an SSH server": (HttpError, b"SSH-2.0-x\r\n"),
    "a Pack that is none": (PackError, fake.http_response(b"\xff" * 40)),
    "a short challenge": (HandshakeError, fake.hello_response(random=bytes(19))),
    "an enormous hello": (HttpError, fake.http_response(bytes(constants.HELLO_MAX_BYTES + 1))),
}


@SIZES
@pytest.mark.parametrize("name", NO_SERVER)
def test_no_server_at_all(name: str, size: int) -> None:
    kind, hello = NO_SERVER[name]
    client = make()
    with pytest.raises(kind) as caught:
        run(client, fake.ServerSide([], hello), size)
    assert "-host and -port" in caught.value.hint
    assert client.state == machine.FAILED
    assert client.bytes_to_send() == b""


def test_an_enormous_welcome() -> None:
    answer = fake.http_response(bytes(constants.WELCOME_MAX_BYTES + 1))
    with pytest.raises(HttpError, match="Content-Length"):
        run(make(), fake.ServerSide([answer]), 1 << 20)
