"""A server that misbehaves: one clear line, the documented exit code, bounded time and memory.

The real program against `support.fakeserver`; the address space is limited by prlimit, so
that whoever could be made to keep what a server sends would die of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.client import Sevpn
from lab.topology import SERVER_IP, Topology
from sevpn.errors import (
    EXIT_CERTIFICATE,
    EXIT_NETWORK,
    EXIT_PROTOCOL,
    EXIT_REFUSED,
)
from support import fakeserver
from support.fakeserver import HOSTILE, Visit
from support.fakeserver_proto import (
    error_response,
    hello_response,
    http_response,
    noop_response,
    welcome_response,
)
from support.fault_trial import TAP, Trial, assert_clean
from support.tls_certs import certificates

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.topology import Namespace

    Script = Callable[[Visit], object]


@pytest.fixture
def trial(topology: Topology) -> Trial:
    return Trial(topology)


def test_the_fake_server_is_good_enough(trial: Trial, host: Namespace) -> None:
    with trial.server(fakeserver.usual) as server, trial.client(server) as run:
        run.wait_line("ready")
        assert host.has_link(TAP)
        run.stop()
    assert server.visits[0].has_ended
    assert server.visits[0].packs[0].str("hubname") == "DEFAULT"
    assert not host.has_link(TAP)


# --- before the login ---


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (fakeserver.eof_in_tls, EXIT_NETWORK, "TLS handshake failed"),
        (fakeserver.not_tls, EXIT_NETWORK, "TLS handshake failed"),
        (fakeserver.web_server, EXIT_PROTOCOL, "HTTP 404"),
        (fakeserver.endless_headers, EXIT_PROTOCOL, "HTTP h"),
        (fakeserver.endless_line, EXIT_PROTOCOL, "HTTP line"),
        (fakeserver.huge_content_length, EXIT_PROTOCOL, "Content-Length 4294967295"),
        (fakeserver.hello_without_random, EXIT_PROTOCOL, "20-byte challenge"),
    ],
)
def test_no_vpn_server(trial: Trial, script: Script, code: int, words: str) -> None:
    line = trial.fails(code, script)
    assert words in line
    assert "-port" in line or "SoftEther" in line


def test_nobody_listens(trial: Trial) -> None:
    with trial.server(fakeserver.usual) as server:
        pass
    with trial.client(server, "-once") as run:
        line = run.expect_exit(EXIT_NETWORK)
    assert f"{SERVER_IP}:{server.port}: connection refused" in line


def test_closes_after_the_signature(trial: Trial) -> None:
    def script(visit: Visit) -> None:
        visit.secure()
        visit.sock.recv(1000)

    assert "closed the connection" in trial.fails(EXIT_NETWORK, script)


@pytest.mark.slow
def test_slow_drip_has_an_end(trial: Trial) -> None:
    """The total time counts, not the gaps."""

    def script(visit: Visit) -> None:
        visit.secure()
        visit.sock.recv(1000)
        visit.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: nothing\r\n" * 100, 0.05)

    line = trial.fails(EXIT_NETWORK, script, limit_s=25.0)
    assert "no answer" in line


# --- the answer to the login ---


@pytest.mark.parametrize(
    ("replies", "code", "words"),
    [
        ((error_response(9),), EXIT_REFUSED, "user name or the password is wrong"),
        ((error_response(8),), EXIT_REFUSED, "hub does not exist"),
        ((error_response(10),), EXIT_NETWORK, "offline"),
        ((error_response(4_000_000_000),), EXIT_NETWORK, "server error 4000000000"),
        ((welcome_response(use_encrypt=0),), EXIT_PROTOCOL, "encrypt"),
        ((welcome_response(use_compress=1),), EXIT_PROTOCOL, "compress"),
        ((welcome_response(half_connection=1),), EXIT_PROTOCOL, "half duplex"),
        ((welcome_response(session_key=b"short"),), EXIT_PROTOCOL, "20-byte key"),
        ((http_response(fakeserver.TOO_MANY_ELEMENTS + bytes(900)),), EXIT_PROTOCOL, ""),
        ((http_response(b"\0"),), EXIT_PROTOCOL, ""),
        ((noop_response(),) * 31, EXIT_PROTOCOL, "patience"),
        ((http_response(b"x", "500 Oops"),), EXIT_PROTOCOL, "HTTP 500"),
    ],
)
def test_bad_answer(trial: Trial, replies: tuple[bytes, ...], code: int, words: str) -> None:
    def script(visit: Visit) -> None:
        visit.login(*replies)
        visit.wait_end()

    assert words in trial.fails(code, script)


def test_noops_before_the_welcome(trial: Trial) -> None:
    def script(visit: Visit) -> None:
        visit.login(*[noop_response()] * 30, welcome_response())
        visit.tunnel()

    with trial.server(script) as server, trial.client(server) as run:
        run.wait_line("ready")
        run.stop()


# --- hostile words ---


def test_hostile_words_everywhere(trial: Trial) -> None:
    def script(visit: Visit) -> None:
        visit.login(
            welcome_response(
                session_name=f"SID{HOSTILE}" + "x" * 5000, message=HOSTILE.encode() * 5000
            ),
            hello=hello_response(product=f"Fake{HOSTILE}"),
        )
        visit.tunnel()

    with trial.server(script, pair=certificates().hostile) as server:
        with trial.client(server, "-v") as run:
            run.wait_line("ready")
            run.stop()
            assert_clean(run)
            assert "forged line" in run.log
            assert max(len(line.text) for line in run.process.lines) < 3000


def test_hostile_http(trial: Trial) -> None:
    def script(visit: Visit) -> None:
        visit.secure()
        visit.sock.recv(1000)
        visit.send(HOSTILE.encode() + b"\n" * 10)
        visit.wait_end()

    trial.fails(EXIT_PROTOCOL, script)


def test_hostile_certificate(trial: Trial) -> None:
    with trial.server(fakeserver.usual, pair=certificates().hostile) as server:
        words = [flag for flag in trial.client(server, "-once").flags if flag != "-insecure"]
        with Sevpn(
            trial.topology.client, *words, env={"SSL_CERT_FILE": str(certificates().ca)}
        ) as run:
            line = run.expect_exit(EXIT_CERTIFICATE)
            assert_clean(run)
    assert "SHA-256" in line
