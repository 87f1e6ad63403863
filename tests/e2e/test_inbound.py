"""Somebody outside of the tunnel talks to this host: an SSH session, a published port."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from lab.client import TAP, Sevpn, flags
from lab.process import PATIENCE_S, wait_for
from lab.server import FAR_IP
from lab.topology import CLIENT_IP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.dhcp import Dnsmasq
    from lab.process import Process
    from lab.server import SoftEther
    from lab.topology import Namespace, Topology

STRANGER = "203.0.113.99"  # somewhere on the internet: behind the router, no neighbour of ours
PORT = 2222
# Two ends of one connection; the stranger's tells of each answer.
SHELL = f"""
import socket
server = socket.create_server(("", {PORT}))
print("listening", flush=True)
while True:
    one, _ = server.accept()
    while data := one.recv(100):
        one.sendall(data)
"""
TYPIST = f"""
import socket, time
one = socket.create_connection(("{CLIENT_IP}", {PORT}), 20, ("{STRANGER}", 0))
while True:
    one.sendall(b"x")
    print("answered" if one.recv(100) else "closed", flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def stranger(topology: Topology) -> Iterator[Namespace]:
    """The router, with an address that is in nobody's network."""
    topology.router.ip_batch(f"addr add {STRANGER}/32 dev lo\n")
    yield topology.router
    topology.router.ip_batch(f"addr del {STRANGER}/32 dev lo\n")


def wait_answers(typist: Process, count: int = 5) -> None:
    """Wait for so many new answers."""
    for _ in range(count):
        typist.wait_line("answered", PATIENCE_S, typist.mark())


def test_a_session_in_use_goes_on(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, stranger: Namespace
) -> None:
    """From before the tunnel to after it, and new ones come in meanwhile."""
    with contextlib.ExitStack() as both:
        both.enter_context(host.start("python3", "-c", SHELL)).wait_line("listening", PATIENCE_S)
        typist = both.enter_context(stranger.start("python3", "-c", TYPIST))
        typist.wait_line("answered", PATIENCE_S)
        with Sevpn(host, *flags("-accept-default-gateway")) as run:
            run.wait_address()
            host.wait_ping(FAR_IP)
            assert host.ip("route", "get", STRANGER)[0]["dev"] == TAP, "new ones go inside"
            wait_answers(typist)
            stranger.wait_ping(CLIENT_IP, source=STRANGER)
            run.stop()
        wait_answers(typist)


def test_without_it_answers_are_lost(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, stranger: Namespace
) -> None:
    """The counter-check."""
    with Sevpn(host, *flags("-accept-default-gateway", "-keep-inbound=false")) as run:
        run.wait_address()
        host.wait_ping(FAR_IP)
        assert not stranger.ping(CLIENT_IP, source=STRANGER, count=1, timeout_s=0.5)
        assert [r for r in host.ip("rule", "show") if r.get("src") == CLIENT_IP] == []
        run.stop()


def test_an_address_that_comes_later_is_kept_too(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, stranger: Namespace
) -> None:
    late = "192.0.2.77"
    with Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_address()
        host.wait_ping(FAR_IP)
        host.ip_batch(f"addr add {late}/24 dev eth0\n")
        stranger.wait_ping(late, PATIENCE_S, source=STRANGER)
        # What somebody flushes comes back: systemd-networkd does this when it starts.
        host.ip_batch("rule del priority 32765\nrule del priority 32765\n")
        host.ip_batch(f"addr del {late}/24 dev eth0\n")

        def is_kept() -> bool:
            sources = [r.get("src") for r in host.ip("rule", "show") if r["priority"] == 32765]
            return sources == [CLIENT_IP]

        wait_for(is_kept, PATIENCE_S, "the rules of the one address that is left")
        stranger.wait_ping(CLIENT_IP, source=STRANGER)
        run.stop()
