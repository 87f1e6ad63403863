"""What was asked for goes to standard output, or it is an error that it did not.

Layer 0. A session does not need this: it writes log lines only.
"""

import posix
import sys

from sevpn.errors import HostError


def write(text: str) -> None:
    """Write and flush. Raises HostError when nobody can read it; nothing is lost of nothing."""
    if not text:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (AttributeError, OSError) as error:  # closed (None), full, or nobody reads
        raise HostError("cannot write to standard output", "it is closed or full") from error


def let_go() -> None:
    """Before the end: what could not be written must not change the exit code.

    The interpreter flushes once more, complains and ends with 120; Python 3.13 also does it for
    streams that were dropped. So the descriptor leads to where everything is taken.
    """
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            try:
                nowhere = posix.open("/dev/null", posix.O_WRONLY)
                posix.dup2(nowhere, number)
                posix.close(nowhere)
            except OSError:
                pass  # an empty root has none
