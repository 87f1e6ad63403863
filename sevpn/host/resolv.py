"""/etc/resolv.conf: replaced by ours, and put back byte for byte as what it was.

Layer 2, used in the short-lived child only. What may be there: a file, a symlink, a file
that is mounted over (containers: it cannot be renamed over, so it is written in place), or
nothing. The file or link itself is kept next to it as `resolv.conf.before-sevpn`, a second
hard link, and renamed back: inode, owner, mode, times and labels survive, and so does
/etc when the machine loses power and the journal with it. If that cannot be made, what the
journal holds must do. The record's own fields:

    path backup temporary
    was      {"kind": "absent"}
             {"kind": "symlink", "target"}
             {"kind": "file" | "mount", "content" (base64), "mode", "uid", "gid", "mtime_ns"}
    text     what we wrote
"""

from __future__ import annotations

import binascii
import errno
import os
import stat
from socket import AF_INET, AF_INET6, inet_pton

from sevpn.errors import HostError
from sevpn.host import fault, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Record = dict[str, Any]

PATH = "/etc/resolv.conf"
_HEADER = "# Made by sevpn while it runs; what was here before is in "
_NOTHING_BEFORE = "nothing"
_BACKUP_SUFFIX = ".before-sevpn"
_TEMPORARY_SUFFIX = ".sevpn-new"
_MAX_BYTES = 1_048_576
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_IN_PLACE = (errno.EBUSY, errno.EROFS, errno.EACCES, errno.EPERM, errno.EXDEV)


def is_domain_name(name: str) -> bool:
    """Tell whether `name` can stand in a search list: labels of letters, digits, - and _."""
    labels = name.lower().removesuffix(".").split(".")
    return len(name) <= 253 and all(
        0 < len(label) <= 63
        and "-" not in (label[0], label[-1])
        and _NAME_CHARACTERS.issuperset(label)
        for label in labels
    )


def _is_address(text: str) -> bool:
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def check(
    nameservers: Iterable[str], search: Iterable[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the usable name servers, the usable domains, and a warning for each other value.

    Both lists come from the network: whatever is not an address or a plain domain name
    must not get into a file that other programs parse. Raises HostError when no usable
    name server is left.
    """
    servers, domains, warnings = [], [], []
    for server in nameservers:
        if _is_address(server):
            servers.append(server)
        else:
            warnings.append(f"name server {server!r} ignored: not an address")
    for domain in search:
        if is_domain_name(domain):
            domains.append(domain)
        else:
            warnings.append(f"search domain {domain!r} ignored: not a domain name")
    if not servers:
        raise HostError("no usable name server in the lease")
    return servers, domains, warnings


def compose(servers: Iterable[str], domains: Iterable[str]) -> str:
    """Return the lines for resolv.conf from values that `check` let pass."""
    lines = [f"nameserver {server}\n" for server in servers]
    words = " ".join(domains)
    return "".join(lines) + (f"search {words}\n" if words else "")


def look(path: str, text: str, owner: str) -> Record:
    """Return the record for replacing `path` by `text`: what is there now, in full.

    `owner` says in the file's comment who did it (the journal's name). Raises OSError,
    and HostError when there is something that cannot be replaced.
    """
    was = _look(path)
    backup = path + _BACKUP_SUFFIX
    before = backup if was["kind"] in ("file", "symlink") else _NOTHING_BEFORE
    if was["kind"] == "mount":
        before = "the memory of sevpn"
    check = binascii.crc32(text.encode())
    return {
        "kind": "resolv",
        "step": [],
        "path": path,
        "place": lock.place_of(path),
        "backup": backup,
        "temporary": path + _TEMPORARY_SUFFIX,
        "was": was,
        "text": f"{_HEADER}{before} ({owner}, {check:08x}).\n{text}",
    }


def _look(path: str) -> dict[str, Any]:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return {"kind": "absent"}
    if stat.S_ISLNK(status.st_mode):
        return {"kind": "symlink", "target": os.readlink(path)}
    if not stat.S_ISREG(status.st_mode):
        raise HostError(f"{path} is neither a file nor a symlink")
    if status.st_size > _MAX_BYTES:
        raise HostError(f"{path} is too large to be kept ({status.st_size} bytes)")
    return {
        "kind": "mount" if lock.is_mount_point(path) else "file",
        "content": binascii.b2a_base64(_read(path), newline=False).decode(),
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime_ns": status.st_mtime_ns,
    }


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as source:
        return source.read(_MAX_BYTES + 1)


def replace(record: Record) -> None:
    """Put our text in place. Raises OSError; `restore` then takes back what was done."""
    path, was, text = record["path"], record["was"], record["text"].encode()
    if was["kind"] == "mount":
        _write_in_place(path, text)
        return
    try:
        if was["kind"] != "absent":
            _keep(path, record["backup"])
        _write_new(record["temporary"], text, was)
        fault.point("rename")
        os.rename(record["temporary"], path)
        fault.point("renamed")
    except OSError as error:
        # A directory we may not write in, or a mount that the kernel does not list for us.
        if was["kind"] != "file" or error.errno not in _IN_PLACE:
            raise
        _remove(record["temporary"])
        _write_in_place(path, text)


def _keep(path: str, backup: str) -> None:
    """Make `backup` a second name of the file or symlink `path`; not being able is no error."""
    _remove(backup)
    fault.point("link")
    try:
        os.link(path, backup, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A filesystem without hard links: the journal has it all.


def _write_new(path: str, content: bytes, was: dict[str, Any]) -> None:
    """Write a new file like the one described by `was` (a fresh one: world-readable)."""
    _remove(path)
    fault.point("create")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        _write_all(fd, content)
        if "uid" in was:
            os.fchown(fd, was["uid"], was["gid"])
        os.fchmod(fd, was.get("mode", 0o644))
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_in_place(path: str, content: bytes) -> None:
    fault.point("write")
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fault.point("truncated")
        _write_all(fd, content)
    finally:
        os.close(fd)


def _write_all(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def restore(record: Record) -> str | None:
    """Put back what `look` found; returns what was left and why, None when nothing was.

    What is there now is compared first: if it is neither ours nor what was before, someone
    else wrote it, and it stays.
    """
    path, was = record["path"], record["was"]
    _discard(record["temporary"])
    if _is_as_before(path, was):
        _discard(record["backup"])
        return None
    if not _is_ours(path, record):
        _discard(record["backup"])
        return f"{path} left as it is: somebody else changed it"
    kind = was["kind"]
    if kind == "absent":
        fault.point("unlink")
        _remove(path)
    elif kind == "mount":
        _restore_in_place(path, was)
    elif _is_as_before(record["backup"], was):
        fault.point("rename")
        os.rename(record["backup"], path)
    elif kind == "symlink":
        os.symlink(was["target"], record["temporary"])
        os.rename(record["temporary"], path)
    else:
        _restore_file(record)
    fault.point("restored")
    _discard(record["backup"])
    return None


def _restore_file(record: Record) -> None:
    path, was, temporary = record["path"], record["was"], record["temporary"]
    try:
        _write_new(temporary, binascii.a2b_base64(was["content"]), was)
        os.utime(temporary, ns=(was["mtime_ns"], was["mtime_ns"]))
        os.rename(temporary, path)
    except OSError as error:
        if error.errno not in _IN_PLACE:
            raise
        _discard(temporary)
        _restore_in_place(path, was)


def _restore_in_place(path: str, was: dict[str, Any]) -> None:
    _write_in_place(path, binascii.a2b_base64(was["content"]))
    os.utime(path, ns=(was["mtime_ns"], was["mtime_ns"]))


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # not there, or in a directory we may not write in: then it never was


def _is_as_before(path: str, was: dict[str, Any]) -> bool:
    """Tell whether `path` is what `was` describes (times aside)."""
    try:
        now = _look(path)
    except (OSError, HostError):
        return False
    if "file" in (now["kind"], was["kind"]):
        # Whether a file is mounted over makes no difference to what is in it.
        now["kind"] = "mount" if now["kind"] == "file" else now["kind"]
        was = {**was, "kind": "mount" if was["kind"] == "file" else was["kind"]}
    now.pop("mtime_ns", None)
    return now == {key: value for key, value in was.items() if key != "mtime_ns"}


def _is_ours(path: str, record: Record) -> bool:
    """Tell whether `path` holds our text, or the torn half of our writing in place.

    Killed while writing in place we leave the beginning of our text, or, while restoring,
    the beginning of the old one; both may be empty.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        now = _read(path)
    except OSError:
        return False
    ours = bytes(record["text"].encode())
    if now == ours:
        return True
    was = record["was"]
    if was["kind"] not in ("mount", "file"):
        return False
    return ours.startswith(now) or binascii.a2b_base64(was["content"]).startswith(now)


def is_marked(path: str = PATH) -> bool:
    """Tell whether the file says in its first line that we made it."""
    try:
        return _read(path).startswith(_HEADER.encode())
    except OSError:
        return False


def restore_without_journal(path: str = PATH) -> str | None:
    """Put back what a run left of which no journal tells (a power cut took /run along).

    Only a file that is wholly ours, by the sum in its first line, is touched. Returns what
    was done, None when there was nothing to do. The caller holds the lock for `path`.
    """
    try:
        head, _, text = _read(path).decode().partition("\n")
        if not head.startswith(_HEADER):
            return None
        before, _, rest = head[len(_HEADER) :].rpartition(" (")
        if rest.rpartition(", ")[2] != f"{binascii.crc32(text.encode()):08x}).":
            return f"{path} left as it is: somebody edited what an earlier run wrote"
        if before == path + _BACKUP_SUFFIX:
            os.rename(before, path)
        elif before == _NOTHING_BEFORE:
            os.unlink(path)
        else:
            return None
    except (OSError, ValueError):
        return None
    return f"restored {path}, left by a run that was cut off"
