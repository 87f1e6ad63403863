"""No leak is silent: what was asked for and is not in force is said, shown, and no "ready"."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lab.client import TAP, Sevpn, flags, program
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq, route_option
from lab.process import wait_for
from lab.server import FAR_IP, LAN_IP
from lab.topology import CLIENT_IP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.server import SoftEther
    from lab.topology import Namespace

STATIC = route_option(121, [("10.0.0.0", 8)])


def status(host: Namespace) -> dict[str, Any]:
    done = host.run(*program(), "status", "-json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def degraded(host: Namespace) -> list[dict[str, str]]:
    """Wait until the run has settled as degraded; return its shortfalls."""
    found = wait_for(
        lambda: (now := status(host))["state"] == "degraded" and now, 20.0, "the state degraded"
    )
    done = host.run(*program(), "wait", "-timeout", "100ms", check=False)
    assert done.returncode == 9
    shortfalls: list[dict[str, str]] = found["shortfalls"]
    assert shortfalls
    text = host.run(*program(), "status").stdout
    assert "NOT AS ASKED" in text
    assert shortfalls[0]["why"] in text
    return shortfalls


@contextmanager
def offering(server: SoftEther, *options: str) -> Iterator[None]:
    with Dnsmasq(server.namespace, options=list(options)):
        yield


def test_no_gateway_in_the_lease(host: Namespace, server: SoftEther) -> None:
    with offering(server, "3"), Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_line("warning: .*names no gateway.*outside the tunnel")
        (one,) = degraded(host)
        assert one["asked"] == "-accept-default-gateway"
        assert "ready" not in run.process.text()
        run.stop()


def test_classless_routes_without_a_default_one(host: Namespace, server: SoftEther) -> None:
    """With the default route asked for and no static ones, the gateway of option 3 counts."""
    with offering(server, *GATEWAY, STATIC):
        with Sevpn(host, *flags("-accept-default-gateway")) as run:
            run.wait_line("ready")
            assert host.ip("route", "get", FAR_IP)[0]["dev"] == TAP
            run.stop()
        with Sevpn(host, *flags("-accept-default-gateway", "-accept-static-routes")) as run:
            run.wait_line(rf"lease .* gateway {LAN_IP}")
            run.wait_line(rf"warning: .*{LAN_IP} is not used .RFC 3442")
            degraded(host)
            assert status(host)["lease"]["gateway"] == LAN_IP
            run.stop()


def test_dns_that_cannot_be_written(host: Namespace, server: SoftEther) -> None:
    """No system bus here, and resolved was asked for: no errno in brackets, no "DNS set"."""
    with offering(server, *GATEWAY, *NAME_SERVERS):
        with Sevpn(host, *flags("-accept-dns", "-dns", "resolved")) as run:
            line = run.wait_line("warning: -accept-dns: .*")
            assert "Errno" not in line
            degraded(host)
            assert status(host)["dns"] is None
            run.stop()
        assert "DNS set" not in run.process.text()


def test_ipv6_goes_around(host: Namespace, server: SoftEther) -> None:
    host.run("ip", "route", "add", "default", "via", "fd00:a::1", "dev", "eth0")
    try:
        with offering(server, *GATEWAY), Sevpn(host, *flags("-accept-default-gateway")) as run:
            run.wait_line("warning: .*IPv6 has a default route of its own on eth0")
            degraded(host)
            run.stop()
        host.run("ip", "-6", "route", "add", "unreachable", "default", "metric", "1")
        with offering(server, *GATEWAY), Sevpn(host, *flags("-accept-default-gateway")) as run:
            run.wait_line("ready")
            run.stop()
    finally:
        host.run("ip", "-6", "route", "del", "unreachable", "default", check=False)
        host.run("ip", "-6", "route", "del", "default", "via", "fd00:a::1", "dev", "eth0")


def test_without_dhcp(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-no-dhcp")) as run:
        run.wait_line("ready: the session stands .-no-dhcp: nothing was checked")
        run.stop()
    with Sevpn(host, *flags("-no-dhcp", "-accept-dns")) as run:
        run.wait_line("warning: -accept-dns: -no-dhcp asks nobody")
        degraded(host)
        run.stop()


def test_what_is_offered_and_not_used(host: Namespace, server: SoftEther) -> None:
    with offering(server, *GATEWAY, *NAME_SERVERS), Sevpn(host, *flags()) as run:
        run.wait_line(rf"not used: default gateway {LAN_IP} .-accept-default-gateway., DNS")
        run.wait_line("ready")
        run.stop()


def test_the_same_subnet_on_the_lan(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    host.ip_batch("addr add 10.77.0.7/24 dev eth0\n")
    try:
        with Sevpn(host, *flags()) as run:
            run.wait_line(rf"warning: .*on eth0 as well as on {TAP}")
            assert status(host)["shortfalls"]
            run.stop()
    finally:
        host.ip_batch("addr del 10.77.0.7/24 dev eth0\n")


def test_an_outage_that_takes_the_routes_back_is_said(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    with Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_line("ready")
        server.kill()
        run.wait_line("warning: routes and DNS are taken back: traffic leaves outside", 60.0)
        server.start()
        run.stop()


FORWARDER = """
import socket, sys, threading
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    a.close(); b.close()
listener = socket.create_server((sys.argv[1], 8443))
print("listening", flush=True)
while True:
    near, _ = listener.accept()
    far = socket.create_connection((sys.argv[2], 443))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@pytest.mark.parametrize("address", ["127.0.0.1", CLIENT_IP])
def test_a_forwarder_on_this_host(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, address: str
) -> None:
    """A healthy connection stays one at each link event, and what may cut it off is said."""
    from lab.topology import SERVER_IP

    with host.start("python3", "-c", FORWARDER, address, SERVER_IP) as forwarder:
        forwarder.wait_line("listening")
        with Sevpn(host, *flags("-port", "8443", host=address)) as run:
            run.wait_line("ready")
            for number in range(5):
                host.ip_batch(
                    f"link add x{number} type veth peer name y{number}\nlink set x{number} up\n"
                )
                wait_for(lambda: host.ping(LAN_IP, count=2), 20.0, "an answer")
            text = run.process.text()
            assert "changed" not in text
            assert status(host)["counters"]["resumes"] == 0
            run.stop()
        with Sevpn(host, *flags("-port", "8443", "-accept-default-gateway", host=address)) as run:
            run.wait_line("warning: the server is at an address of this host")
            run.stop()
        for number in range(5):
            host.ip_batch(f"link del x{number}\n")
