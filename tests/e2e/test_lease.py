"""DHCP through the tunnel: SecureNAT's server, dnsmasq, and a server with bad manners."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from lab.capture import Capture, Watch
from lab.client import TAP, USUAL_DELAY_S, Sevpn, flags
from lab.dhcp import (
    GATEWAY,
    NAME_SERVERS,
    OTHER_RANGE,
    ROUTES,
    Dnsmasq,
    route_option,
)
from lab.server import FAR_IP, HUB_NAT, LAN_IP, LAN_TAP, NAT_IP
from lab.smalldhcp import SmallDhcp
from sevpn.dhcp.timers import T1_MIN_S
from sevpn.errors import EXIT_LEASE

if TYPE_CHECKING:
    from lab.server import SoftEther
    from lab.topology import Namespace, Topology

MAC = "5e:3b:6f:63:a8:3e"
LEASE_S = 20
SHORTEST_LEASE_S = 2 * T1_MIN_S


def test_securenat(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-hub", HUB_NAT)) as run:
        assert run.wait_address().startswith("192.168.30.")
        assert (run.address() or "").endswith("/24")
        host.wait_ping(NAT_IP)
        run.stop()


def test_dnsmasq(host: Namespace, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags("-mac", MAC)) as run:
        address = run.wait_address()
        assert dhcp.acknowledged() == [(address, MAC)]
        assert run.mac() == MAC
        host.wait_ping(LAN_IP)
        mark = dhcp.mark()
        run.stop()
        dhcp.wait(rf"DHCPRELEASE\(\S+\) {address} {MAC}", 2.0, mark)


def test_without_flags_no_route_is_taken(host: Namespace, server: SoftEther) -> None:
    """What the server pushes is installed only when asked for."""
    options = [*GATEWAY, *NAME_SERVERS, route_option(121, ROUTES)]
    with Dnsmasq(server.namespace, options=options), Sevpn(host, *flags()) as run:
        before = host.path("/etc/resolv.conf").read_text(encoding="utf-8")
        run.wait_address()
        host.wait_ping(LAN_IP)
        assert routes(host) == {"10.77.0.0/24": None}
        assert host.path("/etc/resolv.conf").read_text(encoding="utf-8") == before
        run.stop()


def routes(host: Namespace, device: str = TAP, table: str = "main") -> dict[str, str | None]:
    """Return the IPv4 routes of a device: destination to gateway."""
    found = host.ip("-4", "route", "show", "table", table, "dev", device)
    return {entry["dst"]: entry.get("gateway") for entry in found}


@pytest.mark.parametrize("number", [121, 249])
def test_static_routes(host: Namespace, server: SoftEther, number: int) -> None:
    """Prefix lengths 8, 12, 25 and 32; 0 needs -accept-default-gateway."""
    options = [*GATEWAY, route_option(number, ROUTES)]
    with Dnsmasq(server.namespace, options=options):
        with Sevpn(host, *flags("-accept-static-routes")) as run:
            run.wait_address()
            host.wait_ping(FAR_IP)
            assert routes(host) == {
                "10.77.0.0/24": None,
                "10.0.0.0/8": LAN_IP,
                "172.16.0.0/12": LAN_IP,
                "198.18.5.128/25": LAN_IP,
                "203.0.113.7": LAN_IP,
            }
            run.stop()


@pytest.mark.parametrize("number", [121, 249])
def test_default_route_from_classless_routes(
    host: Namespace, server: SoftEther, number: int
) -> None:
    """Option 3 names a router that is not there: with 121 present it must be ignored."""
    option_3 = "3,10.77.0.254" if number == 121 else f"3,{LAN_IP}"
    with Dnsmasq(server.namespace, options=[option_3, route_option(number, [("0.0.0.0", 0)])]):
        further = ("-accept-default-gateway", "-accept-static-routes")
        with Sevpn(host, *flags(*further)) as run:
            run.wait_address()
            host.wait_ping(FAR_IP)
            assert routes(host) == {"10.77.0.0/24": None, "default": LAN_IP}
            run.stop()


def test_classless_routes_without_a_default_leave_none(host: Namespace, server: SoftEther) -> None:
    options = [*GATEWAY, route_option(121, [("203.0.113.7", 32)])]
    with Dnsmasq(server.namespace, options=options):
        further = ("-accept-default-gateway", "-accept-static-routes")
        with Sevpn(host, *flags(*further)) as run:
            run.wait_address()
            host.wait_ping(FAR_IP)
            assert routes(host) == {"10.77.0.0/24": None, "203.0.113.7": LAN_IP}
            run.stop()


def test_renewal_while_traffic_flows(host: Namespace, server: SoftEther) -> None:
    """A 20-second lease: renewed at T1 by unicast, and not one packet is lost."""
    with SmallDhcp(server.namespace, f"--lease={LEASE_S}") as dhcp:
        with Sevpn(host, *flags()) as run:
            run.wait_address()
            host.wait_ping(LAN_IP)
            bound_s = last_line_at(dhcp, "ACK")
            ping = host.start("ping", "-q", "-n", "-i", "0.02", LAN_IP)
            mark = dhcp.process.mark()
            dhcp.process.wait_line(r"^REQUEST \S+ \S+ renew$", LEASE_S / 2 + 3, mark)
            dhcp.process.wait_line(r"^ACK", 1.0, mark)
            assert 0.4 * LEASE_S <= last_line_at(dhcp, "ACK") - bound_s <= 0.85 * LEASE_S
            # Past the end of the first lease: the address stays because of the renewal.
            dhcp.process.wait_line(r"^REQUEST \S+ \S+ renew$", LEASE_S, dhcp.process.mark())
            assert run.address() is not None
            ping.signal(signal.SIGINT)
            ping.wait()
            counts = re.search(r"(\d+) packets transmitted, (\d+) received", ping.text())
            assert counts, ping.text()
            # The last one may have been under way when we ended it.
            assert int(counts[1]) - int(counts[2]) <= 1, ping.text()
            assert "renewed" in run.log
            assert "reconnecting" not in run.log
            run.stop()


def last_line_at(dhcp: SmallDhcp, kind: str) -> float:
    """Return when the last line of that kind was printed."""
    return [line.at_s for line in dhcp.process.lines if line.text.startswith(kind)][-1]


def test_nak_on_renewal(host: Namespace, server: SoftEther) -> None:
    """The server takes the address back: another one is asked for, everything moves to it."""
    with SmallDhcp(server.namespace, f"--lease={SHORTEST_LEASE_S}", "--naks=1") as dhcp:
        with Sevpn(host, *flags("-policy-route-table", "200")) as run:
            first = run.wait_address()
            mark = dhcp.process.mark()
            dhcp.process.wait_line("^NAK", SHORTEST_LEASE_S, mark)
            second = run.wait_address(10.0, other_than=first)
            host.wait_ping(LAN_IP)
            assert first not in str(host.ip("addr", "show", TAP))
            rules = [rule for rule in host.ip("rule", "show") if rule.get("table") == "200"]
            assert [rule["src"] for rule in rules] == [second]
            run.stop()


def test_changed_range_of_dnsmasq(host: Namespace, server: SoftEther) -> None:
    """The same against dnsmasq, restarted with another range; renewal after 5 seconds."""
    with Dnsmasq(server.namespace, options=GATEWAY, t1_s=T1_MIN_S, t2_s=60) as dhcp:
        with Sevpn(host, *flags("-accept-default-gateway")) as run:
            first = run.wait_address()
            dhcp.restart(range_=OTHER_RANGE, forget=True)
            dhcp.wait("DHCPNAK", 10.0)
            second = run.wait_address(10.0, other_than=first)
            assert 150 <= int(second.rpartition(".")[2]) <= 199
            host.wait_ping(FAR_IP)
            run.stop()


def test_expiry(host: Namespace, server: SoftEther) -> None:
    """Nobody answers the renewals: the address goes when its time is over, and comes back."""
    with SmallDhcp(server.namespace, f"--lease={SHORTEST_LEASE_S}", "--deaf-to-renewals") as dhcp:
        with Sevpn(host, *flags()) as run:
            run.wait_address()
            mark = dhcp.process.mark()
            dhcp.process.wait_line(r"^DISCOVER", SHORTEST_LEASE_S + 3.0, mark)
            dhcp.process.wait_line(r"^ACK", 5.0, mark)
            run.wait_address()
            host.wait_ping(LAN_IP)
            run.stop()


def test_renewal_is_unicast(host: Namespace, server: SoftEther, topology: Topology) -> None:
    capture = Capture(server.namespace, LAN_TAP, topology.scratch / "renew.pcap", "udp or icmp")
    with SmallDhcp(server.namespace, f"--lease={SHORTEST_LEASE_S}") as dhcp, capture:
        with Sevpn(host, *flags()) as run:
            address = run.wait_address()
            dhcp.process.wait_line(r"renew$", SHORTEST_LEASE_S)
            run.wait_line("renewed", 2.0)
            host.wait_ping(LAN_IP)
            run.stop()
    tap = next(link for link in server.namespace.ip("link", "show") if link["ifname"] == LAN_TAP)
    renewals = capture.rows(
        f"dhcp.option.dhcp == 3 && ip.src == {address}", "ip.dst", "eth.dst", "dhcp.ip.client"
    )
    assert renewals[0] == [LAN_IP, tap["address"], address]
    # The answer is for sevpn, not for the kernel, which knows of no such port.
    assert capture.rows("icmp.type == 3", "ip.src") == []


def test_mac_gives_the_same_lease_after_reconnect(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    with Sevpn(host, *flags("-mac", MAC)) as run:
        address = run.wait_address()
        mark = dhcp.mark()
        server.disconnect(server.sessions()[0].name)
        dhcp.wait(rf"DHCPACK\(\S+\) {address} {MAC}", USUAL_DELAY_S + 5, mark)
        host.wait_ping(LAN_IP)
        run.stop()
    with Sevpn(host, *flags("-mac", MAC)) as run:
        assert run.wait_address() == address
        run.stop()


def test_stable_mac_without_the_flag(host: Namespace, dhcp: Dnsmasq) -> None:
    seen = set()
    for _ in range(2):
        with Sevpn(host, *flags()) as run:
            seen.add((run.wait_address(), run.mac()))
            run.stop()
    assert len(seen) == 1
    assert seen.pop()[1].startswith("5e:")


def test_no_dhcp_server(host: Namespace, server: SoftEther) -> None:
    """It says so and goes on asking; an address comes as soon as there is a server."""
    with Sevpn(host, *flags()) as run:
        with Watch(server.namespace, LAN_TAP, "udp port 67") as watch:
            watch.wait()
            run.wait_line("no DHCP answer", 30.0)
            assert run.address() is None
        with Dnsmasq(server.namespace, options=GATEWAY):
            run.wait_address(40.0)
            host.wait_ping(LAN_IP)
            run.stop()


@pytest.mark.slow
def test_no_dhcp_server_once(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-once")) as run:
        assert "DHCP" in run.expect_exit(EXIT_LEASE, 60.0)


def test_no_dhcp(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """-no-dhcp: up and bridged, nothing else: a static address works."""
    flag_list = flags("-no-dhcp", "-accept-default-gateway", "-accept-dns", "-mac", MAC)
    known = host.ip("route", "show", "table", "main")
    with Sevpn(host, *flag_list) as run:
        run.wait_line("session ")
        host.ip_batch(f"addr add 10.77.0.9/24 dev {TAP}\n")
        host.wait_ping(LAN_IP)
        assert run.mac() == MAC
        after = [r for r in host.ip("route", "show", "table", "main") if r["dev"] != TAP]
        assert after == known
        assert dhcp.acknowledged() == []
        run.stop()


def test_mtu_option(host: Namespace, server: SoftEther) -> None:
    with Dnsmasq(server.namespace, options=[*GATEWAY, "26,1300"]):
        with Sevpn(host, *flags()) as run:
            run.wait_address()
            link = next(x for x in host.ip("link", "show") if x["ifname"] == TAP)
            assert link["mtu"] == 1300
            host.wait_ping(LAN_IP)
            run.stop()


def test_dhcp_force_policy(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """A hub that lets only DHCP's addresses through: also after a reconnect."""
    server.create_user("forced", "correct horse")
    server.set_policy("forced", "DHCPForce", "yes")
    try:
        with Sevpn(host, *flags(user="forced")) as run:
            run.wait_address()
            host.wait_ping(LAN_IP)
            mark = dhcp.mark()
            server.disconnect(server.sessions()[0].name)
            dhcp.wait("DHCPACK", USUAL_DELAY_S + 5, mark)
            host.wait_ping(LAN_IP)
            run.stop()
    finally:
        server.command("UserDelete forced", hub="DEFAULT")


def test_address_is_there_soon(host: Namespace, dhcp: Dnsmasq) -> None:
    """From start to a usable address; printed, with a generous limit."""
    began_s = time.monotonic()
    with Sevpn(host, *flags()) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        took_s = time.monotonic() - began_s
        run.stop()
    print(f"\nfrom start to the first answer: {took_s:.2f} s")
    assert took_s < 20
