"""`sevpn status`: asks each run where it stands. Layer 6.

Exit code 0 when a run has answered, 10 when there is none, 4 without permission.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from sevpn import output
from sevpn.commands import arguments, text
from sevpn.commands.instances import ANSWER_TIMEOUT_S, Ended, Instance, Refused, find
from sevpn.constants import REPORT_FORMAT
from sevpn.errors import EXIT_OK, NotRunningError
from sevpn.log import clean

_NO_SOCKET = "it was started with -no-control, or could not make its socket (see its log with -v)"


def main(argv: list[str]) -> int:
    """Print a report for each run; return the exit code."""
    values = arguments.read("status", argv)
    state_dir, tap = str(values["state_dir"]), str(values["tap"])
    reports: list[dict[str, Any]] = []
    silent: list[str] = []
    for instance in find(state_dir, tap):
        try:
            report = instance.ask("status", time.monotonic() + ANSWER_TIMEOUT_S)
        except Ended:
            continue
        except TimeoutError:
            silent.append(f"the sevpn on {instance.tap} does not answer")
            continue
        except Refused as error:
            silent.append(f"the sevpn on {instance.tap} refuses to answer: {error}")
            continue
        if report is not None and report.get("format", 0) > REPORT_FORMAT and not values["json"]:
            silent.append(
                f"the sevpn on {instance.tap} is a later one, {clean(str(report.get('version')))}: "
                "ask it with that one's own status, or with -json"
            )
        elif report is not None:
            reports.append(report)
        elif instance.holder_pid() is not None:
            silent.append(cannot_be_asked(instance))
    if values["json"]:
        output.write("".join(f"{json.dumps(report)}\n" for report in reports))
    else:
        output.write("\n".join(map(text.describe, reports)))
    if not reports:
        raise not_running(state_dir, tap, silent)
    for line in silent:
        sys.stderr.write(f"{line}\n")
    return EXIT_OK


def cannot_be_asked(instance: Instance) -> str:
    """Return the sentence about a run that has no socket."""
    pid = instance.holder_pid() or "unknown"
    return f"a sevpn (process {pid}) runs on {instance.tap}, but cannot be asked: {_NO_SOCKET}"


def not_running(state_dir: str, tap: str, silent: list[str]) -> NotRunningError:
    """Return the error that says that there is nobody to ask, and why."""
    if silent:
        return NotRunningError("; ".join(silent))
    where = f" on {tap}" if tap else ""
    if not os.path.isdir(state_dir):
        return NotRunningError(
            f"no sevpn runs{where}", f"there is no directory {state_dir}; see -state-dir"
        )
    return NotRunningError(
        f"no sevpn runs{where}",
        f"nothing that lives was found in {state_dir}; see -tap and -state-dir",
    )
