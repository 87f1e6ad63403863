"""A server that misbehaves: one clear line, the documented exit code, bounded time and memory.

The real program against `support.fakeserver`; the address space is limited by prlimit, so
that whoever could be made to keep what a server sends would die of it.
"""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING

import pytest

from lab.client import Sevpn, flags
from lab.topology import SERVER_IP, Topology
from sevpn._block import encode_group, encode_keepalive
from sevpn.errors import (
    EXIT_CERTIFICATE,
    EXIT_NETWORK,
    EXIT_PROTOCOL,
    EXIT_REFUSED,
)
from support import fakeserver
from support.bridge_rig import frame
from support.fakeserver import HOSTILE, FakeServer, Visit
from support.fakeserver_proto import (
    error_response,
    hello_response,
    http_response,
    noop_response,
    redirect_response,
    welcome_response,
)
from support.tls_certs import Pair, certificates

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.topology import Namespace

    Script = Callable[[Visit], object]

SPACE_BYTES = 400 << 20
QUICK_S = 6.0
TAP = "svf0"


class Trial:
    """A fake server in the server's namespace and a run of sevpn in the client's."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology

    def server(self, *scripts: Script, pair: Pair | None = None) -> FakeServer:
        namespace = self.topology.server.name
        return FakeServer(*scripts, pair=pair, address=SERVER_IP, namespace=namespace)

    def client(self, server: FakeServer, *further: str) -> Sevpn:
        arguments = flags("-port", str(server.port), "-no-dhcp", *further, tap=TAP)
        return Sevpn(
            self.topology.client,
            *arguments,
            prefix=("prlimit", f"--as={SPACE_BYTES}", "--core=0", "--"),
        )

    def fails(self, code: int, *scripts: Script, limit_s: float = QUICK_S) -> str:
        """Run with -once until it ends; return its one error line."""
        with self.server(*scripts) as server, self.client(server, "-once") as run:
            before_s = time.monotonic()
            line = run.expect_exit(code, limit_s + 10)
            assert time.monotonic() - before_s < limit_s
            assert_clean(run)
            return line


def assert_clean(run: Sevpn) -> None:
    """Nothing of what a server sends may play with a terminal or forge a line."""
    for line in run.process.lines:
        assert line.text.isprintable(), repr(line.text)
        assert not line.text.startswith("error: forged")
    assert "Traceback" not in run.log


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
        ((error_response(10),), EXIT_REFUSED, "offline"),
        ((error_response(4_000_000_000),), EXIT_REFUSED, "server error 4000000000"),
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


# --- redirects ---


def test_redirect(trial: Trial) -> None:
    der = certificates().good.der()
    with trial.server(fakeserver.usual) as member:

        def script(visit: Visit) -> None:
            visit.login(redirect_response(SERVER_IP, (member.port,), certificate=der))
            visit.hear(3)
            visit.wait_end()

        with trial.server(script) as controller, trial.client(controller) as run:
            run.wait_line("redirected to")
            run.wait_line("ready")
            run.stop()
    assert controller.visits[0].has_ended
    assert member.visits[0].packs[0].data("ticket")


def test_redirect_to_another_certificate(trial: Trial) -> None:
    with trial.server(fakeserver.usual) as member:

        def script(visit: Visit) -> None:
            der = certificates().expired.der()
            visit.login(redirect_response(SERVER_IP, (member.port,), certificate=der))
            visit.wait_end()

        assert "another certificate" in trial.fails(EXIT_CERTIFICATE, script)
    assert member.visits[0].requests == []  # the ticket was not given away


def test_redirect_loop(trial: Trial) -> None:
    def script(visit: Visit) -> None:
        der = certificates().good.der()
        visit.login(redirect_response(SERVER_IP, (visit.server.port,), certificate=der))
        visit.wait_end()

    assert "redirects" in trial.fails(EXIT_PROTOCOL, script)


# --- the tunnel ---


def test_tunnel_bytes_behind_the_welcome(trial: Trial) -> None:
    """They came in one record with the Welcome, one of them cut."""

    def script(visit: Visit) -> None:
        tail = encode_keepalive(b"abc") + encode_group([frame(1), frame(2)])
        visit.login(welcome_response() + tail[:-5])
        visit.send(tail[-5:])
        visit.tunnel()

    with trial.server(script) as server, trial.client(server) as run:
        run.wait_line("ready")
        time.sleep(0.5)
        run.stop()


def test_frames_no_tap_takes_are_survived(trial: Trial) -> None:
    def script(visit: Visit) -> None:
        visit.welcome()
        for size in (0, 13, 14):
            visit.send(encode_group([]) + bytes([0, 0, 0, 1, 0, 0, 0, size]) + bytes(size))
        visit.send(fakeserver.TUNNEL_BLOCK_1601)
        visit.tunnel()

    with trial.server(script) as server, trial.client(server) as run:
        run.wait_line("ready")
        time.sleep(0.5)
        run.stop()


@pytest.mark.parametrize(
    "bad", [fakeserver.TUNNEL_BLOCK_3201, fakeserver.TUNNEL_KEEPALIVE_513], ids=["block", "alive"]
)
def test_broken_framing(trial: Trial, bad: bytes) -> None:
    def script(visit: Visit) -> None:
        visit.welcome()
        visit.send(bad)
        visit.wait_end()

    assert "framing" in trial.fails(EXIT_PROTOCOL, script)


def test_flood_without_a_frame(trial: Trial) -> None:
    """Megabytes of what is skipped cost nothing but time."""

    def script(visit: Visit) -> None:
        visit.welcome()
        for _ in range(40):
            visit.send(fakeserver.TUNNEL_BLOCK_1601 * 600)
        visit.tunnel()

    with trial.server(script) as server, trial.client(server) as run:
        run.wait_line("ready")
        time.sleep(1.0)
        assert run.memory_kb()["VmHWM"] < 100_000
        run.stop()


# --- loss and resume ---


def test_dead_peer(trial: Trial) -> None:
    """T = 5 s of silence: the connection is given up, and resumed."""

    def resumed(visit: Visit) -> None:
        visit.resume()
        visit.tunnel()

    with trial.server(fakeserver.silent_in_tunnel, resumed) as server, trial.client(server) as run:
        run.wait_line("ready")
        before_s = time.monotonic()
        run.wait_line("no sign of life from the server for 5 s", 8.0)
        assert 4.0 < time.monotonic() - before_s < 7.0
        run.wait_line("resumed", 3.0)
        run.stop()
    # It kept its own side alive meanwhile: a keepalive each 1 to 1.5 s.
    keepalives = re.findall(b"\xff\xff\xff\xff", server.visits[0].received)
    assert len(keepalives) >= 3
    key = server.visits[1].packs[0].data("session_key")
    assert key == bytes(range(100, 120))


def refuses_13(visit: Visit) -> None:
    visit.refuse(13)


def test_session_is_gone(trial: Trial) -> None:
    line = trial.fails(EXIT_NETWORK, fakeserver.tunnel_and_cut, refuses_13)
    assert "ended" in line or "lost" in line or "closed" in line


def test_session_is_gone_and_back_by_a_login(trial: Trial) -> None:
    scripts = (fakeserver.tunnel_and_cut, refuses_13, fakeserver.usual)
    with trial.server(*scripts) as server, trial.client(server) as run:
        run.wait_line("ready")
        mark = run.process.mark()
        run.wait_line("reconnecting in", 5.0)
        run.wait_line("ready", 5.0, mark)
        run.stop()
    assert server.visits[2].packs[0].str("method") == "login"


def test_resumed_and_cut_at_once(trial: Trial) -> None:
    """What 5.01 does after an unclean loss: a full login follows."""
    scripts = (fakeserver.tunnel_and_cut, fakeserver.resumed_and_cut, fakeserver.usual)
    with trial.server(*scripts) as server, trial.client(server) as run:
        run.wait_line("ready")
        run.wait_line("reconnecting in", 8.0)
        run.wait_line("ready", 5.0, run.process.mark())
        run.stop()
    methods = [visit.packs[0].str("method") for visit in server.visits]
    assert methods == ["login", "additional_connect", "login"]


def test_connections_are_a_second_apart(trial: Trial) -> None:
    def closed(visit: Visit) -> None:
        visit.cut()

    with trial.server(fakeserver.tunnel_and_cut, closed) as server, trial.client(server) as run:
        run.wait_line("ready")
        time.sleep(5.0)
        run.stop()
    times = [visit.at_s for visit in server.visits[1:]]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) >= 2
    assert min(gaps) > 0.9


# --- signals while a server does nothing ---


@pytest.mark.parametrize("stage", ["tls", "hello", "login", "tunnel"])
def test_signal_while_the_server_is_silent(trial: Trial, stage: str) -> None:
    def script(visit: Visit) -> None:
        if stage != "tls":
            visit.secure()
        if stage == "login":
            visit.side.hello = hello_response()
            visit.hear(2)
        if stage == "tunnel":
            visit.side.hello, visit.side.replies = hello_response(), [welcome_response()]
            visit.hear(2)
        visit.wait_end()

    with trial.server(script) as server, trial.client(server) as run:
        if stage == "tunnel":
            run.wait_line("ready")
        else:
            while not server.visits:
                time.sleep(0.02)
            time.sleep(0.3)
        run.stop()
        assert_clean(run)
