"""Connecting: the race of addresses, the TLS handshake, the judgement of the certificate."""

from __future__ import annotations

import _socket
import hashlib
import os
import select
import socket
from typing import TYPE_CHECKING

import pytest

from sevpn.errors import CertificateError, TransportError
from sevpn.io import connect, trust
from sevpn.io.connect import Connection, Dialer, connect_tcp, show
from sevpn.io.loop import Cancelled, Loop
from sevpn.io.resolve import Address
from support import fakeserver
from support.fakeserver import FakeServer, Visit
from support.running import Stopwatch, run
from support.tls_certs import Pair, certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL = Address(_socket.AF_INET, "127.0.0.1")
LOCAL6 = Address(_socket.AF_INET6, "::1")


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    certificates()
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before  # garbage of others may go


@pytest.fixture
def black_hole() -> Iterator[Address]:
    """An address of this host whose port is full: the connection never comes about."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", port))
        assert select.select([], fillers, [], 20)[1]  # the one that finds room is in
        hole = Address(_socket.AF_INET, "127.0.0.2")
        hole.scope_id = port  # told to the test, not used for IPv4
        yield hole
        for filler in fillers:
            filler.close()


def listener_at(address: str, port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def closed_port() -> int:
    with listener_at("127.0.0.1") as sock:
        return int(sock.getsockname()[1])


# --- the race ---


def test_black_hole_first_then_good(black_hole: Address) -> None:
    port = black_hole.scope_id
    with listener_at("127.0.0.1", port):
        watch = Stopwatch()
        sock, address = run(lambda loop: connect_tcp(loop, [black_hole, LOCAL], port))
        sock.close()
        assert address == LOCAL
        assert connect.RACE_STAGGER_S <= watch.seconds < 20


def test_refused_first_then_good_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "RACE_STAGGER_S", 60.0)
    with listener_at("127.0.0.1") as listener:
        port = listener.getsockname()[1]
        watch = Stopwatch()
        other = Address(_socket.AF_INET, "127.0.0.3")
        sock, address = run(lambda loop: connect_tcp(loop, [other, LOCAL], port))
        sock.close()
        assert address == LOCAL
        assert watch.seconds < connect.RACE_STAGGER_S


def test_both_families() -> None:
    with listener_at("::1") as listener:
        port = listener.getsockname()[1]
        sock, address = run(lambda loop: connect_tcp(loop, [LOCAL, LOCAL6], port))
        assert address == LOCAL6
        assert sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY)
        sock.close()


def test_all_refused() -> None:
    port = closed_port()
    with pytest.raises(TransportError, match=f"127.0.0.1:{port}: connection refused") as caught:
        run(lambda loop: connect_tcp(loop, [LOCAL6, LOCAL], port))
    assert "-port" in caught.value.hint


def test_unreachable() -> None:
    nowhere = Address(_socket.AF_INET, "255.255.255.255")
    with pytest.raises(TransportError, match="^cannot connect to 255.255.255.255:443: "):
        run(lambda loop: connect_tcp(loop, [nowhere], 443))


def test_no_answer_within_the_limit(black_hole: Address) -> None:
    port = black_hole.scope_id
    watch = Stopwatch()
    with pytest.raises(TransportError, match=f"127.0.0.2:{port}: no answer"):
        run(lambda loop: connect_tcp(loop, [black_hole], port, 0.3))
    assert 0.3 <= watch.seconds < 20


def test_black_hole_and_refusal(black_hole: Address) -> None:
    """A refusal does not end the wait for an address that may still answer."""
    port = black_hole.scope_id
    with pytest.raises(TransportError, match="no answer"):
        run(lambda loop: connect_tcp(loop, [LOCAL, black_hole], port, 0.6))


def test_no_address() -> None:
    with pytest.raises(TransportError):
        run(lambda loop: connect_tcp(loop, [], 443))


def test_cancel_closes_all(black_hole: Address) -> None:
    loop = Loop()

    async def work() -> None:
        await connect_tcp(loop, [black_hole, black_hole], black_hole.scope_id)

    async def main() -> None:
        task = loop.spawn("work", work())
        await loop.sleep(0.4)
        loop.cancel(task)
        await loop.join(task)
        assert isinstance(task.error, Cancelled)

    loop.run(loop.spawn("main", main()))
    loop.close()


# --- words ---


def test_show() -> None:
    assert show(LOCAL, 443) == "127.0.0.1:443"
    assert show(LOCAL6, 443) == "[::1]:443"


# --- TLS and the certificate ---


def just_tls(visit: Visit) -> None:
    visit.secure()
    visit.wait_end()


def dial(
    server: FakeServer,
    host: str = "127.0.0.1",
    *,
    ca_file: str = "",
    insecure: bool = False,
    pins: tuple[tuple[bool, bytes], ...] = (),
) -> str:
    """Return the cipher of a connection to `server` under the name `host`."""

    async def work(loop: Loop) -> str:
        dialer = Dialer(insecure, ca_file, pins)
        connection: Connection = await dialer.connect(loop, host, server.port, [LOCAL])
        assert connection.local[0] == "127.0.0.1"
        assert connection.silent_s() == 0.0 or connection.silent_s() < 20
        connection.close()
        connection.close()
        return connection.stream.cipher()

    return run(work)


@pytest.mark.parametrize("host", ["127.0.0.1", "vpn.test", "VPN.Test", "vpn.test."])
def test_good_certificate(host: str) -> None:
    with FakeServer(just_tls) as server:
        assert dial(server, host, ca_file=str(certificates().ca)).startswith("TLSv1.3")
    assert server.visits[0].has_ended


@pytest.mark.parametrize(
    ("which", "host", "words"),
    [
        ("wrong_name", "vpn.test", "hostname mismatch"),
        ("wrong_name", "127.0.0.1", "IP address mismatch"),
        ("good", "other.test", "hostname mismatch"),
        ("expired", "vpn.test", "has expired"),
        ("self_signed", "vpn.test", "self-signed"),
        ("hostile", "vpn.test", "self-signed"),
    ],
)
def test_bad_certificate(which: str, host: str, words: str) -> None:
    pair: Pair = getattr(certificates(), which)
    with FakeServer(just_tls, pair=pair) as server:
        with pytest.raises(CertificateError, match=words) as caught:
            dial(server, host, ca_file=str(certificates().ca))
        assert dial(server, host, insecure=True)
    digest = hashlib.sha256(pair.der()).digest()
    assert digest.hex(":").upper() in str(caught.value)
    assert str(caught.value).isprintable()
    for way_out in ("-host", "-ca-file", "SSL_CERT_FILE", "-insecure"):
        assert way_out in caught.value.hint


def test_no_store_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_load_host_store", lambda _context: [])
    with FakeServer(just_tls) as server:
        with pytest.raises(CertificateError, match="no CA certificates were found") as caught:
            dial(server)
    assert "ca-certificates" in caught.value.hint
    assert "CN=vpn.test" in caught.value.hint


def test_unreadable_ca_file() -> None:
    with FakeServer(just_tls) as server:
        with pytest.raises(CertificateError, match=r"no CA certificate .*/nonexistent"):
            dial(server, ca_file="/nonexistent")


def test_expected_certificate() -> None:
    async def work(loop: Loop, der: bytes) -> None:
        connection = await Dialer(False, "").connect(loop, "10.0.0.9", server.port, [LOCAL], der)
        connection.close()

    with FakeServer(just_tls) as server:
        run(lambda loop: work(loop, certificates().good.der()))
        with pytest.raises(CertificateError, match="another certificate than expected"):
            run(lambda loop: work(loop, certificates().expired.der()))


def test_nothing_is_sent_before_the_judgement() -> None:
    with FakeServer(just_tls, pair=certificates().self_signed) as server:
        with pytest.raises(CertificateError):
            dial(server, ca_file=str(certificates().ca))
        assert server.visits[0].received == b""


@pytest.mark.parametrize("script", [fakeserver.eof_in_tls, fakeserver.not_tls])
def test_no_tls(script: object) -> None:
    with FakeServer(script) as server:  # type: ignore[arg-type]
        with pytest.raises(TransportError, match=f"^TLS handshake failed: .*:{server.port}"):
            dial(server)


def test_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "TLS_TIMEOUT_S", 0.2)
    with FakeServer(lambda visit: visit.wait_end()) as server:
        watch = Stopwatch()
        with pytest.raises(TransportError, match="no TLS answer from 127.0.0.1"):
            dial(server)
        assert watch.seconds < 20
