"""Name servers of a link, told to systemd-resolved over the system bus.

Layer 2, used in the short-lived child only. resolved keeps name servers per link, and
chooses by routing domains: "." as a routing domain means "all names through this link".
While we hold the default route that is set, so that no name leaves outside the tunnel. Without
the default route only the search domains lead to the tunnel's servers; when there are none the link
becomes one of those that are asked for all names, or its servers would serve nobody.

resolved forgets a link that vanishes, and with it everything set here.
"""

from __future__ import annotations

import os
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from sevpn.host.bus import Bus
from sevpn.host.context import Host, describe, ifindex_of, ifindex_or_zero
from sevpn.host.dbus import DBusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sevpn.host.context import Record, Step

_NAME = "org.freedesktop.resolve1"
_MANAGER_PATH = "/org/freedesktop/resolve1"
_MANAGER = "org.freedesktop.resolve1.Manager"
_LINK = "org.freedesktop.resolve1.Link"
_GET = "org.freedesktop.DBus.Properties.Get"
_DIRECTORIES = ("/run/systemd/resolve/", "/usr/lib/systemd/resolv.conf")
_STUBS = (b"127.0.0.53", b"127.0.0.54")
_NO_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
_VANISHED = (
    "org.freedesktop.resolve1.NoSuchLink",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
)


def is_in_charge(path: str) -> bool:
    """Tell whether the resolv.conf at `path` leads to systemd-resolved."""
    if os.path.realpath(path).startswith(_DIRECTORIES):
        return True
    try:
        with open(path, "rb") as source:
            lines = source.read(65_536).splitlines()
    except OSError:
        return False
    return any(words[:1] == [b"nameserver"] and words[1] in _STUBS for words in _words(lines))


def _words(lines: list[bytes]) -> list[list[bytes]]:
    return [words for words in (line.split() for line in lines) if len(words) > 1]


def set_dns(
    host: Host, step: Step, servers: list[str], search: list[str], ifname: str, has_default: bool
) -> None:
    """Give a link its name servers and domains. Raises HostError, then nothing is changed."""
    ifindex = ifindex_of(ifname)
    domains = [[name.rstrip("."), False] for name in search]
    if has_default:
        domains.append([".", True])
    with Bus() as bus:
        if not bus.has_owner(_NAME):
            raise DBusError("systemd-resolved does not run")
        was = _settings(bus, ifindex)
        record: Record = {
            "kind": "resolved",
            "step": list(step),
            "ifname": ifname,
            "ifindex": ifindex,
            "was": was,
            "set": {
                "dns": servers,
                "domains": domains,
                "is_default": has_default or not domains,
            },
        }
        host.perform(
            record,
            lambda: _write(bus, ifindex, record["set"]),
            revert=lambda: _revert_quietly(ifindex, was),
        )


def _settings(bus: Bus, ifindex: int) -> dict[str, Any]:
    """Return what resolved knows of a link, in the form of a record's "was" and "set"."""
    (path,) = _manage(bus, "GetLink", "i", ifindex)
    dns: list[tuple[int, bytes]] = _property(bus, path, "DNS", "a(iay)")
    domains: list[tuple[str, bool]] = _property(bus, path, "Domains", "a(sb)")
    try:
        is_default = bool(_property(bus, path, "DefaultRoute", "b"))
    except DBusError:
        is_default = False  # before systemd 240
    return {
        "dns": [inet_ntop(family, packed) for family, packed in dns],
        "domains": [[name, is_routing] for name, is_routing in domains],
        "is_default": is_default,
    }


def _property(bus: Bus, path: str, name: str, signature: str) -> Any:
    answer = bus.call(_NAME, path, _GET, "ss", _LINK, name)
    if len(answer) != 1 or not isinstance(answer[0], tuple) or answer[0][0] != signature:
        raise DBusError(f"systemd-resolved tells {name} in an unknown form")
    return answer[0][1]


def _manage(bus: Bus, method: str, signature: str, *values: Any) -> list[Any]:
    answer = bus.call(_NAME, _MANAGER_PATH, f"{_MANAGER}.{method}", signature, *values)
    if method == "GetLink" and not (len(answer) == 1 and isinstance(answer[0], str)):
        raise DBusError("systemd-resolved tells a link in an unknown form")
    return answer


def _write(bus: Bus, ifindex: int, wanted: dict[str, Any]) -> None:
    dns = []
    for address in wanted["dns"]:
        family = AF_INET6 if ":" in address else AF_INET
        dns.append((int(family), inet_pton(family, address)))
    _manage(bus, "SetLinkDNS", "ia(iay)", ifindex, dns)
    _manage(bus, "SetLinkDomains", "ia(sb)", ifindex, wanted["domains"])
    try:
        _manage(bus, "SetLinkDefaultRoute", "ib", ifindex, wanted["is_default"])
    except DBusError as error:
        if error.name != _NO_METHOD:
            raise  # before systemd 240 there is no such switch


def _put_back(bus: Bus, ifindex: int, was: dict[str, Any]) -> None:
    if was["dns"] or was["domains"]:
        _write(bus, ifindex, was)
    else:
        _manage(bus, "RevertLink", "i", ifindex)


def _revert_quietly(ifindex: int, was: dict[str, Any]) -> None:
    try:
        with Bus() as bus:
            _put_back(bus, ifindex, was)
    except DBusError:
        pass  # it is what just failed


def undo(_host: Host, record: Record) -> str | None:
    """Take the link's name servers back, unless somebody else has set others.

    Nothing is to be done when the link, resolved or the bus is gone. Raises DBusError.
    """
    ifindex = record["ifindex"]
    if ifindex_or_zero(record["ifname"]) != ifindex:
        return None
    try:
        with Bus() as bus:
            now = _settings(bus, ifindex)
            if _is_same(now, record["was"]):
                return None
            if not _is_from(now, record):
                return f"{describe(record)} left as it is: somebody else changed it"
            _put_back(bus, ifindex, record["was"])
    except DBusError as error:
        if error.name in _VANISHED or isinstance(error.__cause__, _NO_BUS):
            return None
        raise
    return None


_NO_BUS = (FileNotFoundError, ConnectionRefusedError)


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return _canonical_dns(one) == _canonical_dns(other) and _domains(one) == _domains(other)


def _is_from(now: dict[str, Any], record: Record) -> bool:
    """Tell whether `now` is ours, or the half of it that we left when we were killed."""
    ours, was = record["set"], record["was"]
    return _canonical_dns(now) in (_canonical_dns(ours), _canonical_dns(was)) and _domains(now) in (
        _domains(ours),
        _domains(was),
    )


def _canonical_dns(settings: dict[str, Any]) -> list[bytes]:
    return [
        inet_pton(AF_INET6 if ":" in address else AF_INET, address) for address in settings["dns"]
    ]


def _domains(settings: dict[str, Any]) -> list[tuple[str, bool]]:
    return sorted((name.lower().rstrip("."), bool(flag)) for name, flag in settings["domains"])
