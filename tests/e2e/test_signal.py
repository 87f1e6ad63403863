"""SIGTERM and SIGINT at every stage: gone in under a second, exit 0, the host as before."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from lab.capture import Watch
from lab.client import Sevpn, flags, snapshot
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq
from lab.peers import Peer
from lab.process import wait_for
from lab.server import LAN_TAP
from lab.topology import BLACK_HOLE_DNS, BLACK_HOLE_IP, SERVER_IP, UNUSED_PORT, Topology

if TYPE_CHECKING:
    from lab.certs import Certificates
    from lab.server import SoftEther
    from lab.topology import Namespace

PEER_PORT = 8443
EVERYTHING = (
    *("-accept-default-gateway", "-accept-static-routes", "-accept-dns"),
    *("-policy-route-table", "200"),
)
END_SIGNALS = [signal.SIGTERM, signal.SIGINT]


def test_while_resolving(topology: Topology, host: Namespace) -> None:
    host.path("/etc/resolv.conf").write_text(f"nameserver {BLACK_HOLE_DNS}\n", encoding="ascii")
    try:
        with Watch(topology.router, "c0", "udp port 53") as asked:
            with Sevpn(host, *flags(host="nobody-knows.test")) as run:
                asked.wait()
                run.stop()
    finally:
        topology.restore_resolv_conf()


def test_while_connecting_to_a_black_hole(host: Namespace) -> None:
    with Sevpn(host, *flags(host=BLACK_HOLE_IP)) as run:
        wait_for(
            lambda: BLACK_HOLE_IP in host.run("ss", "-Htn", "state", "syn-sent").stdout, 5.0, "SYN"
        )
        run.stop()


def test_in_the_tls_handshake(host: Namespace, server: SoftEther) -> None:
    with Peer(server.namespace, "silent", PEER_PORT) as peer:
        with Sevpn(host, *flags("-port", str(PEER_PORT))) as run:
            peer.process.wait_line("connection")
            run.stop()


def test_waiting_for_the_hello(
    host: Namespace, server: SoftEther, certificates: Certificates
) -> None:
    with Peer(server.namespace, "tls-silent", PEER_PORT, certificates.good) as peer:
        with Sevpn(host, *flags("-port", str(PEER_PORT))) as run:
            peer.process.wait_line("ready")
            run.stop()


def test_in_dhcp_without_a_server(host: Namespace, server: SoftEther) -> None:
    with Watch(server.namespace, LAN_TAP, "udp port 67") as asked:
        with Sevpn(host, *flags(*EVERYTHING)) as run:
            asked.wait()
            run.stop()


# Every one whose default action would kill us and leave the host changed is of this kind; 64 stands
# for the real-time ones.
@pytest.mark.parametrize("number", [*END_SIGNALS, signal.SIGQUIT, signal.SIGALRM, 64])
def test_in_the_tunnel(host: Namespace, server: SoftEther, number: int) -> None:
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]) as dhcp:
        with Sevpn(host, *flags(*EVERYTHING)) as run:
            run.wait_address()
            wait_for(lambda: host.ip("route", "show", "table", "200"), 5.0, "the policy route")
            took_s = run.stop(number)
            print(f"\nended in {took_s:.3f} s")
            dhcp.wait("DHCPRELEASE", 2.0)
    wait_for(lambda: not server.sessions(), 20.0, "the server to see the end of the session")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_new_connection_on_a_signal(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, number: int
) -> None:
    """In the tunnel the session is resumed, in the delay the next login comes at once."""
    with Sevpn(host, *flags("-reconnect-delay", "5m", "-reconnect-max-delay", "5m")) as run:
        run.wait_line("ready")
        mark = run.process.mark()
        run.process.signal(number)
        run.wait_line("resumed", after=mark)
        run.process.signal(signal.SIGUSR1)
        run.wait_line("status: .*1 resumed sessions", after=mark)
        server.kill()
        run.wait_line("reconnecting in 300 s", 60.0)
        server.start()
        mark = run.process.mark()
        run.process.signal(number)
        run.wait_line("lease ", after=mark)
        run.stop()
        assert "ending on SIGTERM" in run.process.text()
        assert "everything was undone" in run.process.text()


@pytest.mark.parametrize("number", END_SIGNALS)
def test_in_the_reconnect_delay(host: Namespace, number: signal.Signals) -> None:
    with Sevpn(host, *flags("-port", str(UNUSED_PORT), "-reconnect-delay", "1m")) as run:
        run.wait_line("reconnecting in")
        run.stop(number)


@pytest.mark.parametrize("after_ms", [0, 20, 50, 100, 150, 200, 250, 300, 400, 500, 700])
def test_at_any_moment_of_coming_up(host: Namespace, server: SoftEther, after_ms: int) -> None:
    """From the first change of the host on, at intervals; `unchanged` compares it."""
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        with Sevpn(host, *flags(*EVERYTHING)) as run:
            wait_for(lambda: host.has_link(run.tap), 5.0, "the TAP", poll_s=0.005)
            time.sleep(after_ms / 1000)
            run.stop()


@pytest.mark.parametrize("gap_ms", [0, 5, 30])
def test_several_signals(host: Namespace, server: SoftEther, gap_ms: int) -> None:
    """A second and a third signal leave nothing half undone."""
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        with Sevpn(host, *flags(*EVERYTHING)) as run:
            run.wait_address()
            wait_for(lambda: host.ip("route", "show", "table", "200"), 5.0, "the policy route")
            for number in (signal.SIGINT, signal.SIGTERM):
                run.process.signal(number)
                time.sleep(gap_ms / 1000)
            if run.process.exit_code is None:
                run.process.signal(signal.SIGINT)
            assert run.process.wait(2.0) == 0


def test_terminal_interrupt(host: Namespace, server: SoftEther) -> None:
    """^C goes to the whole process group, so also to a child that is changing the host."""
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        with Sevpn(host, *flags(*EVERYTHING)) as run:
            run.wait_line("session ")
            run.process.signal_group(signal.SIGINT)
            assert run.process.wait(2.0) == 0


def test_while_resuming(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_address()
        server.kill()
        try:
            run.wait_line("(?i)lost|closed", 5.0)
            run.stop()
        finally:
            server.start()


def test_killed_run_is_undone_by_the_next(host: Namespace, server: SoftEther) -> None:
    """SIGKILL leaves routes, a rule and DNS behind; the next run puts everything back."""
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        was = snapshot(host)
        with Sevpn(host, *flags(*EVERYTHING)) as run:
            run.wait_line("ready")
            run.process.signal(signal.SIGKILL)
            run.process.wait()
        assert was.differences(snapshot(host))
        with Sevpn(host, *flags(*EVERYTHING)) as run:
            run.wait_line("ready")
            run.stop()


def test_server_gone_when_the_signal_comes(
    topology: Topology, host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """Nobody takes the last bytes: that must not delay the end."""
    with Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_address()
        with topology.cut():
            assert not host.ping(SERVER_IP, count=1, timeout_s=0.3)
            run.stop()
