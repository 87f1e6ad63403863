"""Redirects, broken tunnels, loss and resume, and signals while a server is silent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lab.process import wait_for
from lab.topology import SERVER_IP, Topology
from sevpn._block import encode_group, encode_keepalive
from sevpn.errors import (
    EXIT_CERTIFICATE,
    EXIT_NETWORK,
    EXIT_PROTOCOL,
)
from support import fakeserver
from support.bridge_rig import frame
from support.fakeserver_proto import (
    hello_response,
    redirect_response,
    welcome_response,
)
from support.fault_trial import Trial, assert_clean
from support.tls_certs import certificates

if TYPE_CHECKING:
    from support.fakeserver import Visit


@pytest.fixture
def trial(topology: Topology) -> Trial:
    return Trial(topology)


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
        run.wait_line("no sign of life from the server for 5 s", 8.0)
        run.wait_line("resumed", 3.0)
        run.stop()
    # Counted from before the last word of the first connection to after the start of the next.
    assert server.visits[1].at_s - server.visits[0].at_s >= 5.0
    # It kept its own side alive meanwhile. How many there are is no property: each frame of its
    # own puts the next one off.
    assert b"\xff\xff\xff\xff" in server.visits[0].received
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
        wait_for(lambda: len(server.visits) >= 5, 30.0, "four further connections")
        run.stop()
    # All in all: when a busy machine takes one late, the next is nearer to it.
    times = [visit.at_s for visit in server.visits[1:]]
    assert times[-1] - times[0] > 0.5 * (len(times) - 1)


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
