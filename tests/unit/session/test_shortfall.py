"""What was asked for beside what is in force."""

from __future__ import annotations

from typing import Any

import pytest

from sevpn.config import Config
from sevpn.dhcp.lease import Lease
from sevpn.session.shortfall import Shortfall, find, unused, without_dhcp

GOOD: dict[str, Any] = {
    "has_default": True,
    "has_halves": False,
    "default6": "",
    "neighbour": "vpn0",
    "overlap": "",
    "tap": "vpn0",
}


def lease_of(**values: Any) -> Lease:
    lease = Lease("10.0.0.5", "10.0.0.1", 3600)
    lease.prefix_len = 24
    lease.routers = ["10.0.0.1"]
    lease.dns = ["10.0.0.53"]
    for name, value in values.items():
        setattr(lease, name, value)
    return lease


def look(
    lease: Lease,
    found: dict[str, Any] | None = None,
    failed: dict[str, str] | None = None,
    **flags: Any,
) -> list[Shortfall]:
    config = Config(host="h", user="u", **flags)
    return find(config, lease, {**GOOD, **(found or {})}, failed or {})


def test_nothing_is_short() -> None:
    assert look(lease_of(), accept_default_gateway=True, accept_dns=True) == []
    assert look(lease_of(routers=[], dns=[])) == []


CLASSLESS: dict[str, Any] = {"has_classless": True, "routes": [("10.7.0.0", 16, "10.0.0.1")]}


@pytest.mark.parametrize("flag", [{"accept_default_gateway": True}, {"policy_route_table": 200}])
def test_no_gateway(flag: dict[str, Any]) -> None:
    (one,) = look(lease_of(routers=[]), **flag)
    assert one.degrades
    assert "names no gateway" in one.why
    assert "outside the tunnel" in one.applied


def test_option_121_without_a_default_route() -> None:
    """The user asked for a default route and for no static ones: option 3 gives it."""
    assert look(lease_of(**CLASSLESS), accept_default_gateway=True) == []
    (one,) = look(lease_of(**CLASSLESS), accept_default_gateway=True, accept_static_routes=True)
    assert "10.0.0.1 is not used (RFC 3442)" in one.why
    assert "-accept-static-routes" in one.hint


def test_a_default_route_that_is_not_in_force() -> None:
    (one,) = look(lease_of(), {"has_default": False}, accept_default_gateway=True)
    assert one.degrades
    assert look(lease_of(), {"has_default": False}, policy_route_table=5) == []


def test_dns() -> None:
    (one,) = look(lease_of(dns=[]), accept_dns=True)
    assert "no name server" in one.why
    why = "cannot set the name servers: Read-only file system"
    (one,) = look(lease_of(), failed={"dns": why}, accept_dns=True)
    assert one.why == why
    assert one.degrades
    assert look(lease_of(), failed={"dns": why}, accept_dns=True, dns="none") == []
    assert look(lease_of(), failed={"sysctl": "x"}, accept_dns=True) == []


def test_ipv6_goes_around() -> None:
    (one,) = look(lease_of(), {"default6": "eth0"}, accept_default_gateway=True)
    assert "IPv6" in one.why
    assert "eth0" in one.applied
    assert look(lease_of(), {"default6": "eth0"}) == []


def test_the_same_network_twice() -> None:
    """It degrades only where the kernel really looks for the VPN's hosts elsewhere."""
    (one,) = look(lease_of(), {"overlap": "eth0", "neighbour": "eth0"})
    assert one.degrades
    assert "eth0" in one.why
    assert "vpn0" in one.why
    (one,) = look(lease_of(), {"overlap": "eth0"})
    assert not one.degrades


def test_flags_that_need_dhcp() -> None:
    def said(**flags: Any) -> list[str]:
        return [
            one.asked for one in without_dhcp(Config(host="h", user="u", no_dhcp=True, **flags))
        ]

    assert said() == []
    assert said(accept_dns=True, policy_route_table=1) == ["-accept-dns", "-policy-route-table"]
    assert said(accept_default_gateway=True, accept_static_routes=True) == [
        "-accept-default-gateway",
        "-accept-static-routes",
    ]


def test_what_was_offered_and_not_asked_for() -> None:
    config = Config(host="h", user="u")
    assert unused(config, lease_of()) == (
        "default gateway 10.0.0.1 (-accept-default-gateway), DNS 10.0.0.53 (-accept-dns)"
    )
    assert unused(config, lease_of(routers=[], dns=[])) == ""
    both = Config(host="h", user="u", accept_default_gateway=True, accept_dns=True)
    assert unused(both, lease_of()) == ""
