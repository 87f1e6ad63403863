"""Which function makes which kind of step, and which takes its record back.

Layer 2, used in the short-lived child only. Undoing is idempotent: what is gone already
is no error, what somebody else changed meanwhile stays, and the sentence returned says so.
"""

from __future__ import annotations

import errno

from sevpn.errors import HostError
from sevpn.host import (
    addressing,
    default_route,
    dns,
    inbound,
    link,
    pins,
    resolv,
    resolvconf,
    resolved,
    routes,
    rules,
)
from sevpn.host.context import Host, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn.host.context import Record, Step

_GONE = (errno.ENODEV, errno.ENXIO, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL)


def make(host: Host, step: Step) -> None:
    """Make one step of a plan. Raises HostError or OSError when it could not be made.

    What is there already in just the wanted form is left as it is, and without a record:
    it is not ours to remove.
    """
    _MAKERS[step[0]](host, step)


def undo(host: Host, record: Record) -> str | None:
    """Take a change back; returns what was left and why, None when nothing was.

    A record whose undoing failed stays in the journal, for another try.
    """
    try:
        message = _UNDOERS[record["kind"]](host, record)
    except OSError as error:
        if error.errno not in _GONE:
            return f"{describe(record)} could not be undone: {error.strerror}"
        message = None  # vanished with its interface or namespace: nothing to undo
    except HostError as error:
        return f"{describe(record)} could not be undone: {error}"
    host.journal.end(record)
    return message


def _undo_resolv(_host: Host, record: Record) -> str | None:
    return resolv.restore(record)


_MAKERS: dict[str, Callable[[Host, Step], None]] = {
    "address": addressing.make_address,
    "route": routes.make_route,
    "default_route": default_route.make_default_route,
    "rule": rules.make_rule,
    "link": link.make_link,
    "sysctl": link.make_sysctl,
    "keep_inbound": inbound.make_inbound,
    "server_route": pins.make_server_route,
    "dns": dns.make_dns,
}
_UNDOERS: dict[str, Callable[[Host, Record], str | None]] = {
    "address": addressing.undo_address,
    "route": pins.undo_route,
    "rule": rules.undo_rule,
    "link": link.undo_link,
    "sysctl": link.undo_sysctl,
    "resolv": _undo_resolv,
    "resolved": resolved.undo,
    "resolvconf": resolvconf.undo,
}
