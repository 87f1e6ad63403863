"""Logging in over real sockets: the answers, redirects, resume, and limits of time."""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING

import pytest

from sevpn import log
from sevpn.config import Config
from sevpn.constants import REDIRECT_MAX_HOPS
from sevpn.errors import (
    CertificateError,
    HandshakeError,
    HttpError,
    PackError,
    ProtocolError,
    ServerError,
    TransportError,
)
from sevpn.io.resolve import Address
from sevpn.session import login
from sevpn.session.login import Established, LoginAgent
from sevpn.session.state import AUTHENTICATING, CONNECTING
from support import fakeserver
from support.fakeserver import FakeServer, Visit
from support.fakeserver_proto import (
    SESSION_KEY,
    TICKET,
    additional_response,
    error_response,
    hello_response,
    http_response,
    is_right_password,
    noop_response,
    redirect_response,
    welcome_response,
)
from support.running import Stopwatch, run
from support.tls_certs import certificates

if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn.io.loop import Loop

HOST = "127.0.0.1"


def answering(*replies: bytes) -> Callable[[Visit], None]:
    def script(visit: Visit) -> None:
        visit.login(*replies)
        visit.wait_end()

    return script


def log_in(
    server: FakeServer, *, states: list[str] | None = None, **flags: bool | str
) -> Established:
    """Log in and close; returns what the server said."""
    values: dict[str, bool | str] = {"insecure": True, "password": "secret", **flags}

    async def work(loop: Loop) -> Established:
        config = Config(host=HOST, port=server.port, user="alice", **values)
        agent = LoginAgent(loop, config, (states if states is not None else []).append)
        session = await agent.log_in()
        session.connection.close()
        return session

    return run(work)


def resume(server: FakeServer) -> Established:
    """Log in, close, resume, close."""

    async def work(loop: Loop) -> Established:
        config = Config(host=HOST, port=server.port, user="alice", insecure=True)
        agent = LoginAgent(loop, config, lambda _state: None)
        session = await agent.log_in()
        session.connection.close()
        resumed = await agent.resume(session)
        resumed.connection.close()
        return resumed

    return run(work)


# --- good answers ---


def test_login(capsys: pytest.CaptureFixture[str]) -> None:
    states: list[str] = []
    with FakeServer(answering(welcome_response(timeout_ms=7000))) as server:
        session = log_in(server, states=states)
    assert session.welcome.session_name == "SID-TEST-1"
    assert session.welcome.timeout_ms == 7000
    assert session.product.startswith("SoftEther VPN Server")
    assert session.certificate == certificates().good.der()
    assert session.rest == b""
    assert states == [CONNECTING, AUTHENTICATING]
    visit = server.visits[0]
    assert visit.has_ended
    (pack,) = visit.packs
    assert is_right_password(pack, "secret")
    assert pack.int("use_encrypt") == 1
    assert pack.str("hubname") == "DEFAULT"
    assert "TLSv1.3" in capsys.readouterr().err


def test_plain_password() -> None:
    with FakeServer(answering(welcome_response())) as server:
        log_in(server, plain_password=True)
    assert server.visits[0].packs[0].str("plain_password") == "secret"


def test_password_is_never_logged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "level", log.VERBOSE)
    with FakeServer(answering(error_response(9))) as server:
        with pytest.raises(ServerError):
            log_in(server, password="hunter2")
    assert "hunter2" not in capsys.readouterr().err


def test_noops_are_skipped() -> None:
    with FakeServer(answering(noop_response(), noop_response(7), welcome_response())) as server:
        assert log_in(server).welcome.session_name == "SID-TEST-1"


def test_noops_extend_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: every wait takes eight of the ten seconds that there are."""
    clock_s = 1000.0
    deadlines_s = []

    class Slow:
        """A loop, stream and handshake in one: a NOOP each time, at last a result."""

        state, address, port = "waiting for the welcome", Address(_socket.AF_INET, HOST), 443
        noops = 0
        result: object = None
        has_come = False

        @property
        def stream(self) -> Slow:
            return self

        def bytes_to_send(self) -> bytes:
            return b""

        def fileno(self) -> int:
            return -1

        async def readable(self, _fd: int, deadline_s: float) -> bool:
            nonlocal clock_s
            deadlines_s.append(deadline_s)
            clock_s += 8.0
            self.has_come = clock_s < deadline_s
            return self.has_come

        def read(self) -> bytes | None:
            return b"noop" if self.has_come else None

        def receive(self, _data: bytes) -> None:
            self.has_come = False
            self.noops += 1
            self.result = "welcome" if self.noops == 4 else None

    monkeypatch.setattr(login, "now_s", lambda: clock_s)
    slow = Slow()
    with pytest.raises(StopIteration):
        login._negotiate(slow, slow, slow, 10.0).send(None)  # type: ignore[arg-type]
    assert deadlines_s == [1010.0, 1018.0, 1026.0, 1034.0]


def test_tunnel_bytes_behind_the_welcome() -> None:
    with FakeServer(answering(welcome_response() + b"tunnel bytes")) as server:
        assert log_in(server).rest == b"tunnel bytes"


def test_answers_byte_by_byte() -> None:
    def script(visit: Visit) -> None:
        visit.secure()
        visit.sock.recv(10_000)
        visit.drip(hello_response(), 0)
        visit.sock.recv(10_000)
        visit.drip(welcome_response(), 0)
        visit.wait_end()

    with FakeServer(script) as server:
        assert log_in(server).welcome.session_name == "SID-TEST-1"


# --- refusals ---


@pytest.mark.parametrize("code", [8, 9, 10, 12, 20, 4_000_000_000])
def test_error_codes(code: int) -> None:
    with FakeServer(answering(error_response(code))) as server:
        with pytest.raises(ServerError, match=f"server error {code}") as caught:
            log_in(server)
    assert caught.value.code == code
    assert server.visits[0].has_ended


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (fakeserver.web_server, HttpError, "HTTP 404"),
        (fakeserver.endless_headers, HttpError, "header lines|HTTP head"),
        (fakeserver.endless_line, HttpError, "HTTP line"),
        (fakeserver.huge_content_length, HttpError, "Content-Length"),
        (fakeserver.hello_without_random, HandshakeError, "challenge"),
        (fakeserver.hostile_pack, PackError, "element"),
        (fakeserver.eof_in_tls, TransportError, "TLS handshake failed"),
        (fakeserver.not_tls, TransportError, "TLS handshake failed"),
        (answering(welcome_response(use_encrypt=0)), HandshakeError, "encrypt"),
        (answering(*[noop_response()] * 40), HandshakeError, "patience"),
        (answering(http_response(b"")), HttpError, "Content-Length 0"),
    ],
)
def test_bad_servers(script: Callable[[Visit], None], error: type[Exception], words: str) -> None:
    watch = Stopwatch()
    with FakeServer(script) as server:
        with pytest.raises(error, match=words) as caught:
            log_in(server)
    assert str(caught.value).isprintable()
    assert watch.seconds < 20


@pytest.mark.parametrize("replies", [(), (hello_response(),)])
def test_server_that_leaves(replies: tuple[bytes, ...]) -> None:
    def script(visit: Visit) -> None:
        visit.secure()
        visit.sock.recv(10_000)
        for reply in replies:
            visit.send(reply)
            visit.sock.recv(10_000)

    with FakeServer(script) as server:
        with pytest.raises(TransportError, match="closed the connection .waiting for the "):
            log_in(server)


@pytest.mark.parametrize("script", [fakeserver.slow_drip, fakeserver.just_silent])
def test_total_time_counts(
    script: Callable[[Visit], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "NEGOTIATION_TIMEOUT_S", 0.5)
    watch = Stopwatch()
    with FakeServer(script) as server:
        with pytest.raises(TransportError, match="no answer .*waiting for the hello"):
            log_in(server)
        assert 0.4 < watch.seconds < 20


# --- redirects ---


def redirecting(*ports: int, certificate: bytes = b"") -> Callable[[Visit], None]:
    def script(visit: Visit) -> None:
        der = certificate or certificates().good.der()
        visit.login(redirect_response(HOST, ports or (visit.server.port,), certificate=der))
        visit.wait_end()

    return script


def test_redirect() -> None:
    with FakeServer(answering(welcome_response(session_name="SID-2"))) as member:
        with FakeServer(redirecting(1, member.port)) as controller:
            with pytest.raises(TransportError, match=f"{HOST}:1: connection refused"):
                log_in(controller)
        with FakeServer(redirecting(member.port)) as controller:
            found = log_in(controller, insecure=False, ca_file=str(certificates().ca))
            assert found.welcome.session_name == "SID-2"
    first, second = controller.visits[0], member.visits[0]
    assert first.has_ended
    assert b"vpn.cgi" in first.received  # the acknowledgement
    (pack,) = second.packs
    assert pack.data("ticket") == TICKET
    assert pack.data("secure_password") == b""


def test_redirect_keeps_the_port_if_it_can() -> None:
    visits = []

    def script(visit: Visit) -> None:
        visits.append(visit)
        if len(visits) == 1:
            redirecting(1, visit.server.port)(visit)
        else:
            answering(welcome_response())(visit)

    with FakeServer(script) as server:
        assert log_in(server).welcome.session_key == SESSION_KEY


def test_redirect_to_another_certificate() -> None:
    with FakeServer(answering(welcome_response())) as member:
        other = redirecting(member.port, certificate=certificates().expired.der())
        with FakeServer(other) as controller:
            with pytest.raises(CertificateError, match="another certificate"):
                log_in(controller)
    assert member.visits[0].requests == []


def test_redirect_loop() -> None:
    with FakeServer(redirecting()) as server:
        with pytest.raises(HandshakeError, match=f"more than {REDIRECT_MAX_HOPS} redirects"):
            log_in(server)
    assert len(server.visits) == REDIRECT_MAX_HOPS + 1


# --- resume ---


def test_resume() -> None:
    scripts = answering(welcome_response()), answering(additional_response() + b"tunnel")
    with FakeServer(*scripts) as server:
        resumed = resume(server)
    assert resumed.rest == b"tunnel"
    assert resumed.welcome.session_name == "SID-TEST-1"
    (pack,) = server.visits[1].packs
    assert pack.str("method") == "additional_connect"
    assert pack.data("session_key") == SESSION_KEY


@pytest.mark.parametrize("code", [13, 14, 15])
def test_resume_refused(code: int) -> None:
    with FakeServer(answering(welcome_response()), answering(error_response(code))) as server:
        with pytest.raises(ServerError) as caught:
            resume(server)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("found", "moved"),
    [
        (["127.0.0.1"], False),
        (["127.0.0.9", "127.0.0.1"], False),
        (["127.0.0.9"], True),
        ([], False),
    ],
)
def test_server_that_moved(found: list[str], moved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a name can move, and no answer of the DNS is no news."""

    async def lookup(*_: object) -> list[Address]:
        if not found:
            raise TransportError("cannot resolve")
        return [Address(_socket.AF_INET, text) for text in found]

    async def work(loop: Loop) -> tuple[bool, bool]:
        config = Config(host="localhost", port=server.port, user="alice", insecure=True)
        agent = LoginAgent(loop, config, lambda _state: None)
        session = await agent.log_in()
        session.connection.close()
        monkeypatch.setattr(login, "resolve", lookup)
        by_name = await agent.has_moved(session)
        config.host = "127.0.0.1"
        return by_name, await agent.has_moved(session)

    with FakeServer(answering(welcome_response())) as server:
        assert run(work) == (moved, False)


def test_resume_half_duplex() -> None:
    scripts = answering(welcome_response()), answering(additional_response(1))
    with FakeServer(*scripts) as server:
        with pytest.raises(ProtocolError, match="one-way"):
            resume(server)


def test_resume_on_another_server() -> None:
    """The key of the session goes to the certificate it came from, to no other."""

    def other(visit: Visit) -> None:
        visit.secure(certificates().self_signed)
        visit.wait_end()

    with FakeServer(answering(welcome_response()), other) as server:
        with pytest.raises(CertificateError):
            resume(server)
    assert server.visits[1].received == b""
