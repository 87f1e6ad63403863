"""Hosts and servers that mean harm, behind the tunnel and in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.client import TAP, Sevpn, flags, program
from lab.dhcp import GATEWAY, Dnsmasq, route_option
from lab.process import wait_for
from lab.server import FAR_IP, LAN_IP, LAN_TAP
from lab.smalldhcp import SmallDhcp
from lab.topology import CLIENT_GATEWAY, SERVER_IP
from sevpn.dhcp.timers import DECLINE_WAIT_S, T1_MIN_S
from support.lan_stranger import ADDRESS, PREFIX, WRONG_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.process import Process
    from lab.server import SoftEther
    from lab.topology import Namespace, Topology

TESTS = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
GOOD_ROUTE = "172.16.0.0/12"
HALF = f"0.0.0.0/1 via {CLIENT_GATEWAY} dev eth0"


@contextlib.contextmanager
def stranger(server: SoftEther, kind: str) -> Iterator[Process]:
    """A hostile station on the LAN behind the tunnel; see support.lan_stranger."""
    process = server.namespace.start(
        *(sys.executable, "-m", "support.lan_stranger", LAN_TAP, kind), env=ENVIRONMENT
    )
    try:
        process.wait_line("^here$", 10.0)
        yield process
    finally:
        process.kill()


def status(host: Namespace) -> dict[str, Any]:
    """Return `sevpn status -json`."""
    done = host.run(*program(), "status", "-json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_routes_that_capture_too_much(host: Namespace, server: SoftEther) -> None:
    """To the server, loopback, link-local, multicast, the host's own networks: refused, said."""
    bad = [
        (SERVER_IP, 32),
        ("127.0.0.0", 9),
        ("169.254.169.254", 32),
        ("224.0.0.0", 4),
        ("192.0.2.128", 25),
        (CLIENT_GATEWAY, 32),
    ]
    options = [*GATEWAY, route_option(121, [("0.0.0.0", 0), ("172.16.0.0", 12), *bad])]
    further = ("-accept-static-routes", "-accept-default-gateway")
    with Dnsmasq(server.namespace, options=options), Sevpn(host, *flags(*further)) as run:
        run.wait_address()
        run.wait_line("ready: traffic flows")
        found = host.ip("-4", "route", "show", "dev", TAP)
        assert {r["dst"] for r in found} == {"10.77.0.0/24", GOOD_ROUTE, "default"}
        for network, length in bad:
            run.wait_line(rf"{network}/{length} .*refused", 1.0)
        host.wait_ping(FAR_IP)
        run.stop()


def test_forged_dhcp_answers(host: Namespace, server: SoftEther) -> None:
    """NAKs and ACKs of a stranger, also under our server's name, at first and at renewal."""
    arguments = (f"--lease={2 * T1_MIN_S}", "--deaf-to-renewals")
    with SmallDhcp(server.namespace, *arguments) as dhcp, stranger(server, "dhcp") as rogue:
        with Sevpn(host, *flags("-accept-default-gateway")) as run:
            address = run.wait_address()
            run.wait_line("ready: traffic flows")
            mark = rogue.mark()
            dhcp.process.wait_line("renew$", T1_MIN_S + 2.0)
            rogue.wait_line("forged", 2.0, mark)
            time.sleep(0.5)
            assert (run.address() or "").startswith(address + "/")
            assert address != WRONG_ADDRESS
            assert "lease lost" not in run.log
            assert ADDRESS not in str(host.ip("route", "show"))
            assert status(host)["counters"]["dhcp_strangers"] >= 1
            host.wait_ping(LAN_IP)
            run.stop()


def test_offered_address_is_in_use(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """Another host has it: declined, and another one used."""
    with stranger(server, "squatter") as squatter:
        with Sevpn(host, *flags()) as run:
            began_s = time.monotonic()
            taken = squatter.wait_line(r"squatting on ([\d.]+)")[1]
            run.wait_line(rf"{taken} is in use by .*declined")
            dhcp.wait(rf"DHCPDECLINE\(\S+\) {taken}")
            assert run.address() is None
            assert run.wait_address(DECLINE_WAIT_S + 8.0) != taken
            print(f"\nanother address after {time.monotonic() - began_s:.1f} s")
            host.wait_ping(LAN_IP)
            run.stop()


@pytest.fixture
def eager_host(host: Namespace) -> Iterator[Namespace]:
    """A host that, by default, does what router advertisements say: as most do."""
    switch = Path("/proc/sys/net/ipv6/conf/default/accept_ra")
    if not switch.exists():
        pytest.skip("no IPv6 in this kernel")
    host.run("sysctl", "-qw", "net.ipv6.conf.default.accept_ra=1")
    yield host
    host.run("sysctl", "-qw", "net.ipv6.conf.default.accept_ra=0")


def ipv6_of_the_rogue(host: Namespace) -> list[str]:
    """Return what addresses and routes came from the stranger's advertisements."""
    prefix = PREFIX.rstrip(":")
    found = [a["local"] for link in host.ip("-6", "addr") for a in link["addr_info"]]
    routes = [r["dst"] + r.get("gateway", "") for r in host.ip("-6", "route") if r["dev"] == TAP]
    return [x for x in (*found, *routes) if x.startswith(prefix) or "bad" in x]


@pytest.mark.parametrize("wanted", [False, True])
def test_router_advertisements(
    eager_host: Namespace, server: SoftEther, dhcp: Dnsmasq, wanted: bool
) -> None:
    """Ignored on the TAP unless asked for."""
    with stranger(server, "router") as router:
        with Sevpn(eager_host, *flags(*["-accept-ra"] * wanted)) as run:
            run.wait_address()
            run.wait_line("ready: traffic flows")
            mark = router.mark()
            for _ in range(5):
                router.wait_line("advertised", 2.0, mark)
                mark = router.mark()
            if wanted:
                wait_for(lambda: ipv6_of_the_rogue(eager_host), 5.0, "the advertised address")
            else:
                assert ipv6_of_the_rogue(eager_host) == []
            run.stop()


def test_route_pushed_on_the_physical_link(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """TunnelVision: noticed at once, named in a warning and in the status, until it goes."""
    with Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_address()
        run.wait_line("ready: traffic flows")
        host.wait_ping(FAR_IP)
        assert status(host)["hijacks"] == []
        try:
            began_s = time.monotonic()
            host.ip_batch(f"route add {HALF}\n")
            run.wait_line(r"warning: .*0\.0\.0\.0/1 on eth0", 3.0)
            print(f"\nnoticed after {time.monotonic() - began_s:.2f} s")
            hijacks = status(host)["hijacks"]
            assert [(h["network"], h["interface"]) for h in hijacks] == [("0.0.0.0/1", "eth0")]
            assert "0.0.0.0/1 on eth0" in host.run(*program(), "status").stdout
        finally:
            host.ip_batch(f"route del {HALF}\n")
        wait_for(lambda: not status(host)["hijacks"], 3.0, "the warning to go from the status")
        assert "resumed" not in run.log
        run.stop()


def test_route_of_the_lan_that_was_there_before(
    topology: Topology, host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """A route of the administrator's own is no news: no warning."""
    host.ip_batch(f"route add 198.18.0.0/15 via {CLIENT_GATEWAY} dev eth0\n")
    try:
        with Sevpn(host, *flags("-accept-default-gateway")) as run:
            run.wait_address()
            run.wait_line("ready: traffic flows")
            host.ip_batch(f"route add 198.51.100.99 via {CLIENT_GATEWAY} dev eth0\n")
            run.wait_line(r"198\.51\.100\.99/32 on eth0", 3.0)
            assert "198.18.0.0" not in run.log
            run.stop()
    finally:
        host.run("ip", "route", "del", "198.18.0.0/15", check=False)
        host.run("ip", "route", "del", "198.51.100.99", check=False)
