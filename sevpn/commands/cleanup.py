"""`sevpn cleanup`: undoes what killed runs left on this host. Layer 6.

Needs no server; doing it again does nothing more. Exit code 0, or 4 when something could
not be undone.
"""

from __future__ import annotations

import os

from sevpn import output
from sevpn.commands import arguments
from sevpn.errors import EXIT_OK, HostError
from sevpn.host.worker import cleanup_report
from sevpn.log import clean

_RIGHTS = "run it as root, in the network namespace of the run that was killed"


def main(argv: list[str]) -> int:
    """Clean up and say what was done; return the exit code. Raises HostError."""
    values = arguments.read("cleanup", argv)
    state_dir = str(values["state_dir"])
    journals = _journals(state_dir)
    report = cleanup_report(state_dir)
    running = [f"left alone: {line}" for line in report["running"]]
    lines = [*report["undone"], *report["left"], *running]
    if not lines and not values["quiet"]:
        lines = ["nothing to clean up"]
    if lines:
        output.write("".join(f"{clean(line)}\n" for line in lines))
    # A journal that is still there holds what could not be undone; what somebody else had
    # changed meanwhile is left on purpose, and forgotten.
    kept = _journals(state_dir) & journals
    busy = len(report["running"])
    if len(kept) > busy:
        raise HostError("something could not be undone", _RIGHTS)
    return EXIT_OK


def _journals(state_dir: str) -> set[str]:
    """Return the names of the journals. Raises HostError without permission."""
    try:
        return {name for name in os.listdir(state_dir) if name.endswith(".journal")}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise HostError(f"cannot read {state_dir}: {reason}", "run it as root") from error
