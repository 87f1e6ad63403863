"""A whole session, whatever sevpn was built as and wherever it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.client import TAP, flags
from lab.dhcp import GATEWAY, NAME_SERVERS, ROUTES, Dnsmasq, route_option
from lab.server import FAR_IP, LAN_IP

if TYPE_CHECKING:
    from pathlib import Path

    from lab.client import Sevpn
    from lab.server import SoftEther
    from lab.topology import Namespace

ROUTES_AND_NAMES = ("-accept-default-gateway", "-accept-static-routes", "-accept-dns")
EVERYTHING = (*ROUTES_AND_NAMES, "-policy-route-table", "200")


def verifying(*further: str) -> list[str]:
    """Return the usual flags without -insecure, for the server whose certificate is good."""
    return [flag for flag in flags(*further, host="vpn.test") if flag != "-insecure"]


def everything_offered(server: SoftEther) -> Dnsmasq:
    """Return a DHCP server that offers whatever EVERYTHING accepts."""
    options = [*GATEWAY, *NAME_SERVERS, route_option(121, ROUTES)]
    return Dnsmasq(server.namespace, options=options)


def go_through(
    run: Sevpn,
    host: Namespace,
    server: SoftEther,
    dhcp: Dnsmasq,
    resolv_conf: Path,
    patience_s: float = 20.0,
) -> None:
    """See a run with EVERYTHING (or ROUTES_AND_NAMES) up, through a reconnect, and up again."""
    run.wait_line("ready", patience_s)
    assert f"nameserver {LAN_IP}" in resolv_conf.read_text(encoding="utf-8")
    host.wait_ping(FAR_IP)
    assert host.ip("route", "get", FAR_IP)[0]["dev"] == TAP
    if "-policy-route-table" in run.flags:
        assert host.ip("route", "show", "table", "200")
    mark, printed = dhcp.mark(), run.process.mark()
    server.disconnect(server.sessions()[0].name)
    dhcp.wait("DHCPACK", patience_s, mark)
    run.wait_line("ready", patience_s, after=printed)
    host.wait_ping(FAR_IP)
