"""Whether somebody else writes resolv.conf while we run.

Layer 2, pure but for `stat`, and lean: the long-lived process looks now and then. Nothing is
written back: two programs that fight for a file help nobody, and undoing leaves what is
not ours.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def fingerprint(path: str) -> str:
    """Return what changes when the file, or what a symlink leads to, is written or replaced.

    Costs two system calls; reads nothing.
    """
    return f"{_look(path, False)} {_look(path, True)}"


def _look(path: str, is_following: bool) -> str:
    try:
        status = posix.stat(path, follow_symlinks=is_following)
    except OSError as error:
        return f"error {error.errno}"
    return f"{status.st_dev:x}:{status.st_ino:x}:{status.st_mtime_ns:x}:{status.st_size:x}"


def watched_path(records: Iterable[dict[str, Any]]) -> str | None:
    """Return the file we wrote, None when DNS was set in another way or not at all."""
    for record in records:
        if record.get("kind") == "resolv":
            return str(record["path"])
    return None
