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


def clean(text: str, limit: int = 2000) -> str:
    """Return `text` on one line without control characters, at most `limit` long."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])


def _write(line: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S ") if timestamps else ""
    try:
        sys.stderr.write(f"{stamp}{clean(line)}\n")
        sys.stderr.flush()
    except (AttributeError, OSError):
        pass  # nobody can read us: a lost stderr (None when closed) must not end a session


def debug(message: str) -> None:
    """Print at -v only."""
    if level >= VERBOSE:
        _write(message)


def info(message: str) -> None:
    """Print an event a person cares about, unless -quiet."""
    if level >= NORMAL:
        _write(message)


def warning(message: str) -> None:
    """Print something that went wrong but is survived, also with -quiet."""
    _write(f"warning: {message}")


def error(message: str, hint: str = "") -> None:
    """Print why something ended, with the next thing to try, on one line."""
    _write(f"error: {message}" + (f" ({hint})" if hint else ""))
