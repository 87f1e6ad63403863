"""Locks that keep two running instances out of each other's way.

Layer 2, lean: the long-lived process holds the locks, because a `flock` ends with the
last process that has the file open, however that process ends. One lock per TAP name (and
network namespace: the same name in two namespaces is two interfaces) and one per
resolv.conf. The lock file holds the holder's pid, so the second one can say who it is.
"""

from __future__ import annotations

import fcntl
import posix
import time

from sevpn.errors import HostError

STATE_DIR = "/run/sevpn"
_CLEANING = "cleaning"
_CLEANING_MOST_S = 5.0
_WORDLESS_MOST_S = 0.2
_RETRY_S = 0.02
_NAMESPACE = "/proc/self/ns/net"


def namespace_id() -> int:
    """Return the number of our network namespace, 0 when /proc does not tell."""
    try:
        return posix.stat(_NAMESPACE).st_ino
    except OSError:
        return 0


def journal_path(state_dir: str, ifname: str) -> str:
    """Return the path of the journal of TAP `ifname` in this network namespace."""
    return f"{state_dir}/{ifname}@{namespace_id()}.journal"


def tap_lock_path(journal: str) -> str:
    """Return the path of the lock that belongs to a journal."""
    return journal.removesuffix(".journal") + ".lock"


def resolv_lock_path(state_dir: str, path: str = "/etc/resolv.conf") -> str:
    """Return the path of the lock for the resolv.conf that this mount namespace sees.

    A bind mount is written in place, so its own inode names it. Otherwise the file is
    replaced by renaming: then the directory's inode and the name do.
    """
    return f"{state_dir}/{place_of(path)}.lock"


def place_of(path: str) -> str:
    """Return what tells a path in this mount namespace from the same path in another one."""
    slash = path.rindex("/")
    directory, name = path[:slash] or "/", path[slash + 1 :]
    try:
        status = posix.stat(path if is_mount_point(path) else directory)
    except OSError:
        return name
    return f"{name}@{status.st_dev:x}-{status.st_ino:x}"


def is_resolv_lock_needed(mode: str, path: str = "/etc/resolv.conf") -> bool:
    """Tell whether a run with this -dns may write the file, so that only one can do so.

    systemd-resolved and resolvconf keep the settings of several links side by side.
    """
    if mode != "auto":
        return mode == "file"
    try:
        target = posix.readlink(path)
    except OSError:
        return True  # a file, or nothing
    return "run/systemd/resolve/" not in target and "resolvconf/" not in target


def is_mount_point(path: str) -> bool:
    """Tell whether something is mounted exactly on `path` (proc_pid_mountinfo(5))."""
    wanted = path.replace("\\", "\\134").replace(" ", "\\040").encode()
    try:
        with open("/proc/self/mountinfo", "rb") as table:
            return any(line.split(b" ", 5)[4] == wanted for line in table)
    except (OSError, IndexError):
        return False


class Lock:
    """An exclusive lock on a file of the state directory, held until `release`."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def acquire(self, what: str, is_cleaning: bool = False) -> str | None:
        """Take the lock; returns None, or a warning when no lock file can be written.

        `what` is named in the error. Without a writable state directory there is nothing
        to lock with, and running alone is the normal case, so that is only a warning.
        Raises HostError naming the holder when somebody else has it.

        `is_cleaning` is for a holder that gives the lock back in a moment: others wait a
        little for it, so that two starts at the same time do not refuse each other.
        """
        begun_s = time.monotonic()
        while True:
            try:
                _make_directory(self.path)
                flags = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW
                fd = posix.open(self.path, flags, 0o600)
            except OSError as error:
                return f"no lock for {what}: {self.path}: {error.strerror}"
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = posix.read(fd, 32).decode("utf-8", "replace").split()
                posix.close(fd)
                if time.monotonic() - begun_s < _patience_s(holder):
                    time.sleep(_RETRY_S)
                    continue
                pid = holder[0] if holder else "unknown"
                raise HostError(
                    f"{what} is in use by another sevpn (process {pid})",
                    "end that one first, or choose another name with -tap",
                ) from None
            # The one before us may have removed the file between our open and our lock.
            if _is_same_file(fd, self.path):
                break
            posix.close(fd)
        self._fd = fd
        try:
            posix.ftruncate(fd, 0)
            purpose = f" {_CLEANING}" if is_cleaning else ""
            posix.pwrite(fd, f"{posix.getpid()}{purpose}\n".encode(), 0)
        except OSError:
            pass  # a full disk: the lock holds all the same, only our pid is not known
        return None

    def release(self) -> None:
        """Give the lock back and remove its file; harmless when it is not held."""
        if self._fd < 0:
            return
        try:
            posix.unlink(self.path)
        except OSError:
            pass  # a read-only or vanished state directory: closing is what matters
        posix.close(self._fd)
        self._fd = -1

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd >= 0


def _patience_s(words: list[str]) -> float:
    """Return how long to wait for the holder who has left these words in the lock file."""
    if not words:
        return _WORDLESS_MOST_S  # it is about to write them, or could not (a full disk)
    return _CLEANING_MOST_S if words[1:] == [_CLEANING] else 0.0


def _is_same_file(fd: int, path: str) -> bool:
    try:
        ours, there = posix.fstat(fd), posix.stat(path)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _make_directory(path: str) -> None:
    try:
        posix.mkdir(path[: path.rindex("/")] or "/", 0o700)
    except FileExistsError:
        pass
