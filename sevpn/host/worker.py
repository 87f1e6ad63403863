"""The doors into this package: what the short-lived child is asked to do.

Layer 2. The long-lived process forks a child that calls one of these functions with
arguments that `marshal` can carry and sends back the result, likewise. Nothing here
raises SevpnError: what a person must know is in the result.

A `journal_path` comes from `lock.journal_path`, or is "" for memory only. The caller holds
the locks (`sevpn.host.lock`).
"""

from __future__ import annotations

import contextlib
import errno
import functools

from sevpn.errors import HostError
from sevpn.host import changes, default_route, inbound, journal, pins, plan, routes
from sevpn.host import cleanup as cleaning
from sevpn.host import survey as surveying
from sevpn.host.context import Host
from sevpn.host.in_force import look
from sevpn.host.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from sevpn.host.context import Record, Step

_NEEDS_RIGHTS = "run as root, or with the capability CAP_NET_ADMIN (docker: --cap-add NET_ADMIN)"
_HINTS = {
    errno.EPERM: _NEEDS_RIGHTS,
    errno.EACCES: _NEEDS_RIGHTS,
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "free some space",
}


def apply(journal_path: str, steps: list[Step]) -> dict[str, Any]:
    """Make the steps in order.

    Returns {"undo": records of what stands now, oldest first, "warnings": [line],
    "notes": [line] (for a person, nothing is wrong),
    "failed": {kind of an optional step that failed: why},
    "error": None | {"message", "hint", "errno", "step"}}. After the error of a step that is
    not optional, everything this call had made is undone already and "undo" has only what
    could not be.
    """
    host = Host(Journal(journal_path))
    error = None
    failed: dict[str, str] = {}
    try:
        for step in steps:
            wanted = plan.bare(step)
            failure = _attempt(wanted, functools.partial(changes.make, host, wanted))
            if failure is None:
                continue
            if step[0] == "optional":
                failed[wanted[0]] = failure["message"]
                if wanted[0] != "dns":  # what comes of that is for the session to say
                    host.warnings.append(failure["message"])
                continue
            error = failure
            standing: list[Record] = []
            for record in reversed(host.records):
                message = changes.undo(host, record)
                if message is not None:
                    host.warnings.append(message)
                    standing.insert(0, record)
            host.records = standing
            break
    finally:
        host.close()
    return {**_result(host, error), "failed": failed}


def _result(host: Host, error: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "undo": host.records,
        "warnings": host.warnings + host.journal.warnings,
        "notes": host.notes,
        "error": error,
    }


def _attempt(step: Step, action: Callable[[], None]) -> dict[str, Any] | None:
    try:
        action()
    except HostError as error:
        message, hint, number = str(error), error.hint, error.errno
    except OSError as error:
        number = error.errno or 0
        message, hint = f"{_name(step)}: {error.strerror or error}", _HINTS.get(number, "")
    else:
        return None
    return {"message": message, "hint": hint, "errno": number, "step": step}


def _name(step: Step) -> str:
    kind = step[0]
    if kind == "link":
        return f"cannot set up the interface {step[1]}"
    if kind == "address":
        return f"cannot set the address {step[2]}/{step[3]} on {step[1]}"
    if kind == "route":
        via = f" via {step[3]}" if step[3] else ""
        return f"cannot add the route {step[1]}/{step[2]}{via} on {step[4]}"
    if kind == "default_route":
        return f"cannot add the default route on {step[2]}"
    if kind == "rule":
        return f"cannot add the rule from {step[1]} table {step[2]}"
    if kind == "keep_inbound":
        return "cannot keep the way of what comes in from outside (-keep-inbound)"
    if kind == "server_route":
        return f"cannot add the route to the server {step[1]}"
    if kind == "dns":
        return "cannot set the name servers"
    if step[0] == "sysctl" and step[1].endswith("/accept_ra"):
        return (
            "IPv6 router advertisements of the VPN's network are obeyed (start the container with "
            "--sysctl net.ipv6.conf.default.accept_ra=0)"
        )
    return f"cannot set {step[1]}"


def undo(journal_path: str, records: list[Record]) -> list[str]:
    """Take changes back, the last one first; returns what was left and why.

    Whatever goes wrong with one record, the others get their turn.
    """
    host = Host(Journal(journal_path))
    messages: list[str] = []
    try:
        for record in reversed(records):
            try:
                message = changes.undo(host, record)
            except Exception as error:  # also a bug of ours: the rest must not suffer
                message = f"{record.get('kind')} could not be undone: {error!r}"
            if message is not None:
                messages.append(message)
    finally:
        host.close()
    return messages + host.journal.warnings


def undo_everything(journal_path: str, records: list[Record]) -> list[str]:
    """Take back `records` and whatever else stands in the journal; the result is as of `undo`.

    For the end of a run: a child that was killed in the middle of `apply` told the parent
    nothing of what it had made, but its journal does.
    """
    known = {record["id"]: record for record in journal.read(journal_path)}
    known.update((record["id"], record) for record in records)
    # Ids grow with time (hexadecimal numbers of one length for some centuries).
    return undo(journal_path, [known[number] for number in sorted(known)])


def server_route(
    journal_path: str, address: str, not_by_ifname: str | None = None
) -> dict[str, Any]:
    """Pin one server address; the result is like that of `apply`."""
    return apply(journal_path, [("server_route", address, not_by_ifname)])


def repin(
    journal_path: str, record: Record | None, address: str, tap_ifname: str
) -> dict[str, Any]:
    """Move the pin of one server to the way that reaches it now; the result is as of `apply`.

    `record` is that of the pin to replace, None when there was none. "undo" holds the new
    record, which takes the place of `record`; it is empty when the right pin stands
    already, or none is needed (the server is this host, or somebody else's host route
    leads there). With an error (no way at all) the old pin stays, and so does `record`.
    """
    host = Host(Journal(journal_path))
    step = ("server_route", address, tap_ifname)
    try:
        error = _attempt(step, lambda: pins.move_pin(host, address, tap_ifname, record))
    finally:
        host.close()
    return _result(host, error)


def hold_inbound(journal_path: str, step: Step, records: list[Record]) -> dict[str, Any]:
    """Bring a "keep_inbound" step to the host as it is now; the result is as of `apply`.

    `records` are what stands of it; "undo" holds what stands then and takes their place.
    """
    host = Host(Journal(journal_path))

    def hold() -> None:
        ways = inbound.Ways(host, step)
        host.records = ways.standing(records)
        for record in reversed(records):
            if record not in host.records:
                host.warnings += filter(None, [changes.undo(host, record)])
        ways.make(host, list(host.records))

    try:
        error = _attempt(step, hold)
    finally:
        host.close()
    return _result(host, error)


@contextlib.contextmanager
def _reading() -> Iterator[Host]:
    """A host that is only looked at. Raises HostError where the kernel refuses to tell."""
    host = Host(Journal(""))
    try:
        yield host
    except OSError as error:
        raise HostError(
            f"cannot read the routes: {error.strerror or error}", errno=error.errno or 0
        ) from error
    finally:
        host.close()


def survey(
    tap_ifname: str,
    server_ips: list[str],
    inbound_step: Step | None = None,
    tunnel: tuple[str, int, str] | None = None,
) -> dict[str, Any]:
    """Look how each server would be reached without us, and at the routes of others.

    Returns {"paths": {ip: None (no way) | {"source", "gateway", "ifname", "addresses"}},
    "routes": [(network, prefix_len, ifname)], "is_default_void": bool,
    "is_inbound_stale": bool, "in_force": None | {...}}; see `sevpn.host.survey`. A void
    default route is one that a stronger one of others beats: apply its step again. What is
    stale of `inbound_step` is mended by `hold_inbound`. `tunnel` is what `in_force` is asked
    with. Raises HostError.
    """
    with _reading() as host:
        paths = {ip: surveying.path_to(host, ip, tap_ifname) for ip in server_ips}
        ways = inbound.Ways(host, inbound_step) if inbound_step else None
        return {
            "paths": paths,
            "routes": surveying.foreign_routes(host, tap_ifname),
            "is_default_void": default_route.is_void(host, tap_ifname),
            "is_inbound_stale": ways is not None and not ways.are_in_force(),
            "in_force": look(host, tap_ifname, *tunnel) if tunnel else None,
        }


def own_networks(not_of_ifname: str | None) -> list[tuple[str, int]]:
    """Return the IPv4 networks this host is directly connected to, the TAP's left out."""
    host = Host(Journal(""))
    try:
        return routes.own_networks(host, not_of_ifname)
    finally:
        host.close()


def in_force(tap_ifname: str, address: str, prefix_len: int, neighbour: str) -> dict[str, Any]:
    """Ask the kernel what it does with traffic; see `sevpn.host.in_force`. Raises HostError."""
    with _reading() as host:
        return look(host, tap_ifname, address, prefix_len, neighbour)


def cleanup(state_dir: str) -> list[str]:
    """Undo what killed runs left behind; returns a line for each thing undone or left.

    Call it before taking the locks of this run: what is locked counts as alive.
    """
    report = cleanup_report(state_dir)
    return report["undone"] + report["left"]


def cleanup_report(state_dir: str) -> dict[str, list[str]]:
    """Do the same; returns {"undone": lines, "left": lines, "running": lines}."""
    return cleaning.clean(state_dir)
