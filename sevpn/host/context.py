"""What a batch of changes works with, and how a change is named to a person.

Layer 2, used in the short-lived child only. A record (a change that was made, or is about
to be) is a dict of JSON values; beside "id", "boot", "netns", "kind" and "step" it holds

    address  ifname ifindex address prefix_len broadcast
    route    ifname ifindex network prefix_len gateway metric table is_pin
    rule     address table, and where it was asked for: priority suppressed_len
    link     ifname ifindex was set     (each a dict with some of mac, mtu_bytes, is_up)
    sysctl   path was set ifname ifindex
    resolv   see `sevpn.host.resolv`
    resolved    ifname ifindex was set  (each a dict of dns, domains, is_default)
    resolvconf  ifname name
"""

from __future__ import annotations

import errno
import socket

from sevpn.errors import HostError
from sevpn.host.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sevpn.host.journal import Journal

    Record = dict[str, Any]
    Step = tuple[Any, ...]

TABLE_MAIN = 254


class Host:
    """A netlink socket, a journal, and the notes of one batch.

    `records` are the changes of this batch in the order they were made; `warnings` and
    `notes` are lines for the person.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.records: list[Record] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._netlink: Netlink | None = None

    @property
    def netlink(self) -> Netlink:
        """The socket, opened when it is first wanted."""
        if self._netlink is None:
            self._netlink = Netlink()
        return self._netlink

    def close(self) -> None:
        """Close socket and journal."""
        if self._netlink is not None:
            self._netlink.close()
        self.journal.close()

    def perform(
        self, record: Record, change: Callable[[], None], revert: Callable[[], object] | None = None
    ) -> None:
        """Write `record`, then make its change; a failed change leaves no record standing.

        `revert` takes back the half of a change that can fail half-way.
        """
        self.journal.begin(record)
        try:
            change()
        except (OSError, HostError):
            if revert is not None:
                revert()
            self.journal.end(record)
            raise
        self.records.append(record)

    def adopt(self, record: Record) -> None:
        """Take over a change that another run of ours made: it is undone with our own."""
        self.perform(record, lambda: None)


def describe(record: Record) -> str:
    """Return a short name of a record's change, as `ip` would write it."""
    kind = record["kind"]
    if kind == "address":
        return f"address {record['address']}/{record['prefix_len']} dev {record['ifname']}"
    if kind == "route":
        prefix = f"{record['network']}/{record['prefix_len']}"
        via = f" via {record['gateway']}" if record["gateway"] else ""
        table = f" table {record['table']}" if record["table"] != TABLE_MAIN else ""
        name = prefix if record["prefix_len"] else "default"
        return f"route {name}{via} dev {record['ifname']}{table}"
    if kind == "rule":
        table = "main" if record["table"] == TABLE_MAIN else record["table"]
        return f"rule from {record['address']} table {table}"
    if kind == "resolved":
        return f"DNS of {record['ifname']} in systemd-resolved"
    if kind == "resolvconf":
        return f"DNS entry {record['name']} of resolvconf"
    if kind == "link":
        return f"settings of {record['ifname']}"
    return str(record["path"])


def ifindex_of(ifname: str) -> int:
    """Return an interface's number. Raises HostError when there is none of that name."""
    try:
        return socket.if_nametoindex(ifname)
    except OSError as error:
        raise HostError(f"there is no network interface {ifname}", errno=errno.ENODEV) from error


def ifindex_or_zero(ifname: str) -> int:
    """Return an interface's number, 0 when there is none of that name."""
    try:
        return ifindex_of(ifname)
    except HostError:
        return 0


def ifname_of(ifindex: int) -> str:
    """Return an interface's name for a message, or its number when it is gone."""
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return f"interface {ifindex}"
