"""What was changed on the host, on disk before it is changed.

Layer 2, used in the short-lived child only. A journal is a file of JSON lines, one file
per TAP, each line one of

    {"do": RECORD}      written before the change, with all that undoing it needs
    {"undone": ID}      the change is no more: undone, or it never came about

A record is a dict of JSON values with at least "id", "kind" and "step" (see
`sevpn.host.changes`), "boot" and "netns" (where its network objects live) and "v" (the
format). A line that was cut short by a crash is ignored: its change had not been made. Where
the state directory cannot be written the records live in the parent's memory only, with a warning:
then an ordinary end undoes everything, and a killed run does not.
"""

from __future__ import annotations

import errno
import json
import os
import time

from sevpn.host import fault, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


FORMAT = 1  # of a record; 0.1.0 wrote none. A later one is kept, and left to who knows it.


def is_known(record: Record) -> bool:
    """Tell whether we know what a record says."""
    return bool(record.get("v", FORMAT) == FORMAT)


def boot_id() -> str:
    """Return what tells this boot from others, "" when the kernel does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as source:
            return source.read(13).strip()
    except OSError:
        return ""


def read(path: str) -> list[Record]:
    """Return the records of a journal that are not undone, oldest first.

    An absent journal has none. Lines that are no JSON (torn ones) are skipped.
    """
    try:
        with open(path, "rb") as source:
            lines = source.read().split(b"\n")
    except OSError:
        return []
    standing: dict[str, Record] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # brackets without end
            continue
        if not isinstance(entry, dict):
            continue
        if "undone" in entry:
            standing.pop(str(entry["undone"]), None)
        record = entry.get("do")
        if isinstance(record, dict) and isinstance(record.get("id"), str):
            standing[record["id"]] = record
    return list(standing.values())


class Journal:
    """Appends to one journal file; opened on first use.

    `path` "" means: in memory only. `warnings` collects why nothing could be written,
    once.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._fd = -1
        self._last_id = 0
        self._boot = boot_id()
        self._netns = lock.namespace_id()

    def begin(self, record: Record) -> Record:
        """Write that `record`'s change comes next; returns it with its id filled in."""
        # Unique within the machine's life, also over several children of one run.
        self._last_id = max(time.time_ns(), self._last_id + 1)
        record["id"] = f"{self._last_id:x}"
        record["v"] = FORMAT
        record["boot"] = self._boot
        record["netns"] = self._netns
        self._append({"do": record})
        return record

    def end(self, record: Record) -> None:
        """Write that `record`'s change is no more."""
        self._append({"undone": record["id"]})

    def is_here(self, record: Record) -> bool:
        """Tell whether a record's network objects are of this boot and network namespace."""
        return (record["boot"], record["netns"]) == (self._boot, self._netns)

    def close(self) -> None:
        """Close the file, and remove it when nothing in it is left to undo."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        remove_if_done(self.path)

    def _append(self, entry: Record) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        if not self.path:
            return
        try:
            fault.point("journal")
            if self._fd < 0:
                self._fd = _open_for_append(self.path)
            written = os.write(self._fd, line)
            if written != len(line):
                os.write(self._fd, b"\n")  # what comes next must not stick to the torn line
                raise OSError(errno.ENOSPC, "no space left")
        except OSError as error:
            self.warnings.append(
                f"the journal {self.path} cannot be written ({error.strerror}): "
                "if this program is killed, its changes to the host stay"
            )
            self.path = ""


def _open_for_append(path: str) -> int:
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        os.write(fd, b"\n")
    return fd


def remove_if_done(path: str) -> None:
    """Remove the journal at `path` when all its records are undone."""
    if path and os.path.exists(path) and not read(path):
        try:
            os.unlink(path)
        except OSError:
            pass  # a read-only directory: an empty journal harms nobody
