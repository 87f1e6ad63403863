"""The runs of sevpn on this host, and how to ask them. Layer 6.

A run holds a lock in the state directory and, without -no-control, listens on a socket
beside it. Files of killed runs lie there too: a lock that nobody holds, a socket that
refuses connections.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from sevpn.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER_TIMEOUT_S = 5.0
_LOCK_SUFFIX = ".lock"
_SOCKET_SUFFIX = ".sock"
_CHUNK_BYTES = 65536
_RIGHTS = "run this as root, or as the user who started sevpn"


class Ended(Exception):
    """The run has closed the connection without an answer: it ended."""


class Refused(Exception):
    """The run answered with an error instead of a report: `str` is its words."""


class Instance:
    """One run: its TAP's name, the number of its network namespace, the files' stem."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self.tap, _, self.namespace = os.path.basename(stem).partition("@")

    def ask(self, request: str, deadline_s: float | None) -> dict[str, Any] | None:
        """Return the run's report, None when nobody listens.

        `deadline_s` is monotonic, None = none.
        Raises: TimeoutError, Ended, Refused, HostError without permission.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_TIMEOUT_S)  # also when time is up: is there anybody?
            try:
                if not self._connect(sock):
                    return None
            except PermissionError as error:
                raise HostError(f"no permission to ask the sevpn on {self.tap}", _RIGHTS) from error
            except BlockingIOError as error:  # its queue of new connections is full
                raise TimeoutError from error
            except TimeoutError:
                raise
            except OSError as error:  # a path that is too long, ...
                raise HostError(f"cannot ask the sevpn on {self.tap}: {error}") from error
            try:
                sock.sendall(f"{request}\n".encode(), socket.MSG_NOSIGNAL)
            except ConnectionError:
                pass  # refused before it was asked: the answer says why
            line = b"".join(_receive(sock, deadline_s))
        if not line.endswith(b"\n"):
            raise Ended
        report: dict[str, Any] = json.loads(line)
        if "error" in report:
            raise Refused(report["error"])
        return report

    def _connect(self, sock: socket.socket) -> bool:
        """Connect to the socket, or to the abstract name a run has on a read-only root."""
        path = f"{self.stem}{_SOCKET_SUFFIX}"
        try:
            sock.connect(path)
        except (FileNotFoundError, NotADirectoryError, ConnectionError):
            try:
                sock.connect(f"\0{path}")
            except ConnectionError:
                return False  # nobody listens; a killed run's socket refuses
            # Anybody may take such a name: only root's and our own answers count.
            size = struct.calcsize("3i")
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            return struct.unpack("3i", credentials)[1] in (0, os.geteuid())
        return True

    def holder_pid(self) -> int | None:
        """Return the process that holds the lock of this TAP, None when nobody does."""
        try:
            with open(f"{self.stem}{_LOCK_SUFFIX}", encoding="ascii", errors="replace") as file:
                inode, text = os.fstat(file.fileno()).st_ino, file.read(32).strip()
        except OSError:
            return None
        return int(text) if text.isdigit() and inode in _locked_inodes() else None


def find(state_dir: str, tap: str = "") -> list[Instance]:
    """Return what may be a run (with TAP `tap`), sorted by name; dead ones among them.

    Raises HostError when the directory must not be read.
    """
    names = _abstract_names(state_dir)
    try:
        names += os.listdir(state_dir)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise HostError(f"cannot read {state_dir}: {reason}", _RIGHTS) from error
    stems = set()
    for name in names:
        stem, suffix = os.path.splitext(name)
        ifname, _, namespace = stem.partition("@")
        # resolv.conf has a lock too, but what follows its @ is no number.
        if suffix in (_SOCKET_SUFFIX, _LOCK_SUFFIX) and namespace.isdigit() and tap in ("", ifname):
            stems.add(f"{state_dir}/{stem}")
    return [Instance(stem) for stem in sorted(stems)]


def _abstract_names(state_dir: str) -> list[str]:
    """Return the names of sockets that would lie in a directory that cannot be written."""
    start = f"@{state_dir}/"
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            paths = [line.rstrip("\n").partition(start)[2] for line in table if start in line]
    except OSError:
        return []
    return [name for name in paths if name.endswith(_SOCKET_SUFFIX) and "/" not in name]


def _receive(sock: socket.socket, deadline_s: float | None) -> Iterator[bytes]:
    """Yield what comes up to the end of the line or of the connection. Raises TimeoutError."""
    part = b"-"
    while part and not part.endswith(b"\n"):
        sock.settimeout(_left_s(deadline_s))
        try:
            part = sock.recv(_CHUNK_BYTES)
        except ConnectionError:
            return
        yield part


def _left_s(deadline_s: float | None) -> float | None:
    if deadline_s is None:
        return None
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _locked_inodes() -> set[int]:
    """Return the inodes of all files with a flock on them (proc_locks(5)).

    Trying the lock would be surer, but a sevpn that starts at that moment would fail.
    """
    with open("/proc/locks", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return {int(row[5].rpartition(":")[2]) for row in rows if row[1] == "FLOCK"}
