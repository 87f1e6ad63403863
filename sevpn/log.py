"""One line per event on stderr.

Layer 0: imports only `sys` and `time`. Not Python's `logging`, which costs more memory
than the rest of the session together. Strings that came from the network must pass
`clean` before they are printed; every line written here passes it again.
"""

import sys
import time

QUIET = 0
NORMAL = 1
VERBOSE = 2

level = NORMAL
timestamps = False
is_journal = False  # stderr leads to systemd's: each line begins with its priority (sd-daemon(3))


def clean(text: str, limit: int = 2000) -> str:
    """Return `text` on one line without control characters, at most `limit` long."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])


def _write(line: str, priority: int) -> None:
    stamp = f"<{priority}>" if is_journal else ""
    if timestamps:
        zone = time.strftime("%z")
        stamp += time.strftime(f"%Y-%m-%dT%H:%M:%S{zone[:3]}:{zone[3:]} ")  # RFC 3339
    try:
        sys.stderr.write(f"{stamp}{clean(line)}\n")
        sys.stderr.flush()
    except (AttributeError, OSError):
        pass  # nobody can read us: a lost stderr (None when closed) must not end a session


def debug(message: str) -> None:
    """Print at -v only."""
    if level >= VERBOSE:
        _write(message, 7)


def info(message: str) -> None:
    """Print an event a person cares about, unless -quiet."""
    if level >= NORMAL:
        _write(message, 6)


def warning(message: str) -> None:
    """Print something that went wrong but is survived, also with -quiet."""
    _write(f"warning: {message}", 4)


def error(message: str, hint: str = "") -> None:
    """Print why something ended, with the next thing to try, on one line."""
    _write(f"error: {message}" + (f" ({hint})" if hint else ""), 3)
