"""Losing the server and coming back; each test prints how long that took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lab.client import TAP, USUAL_DELAY_S, Sevpn, flags
from lab.process import wait_for
from lab.server import FAR_IP, HUB, LAN_IP, USER_QUICK

if TYPE_CHECKING:
    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace, Topology

# Patience. How fast it is the bench tells; here, that no timeout was needed.
BACK_LIMIT_S = USUAL_DELAY_S + 30.0
TIMEOUT = "no sign of life"


def test_server_killed_and_restarted(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """Back soon after the server's return, with a fresh lease, and not because a time was up."""
    with Sevpn(host, *flags("-v", "-accept-default-gateway")) as run:
        address = run.wait_address()
        host.wait_ping(FAR_IP)
        mark = dhcp.mark()
        server.kill()
        run.wait_line("(?i)lost|closed", 5.0)
        server.start()
        up_s = time.monotonic()
        dhcp.wait(rf"DHCPACK\(\S+\) {address}", BACK_LIMIT_S, mark)
        host.wait_ping(FAR_IP, BACK_LIMIT_S)
        print(f"\nback after {time.monotonic() - up_s:.1f} s")
        assert TIMEOUT not in run.log
        run.stop()


def test_admin_disconnect(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_address()
        host.wait_ping(FAR_IP)
        old = server.sessions()[0].name
        mark = dhcp.mark()
        began_s = time.monotonic()
        server.disconnect(old)
        dhcp.wait("DHCPACK", BACK_LIMIT_S, mark)
        host.wait_ping(FAR_IP, BACK_LIMIT_S)
        print(f"\nback after {time.monotonic() - began_s:.1f} s")
        names = [session.name for session in server.sessions()]
        assert old not in names
        assert len(names) == 1
        assert TIMEOUT not in run.log
        run.stop()


def test_password_changed_while_connected(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """After a session of this run a refusal is retried, slowly, and not the end."""
    server.create_user("moody", "first")
    try:
        with Sevpn(host, *flags(user="moody", password="first")) as run:
            run.wait_address()
            server.command("UserPasswordSet moody /PASSWORD:second", hub=HUB)
            server.disconnect(server.sessions()[0].name)
            run.wait_line("password", 10.0)
            delay = run.process.wait_line(
                r"reconnecting in ([\d.]+) ?s", 5.0, run.process.mark() - 1
            )
            assert float(delay[1]) >= 60
            run.stop()
    finally:
        server.command("UserDelete moody", hub=HUB)


def test_hub_offline_and_online_again(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """An offline hub is a reason to wait a minute; the signal must get through meanwhile."""
    with Sevpn(host, *flags()) as run:
        run.wait_address()
        server.hub_offline()
        try:
            run.wait_line("offline", 10.0)
            run.wait_line("reconnecting in", 5.0)
        finally:
            server.hub_online()
        run.stop()


def test_wire_cut_shortly(topology: Topology, host: Namespace, dhcp: Dnsmasq) -> None:
    """Three seconds without a network: the same session goes on."""
    with Sevpn(host, *flags()) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        mark = dhcp.mark()
        with topology.cut():
            time.sleep(3.0)
        began_s = time.monotonic()
        host.wait_ping(LAN_IP, 10.0)
        print(f"\nback after {time.monotonic() - began_s:.1f} s")
        assert "DHCPDISCOVER" not in "\n".join(dhcp.log().splitlines()[mark:])
        run.stop()


def test_dead_peer_is_noticed(
    topology: Topology, host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """The welcome's timeout (5 s here) without a sign of life: lost; back when it is back."""
    with Sevpn(host, *flags(user=USER_QUICK)) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        with topology.cut():
            cut_s = time.monotonic()
            run.wait_line(f"{TIMEOUT} from the server for 5 s|the way to the server is dead", 30.0)
            print(f"\nnoticed after {time.monotonic() - cut_s:.1f} s")
        began_s = time.monotonic()
        host.wait_ping(LAN_IP, 12.0)
        print(f"back after {time.monotonic() - began_s:.1f} s")
        run.stop()


def test_idle_session_lives_on(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """Keepalives at a quarter of the timeout keep the shortest session for three timeouts."""
    with Sevpn(host, *flags(user=USER_QUICK)) as run:
        run.wait_address()
        name = server.sessions()[0].name
        mark = run.process.mark()
        time.sleep(15.0)
        assert [session.name for session in server.sessions()] == [name]
        assert "lost" not in "\n".join(x.text for x in run.process.lines[mark:])
        host.wait_ping(LAN_IP)
        run.stop()


def test_connection_reset_resumes_the_session(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """The TCP connection dies (a NAT forgot it): the session is resumed or made anew at once."""
    with Sevpn(host, *flags(user=USER_QUICK)) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        mark = run.process.mark()
        host.run("ss", "-K", "dst", "198.51.100.10", "dport", "=", "443", check=False)
        run.wait_line("(?i)lost|closed|resumed", 5.0, mark)
        began_s = time.monotonic()
        wait_for(lambda: host.ping(LAN_IP, count=1, timeout_s=0.3), 12.0, "the way back")
        resumed = "resumed" in "\n".join(x.text for x in run.process.lines[mark:])
        print(f"\nback after {time.monotonic() - began_s:.1f} s, {resumed = }")
        run.stop()


def test_once_ends_with_the_session(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags("-once")) as run:
        run.wait_address()
        server.disconnect(server.sessions()[0].name)
        assert run.process.wait(10.0) != 0
        assert not host.has_link(TAP)


def test_delay_grows(host: Namespace) -> None:
    """A refused port, again and again: the first delay is the flag's, then it grows."""
    with Sevpn(host, *flags("-port", "4", "-reconnect-delay", "200ms")) as run:
        delays = []
        mark = 0
        for _ in range(4):
            found = run.process.wait_line(r"reconnecting in ([\d.]+) ?s", 10.0, mark)
            mark = next(
                n + 1
                for n, x in enumerate(run.process.lines)
                if n >= mark and x.text == found.string
            )
            delays.append(float(found[1]))
        print(f"\n{delays}")
        assert delays[0] == 0.2
        assert delays[-1] > delays[0] * 1.5
        run.stop()
