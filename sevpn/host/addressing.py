"""Addresses of interfaces: made by a step, taken back by a record.

Layer 2, used in the short-lived child only.
"""

from __future__ import annotations

from socket import AF_INET

from sevpn.host import codec
from sevpn.host.context import Host, describe, ifindex_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.host.context import Record, Step


def addresses(host: Host, family: int = AF_INET) -> list[codec.Address]:
    """Return the host's addresses of one family."""
    answers = host.netlink.ask(codec.encode_address_dump(family))
    return [codec.decode_address(part) for part in answers]


def make_address(host: Host, step: Step) -> None:
    """Put an address on an interface; one that is there already is left and not ours."""
    _, ifname, local, prefix_len, broadcast = step
    address = codec.Address(ifindex_of(ifname), local, prefix_len, broadcast)
    for present in addresses(host):
        place = (present.ifindex, present.local, present.prefix_len)
        if place == (address.ifindex, local, prefix_len):
            return
    record: Record = {
        "kind": "address",
        "step": list(step),
        "ifname": ifname,
        "ifindex": address.ifindex,
        "address": local,
        "prefix_len": prefix_len,
        "broadcast": broadcast,
    }
    flags = codec.NLM_F_CREATE | codec.NLM_F_EXCL
    message = codec.encode_address(codec.RTM_NEWADDR, flags, address)
    host.perform(record, lambda: host.netlink.change(message))


def undo_address(host: Host, record: Record) -> str | None:
    """Remove the address if it is on the interface as we put it there."""
    ours = codec.Address(
        record["ifindex"], record["address"], record["prefix_len"], record["broadcast"]
    )
    changed: codec.Address | None = None
    for present in addresses(host):
        if (present.ifindex, present.local) != (ours.ifindex, ours.local):
            continue
        if (present.prefix_len, present.broadcast) == (ours.prefix_len, ours.broadcast):
            host.netlink.change(codec.encode_address(codec.RTM_DELADDR, 0, ours))
            return None
        changed = present
    if changed is not None:
        now = f"{changed.local}/{changed.prefix_len}"
        return f"{describe(record)} left: somebody changed it, it is now {now}"
    return None
