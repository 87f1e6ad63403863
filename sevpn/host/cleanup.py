"""Undoing what killed runs left behind.

Layer 2, used in the short-lived child only: at each start, and by `sevpn cleanup`. Every
journal in the state directory whose lock nobody holds belongs to a run that is dead. Its
records are undone here if this is where they live: resolv.conf anywhere in the same mount
namespace, network objects only on the same boot and in the same network namespace (their
numbers mean something else everywhere else).
"""

from __future__ import annotations

import os

from sevpn.errors import HostError
from sevpn.host import changes, journal, lock, resolv
from sevpn.host.context import Host, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sevpn.host.context import Record

_LOCK_SUFFIX = ".lock"
_SOCKET_SUFFIX = ".sock"  # of `sevpn.control`
ELSEWHERE = "it is in another {} namespace, run cleanup there"
_OF_MOUNTS = ("resolv", "resolvconf")  # files: they outlive a network namespace


def clean(state_dir: str, resolv_path: str = resolv.PATH) -> dict[str, list[str]]:
    """Undo what dead runs left; returns lines for a person in three lists.

    "undone": what was done; "left": what was not, and why; "running": which TAPs a living
    sevpn has. Idempotent; needs no server. A missing directory means nothing to do.
    """
    report: dict[str, list[str]] = {"undone": [], "left": [], "running": []}
    try:
        names = sorted(os.listdir(state_dir))
    except OSError:
        names = []
    for name in names:
        if name.endswith(".journal"):
            _clean_journal(f"{state_dir}/{name}", report)
    _clean_resolv(state_dir, resolv_path, report)
    for name in names:
        if name.endswith((_LOCK_SUFFIX, _SOCKET_SUFFIX)):
            _remove_dead(f"{state_dir}/{name}")
    return report


def _clean_journal(path: str, report: dict[str, list[str]]) -> None:
    ifname = os.path.basename(path).partition("@")[0]
    holder = lock.Lock(lock.tap_lock_path(path))
    try:
        holder.acquire(ifname, is_cleaning=True)
    except HostError as error:
        report["running"].append(str(error))
        return
    host = Host(journal.Journal(path))
    try:
        for record in reversed(journal.read(path)):
            _undo(host, record, report)
    finally:
        host.close()
        holder.release()


def _undo(host: Host, record: Record, report: dict[str, list[str]]) -> None:
    try:
        if not journal.is_known(record):
            report["left"].append(
                f"a change in {host.journal.path} is kept: a later sevpn wrote it, use that one"
            )
            return
        name = describe(record)
        if record["kind"] == "resolv" and not _is_this_file(record):
            if _namespace_exists(record["netns"]) and record["boot"] == journal.boot_id():
                report["left"].append(f"{name} left: {ELSEWHERE.format('mount')}")
            else:
                host.journal.end(record)  # a container's own file, and the container is gone
            return
        if record["kind"] not in _OF_MOUNTS and not host.journal.is_here(record):
            if record["boot"] == journal.boot_id() and _namespace_exists(record["netns"]):
                report["left"].append(f"{name} left: {ELSEWHERE.format('network')}")
            else:
                host.journal.end(record)  # it vanished with its namespace or at the reboot
            return
        message = changes.undo(host, record)
    except Exception as error:  # whatever a line says, the others get their turn
        report["left"].append(f"a record of {host.journal.path} makes no sense: {error!r}")
        return
    if message is None:
        report["undone"].append(f"undone: {name}")
    else:
        report["left"].append(message)


def _is_this_file(record: Record) -> bool:
    """Tell whether the path leads here to what it led to there; 0.1.0 did not note that."""
    place = record.get("place")
    return place is None or place == lock.place_of(record["path"])


def _namespace_exists(number: Any) -> bool:
    """Tell whether a process or a mount may still keep a network namespace alive.

    A process that we must not look at may: its records are kept rather than lost.
    """
    wanted = f"net:[{number}]"
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if os.readlink(f"/proc/{pid}/ns/net") == wanted:
                    return True
            except PermissionError:
                return True
            except OSError:
                continue  # ended meanwhile
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
            return any(f" {wanted} " in line for line in table)
    except OSError:
        return False


def _clean_resolv(state_dir: str, path: str, report: dict[str, list[str]]) -> None:
    """Look whether a power cut left our resolv.conf without a journal."""
    if not resolv.is_marked(path):
        return
    holder = lock.Lock(lock.resolv_lock_path(state_dir, path))
    try:
        holder.acquire(path, is_cleaning=True)
    except HostError:
        return  # its owner lives
    try:
        message = resolv.restore_without_journal(path)
    finally:
        holder.release()
    if message is not None:
        report["left" if "left as it is" in message else "undone"].append(message)


def _remove_dead(path: str) -> None:
    """Remove the lock file or control socket of a killed run.

    For the lock, taking it and giving it back does that.
    """
    holder = lock.Lock(path.removesuffix(_SOCKET_SUFFIX).removesuffix(_LOCK_SUFFIX) + _LOCK_SUFFIX)
    try:
        holder.acquire(path, is_cleaning=True)
    except HostError:
        return
    try:
        if path.endswith(_SOCKET_SUFFIX):
            os.unlink(path)
    except OSError:
        pass  # gone already, or a read-only directory: it harms nobody
    finally:
        holder.release()
