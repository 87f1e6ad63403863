"""An interface's own settings and sysctls: made by a step, taken back by a record.

Layer 2, used in the short-lived child only. Both hold the value from before, and putting
it back compares: a value that is no longer ours stays.
"""

from __future__ import annotations

import socket

from sevpn.errors import HostError
from sevpn.host import codec, fault
from sevpn.host.context import Host, describe, ifindex_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sevpn.host.context import Record, Step


def _settings(host: Host, ifindex: int) -> dict[str, Any]:
    link = codec.decode_link(host.netlink.ask(codec.encode_link_query(ifindex))[0])
    return {"mac": link.mac, "mtu_bytes": link.mtu_bytes, "is_up": link.is_up}


def make_link(host: Host, step: Step) -> None:
    """Set MAC, MTU and administrative state, as far as they are given and differ."""
    _, ifname, mac, mtu_bytes, is_up = step
    ifindex = ifindex_of(ifname)
    before = _settings(host, ifindex)
    wanted = {"mac": mac and mac.lower(), "mtu_bytes": mtu_bytes, "is_up": is_up}
    new = {key: value for key, value in wanted.items() if value not in (None, before[key])}
    if not new:
        return
    record: Record = {
        "kind": "link",
        "step": list(step),
        "ifname": ifname,
        "ifindex": ifindex,
        "was": {key: before[key] for key in new},
        "set": new,
    }
    message = codec.encode_link(codec.Link(ifindex, new.get("mac"), new.get("mtu_bytes"), is_up))
    # The kernel sets one after the other and does not take back the first if the next fails.
    host.perform(
        record,
        lambda: host.netlink.change(message),
        revert=lambda: undo_link(host, record),
    )


def undo_link(host: Host, record: Record) -> str | None:
    """Put back what is still as we set it."""
    now = _settings(host, record["ifindex"])
    was = record["was"]
    back = {key: was[key] for key, value in record["set"].items() if now[key] == value}
    if back:
        is_up = back.get("is_up", now["is_up"])
        link = codec.Link(record["ifindex"], back.get("mac"), back.get("mtu_bytes"), is_up)
        host.netlink.change(codec.encode_link(link))
    # What is already as before (we may have died in front of the change) is nobody's doing.
    left = [key for key in record["set"] if key not in back and now[key] != was[key]]
    if left:
        return f"{describe(record)} left as they are ({', '.join(left)}): somebody changed them"
    return None


def _sysctl_path(path: str) -> str:
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise HostError(f"not a sysctl: {path}")
    return f"/proc/sys/{path}"


def _read_sysctl(path: str) -> str:
    with open(_sysctl_path(path), encoding="utf-8") as source:
        return source.read().strip()


def _write_sysctl(path: str, value: str) -> None:
    fault.point("sysctl")
    with open(_sysctl_path(path), "w", encoding="utf-8") as target:
        target.write(value + "\n")


def _has_no_ipv6(path: str) -> bool:
    """Tell whether IPv6 is off on the interface whose switch this is: then it changes nothing."""
    try:
        return _read_sysctl(path.rpartition("/")[0] + "/disable_ipv6") == "1"
    except OSError:
        return True


def make_sysctl(host: Host, step: Step) -> None:
    """Write a value below /proc/sys; a switch this kernel does not have is no error."""
    _, path, value = step
    try:
        before = _read_sysctl(path)
    except FileNotFoundError:
        return  # e.g. no IPv6 in the kernel: what the switch would prevent cannot happen
    if before == value or (path.endswith("/accept_ra") and _has_no_ipv6(path)):
        return
    parts = path.split("/")
    ifname = parts[3] if path.startswith(("net/ipv4/conf/", "net/ipv6/conf/")) else None
    record: Record = {
        "kind": "sysctl",
        "step": list(step),
        "path": path,
        "was": before,
        "set": value,
        "ifname": ifname,
        "ifindex": _index_or_none(ifname),
    }
    host.perform(record, lambda: _write_sysctl(path, value))


def _index_or_none(ifname: str | None) -> int | None:
    try:
        return socket.if_nametoindex(ifname) if ifname else None
    except OSError:
        return None  # "all" and "default" are no interfaces


def undo_sysctl(_host: Host, record: Record) -> str | None:
    """Put the value from before back if ours is still there."""
    if record["ifindex"] != _index_or_none(record["ifname"]):
        return None  # another interface of that name: ours took its settings along
    now = _read_sysctl(record["path"])
    if now == record["set"]:
        _write_sysctl(record["path"], record["was"])
    elif now != record["was"]:
        return f"{record['path']} left at {now}: somebody changed it"
    return None
