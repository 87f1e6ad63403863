"""Name servers and search domains of a lease, put where this host wants them.

Layer 2, used in the short-lived child only. Three ways: systemd-resolved (per link),
resolvconf (an entry of our own), or the file /etc/resolv.conf itself. "auto" takes the one
that is in charge of the file, and the next one when that does not work.
"""

from __future__ import annotations

import os

from sevpn.errors import HostError
from sevpn.host import resolv, resolvconf, resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.host.context import Host, Step

_NOTES = {
    "resolved": "DNS set in systemd-resolved for the link {}",
    "resolvconf": "DNS set through resolvconf for {}",
    "file": "DNS written to {}",
}


def make_dns(host: Host, step: Step) -> None:
    """Set the name servers in the wanted way, and note which it was.

    Raises HostError or OSError when it is not possible.
    """
    _, nameservers, search, mode, ifname, has_default, *rest = step
    path = rest[0] if rest else resolv.PATH
    if mode == "none":
        return
    servers, domains, dropped = resolv.check(nameservers, search)
    host.warnings.extend(dropped)
    ways = _ways(path) if mode == "auto" else [mode]
    for way in ways:
        try:
            _make(host, step, way, servers, domains, ifname, has_default, path)
        except (HostError, OSError) as error:
            if way == ways[-1]:
                raise
            host.warnings.append(f"{way} could not be told the name servers: {error}")
        else:
            if mode == "auto":
                host.notes.append(_NOTES[way].format(path if way == "file" else ifname))
            return


def _ways(path: str) -> list[str]:
    ways = []
    if resolved.is_in_charge(path):
        ways.append("resolved")
    if resolvconf.is_in_charge(path):
        ways.append("resolvconf")
    return [*ways, "file"]


def _make(
    host: Host,
    step: Step,
    way: str,
    servers: list[str],
    domains: list[str],
    ifname: str,
    has_default: bool,
    path: str,
) -> None:
    if way == "resolved":
        resolved.set_dns(host, step, servers, domains, ifname, has_default)
        return
    text = resolv.compose(servers, domains)
    if way == "resolvconf":
        resolvconf.set_dns(host, step, text, ifname, has_default)
        return
    if way != "file":
        raise HostError(f"unknown way to set name servers: {way}")
    record = resolv.look(path, text, os.path.basename(host.journal.path))
    record["step"] = list(step)
    host.perform(record, lambda: resolv.replace(record), revert=lambda: resolv.restore(record))
