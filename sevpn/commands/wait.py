"""`sevpn wait`: returns when traffic flows. Layer 6.

Exit code 0 when every run that was found is ready, 9 when the time is up before, 10 when
none ran in all that time. Without -timeout a run that is only just starting is waited for, and
START_GRACE_S without any is what counts as none.
"""

from __future__ import annotations

import time

from sevpn.commands import arguments
from sevpn.commands.instances import ANSWER_TIMEOUT_S, Ended, Instance, Refused, find
from sevpn.commands.status import cannot_be_asked, not_running
from sevpn.errors import EXIT_OK, HostError, NotReadyError
from sevpn.log import clean

START_GRACE_S = 5.0
POLL_S = 0.1

# What came of waiting for one run.
_READY = "ready"
_ENDED = "ended"  # it ended while we waited: perhaps it is started again
_MUTE = "mute"  # it runs, but there is no socket: just starting, or -no-control
_DEAD = "dead"


def main(argv: list[str]) -> int:
    """Wait; return the exit code. Raises NotReadyError, NotRunningError, HostError."""
    values = arguments.read("wait", argv)
    timeout_s = float(str(values["timeout"]))
    state_dir, tap = str(values["state_dir"]), str(values["tap"])
    now_s = time.monotonic()
    deadline_s = now_s + timeout_s if timeout_s else None
    lonely_s = now_s + START_GRACE_S
    while True:
        found = find(state_dir, tap)
        outcomes = [_wait_for(instance, deadline_s) for instance in found]
        now_s = time.monotonic()
        if None in outcomes:
            raise NotReadyError(f"not ready after {timeout_s:g} s{_standing(found)}")
        living = set(outcomes) - {_DEAD}
        if living == {_READY}:
            return EXIT_OK
        if _ENDED in living:
            lonely_s = now_s + START_GRACE_S
        next_s = now_s + POLL_S
        is_late = deadline_s is not None and next_s >= deadline_s
        if is_late and living:
            raise NotReadyError(f"not ready after {timeout_s:g} s{_standing(found)}")
        if is_late or (deadline_s is None and next_s >= lonely_s):
            mute = [one for one, outcome in zip(found, outcomes, strict=True) if outcome == _MUTE]
            raise not_running(state_dir, tap, list(map(cannot_be_asked, mute)))
        time.sleep(POLL_S)


def _wait_for(instance: Instance, deadline_s: float | None) -> str | None:
    """Wait for one run; None when the time is up."""
    try:
        report = instance.ask("wait", deadline_s)
    except TimeoutError:
        return None
    except Ended:
        return _ENDED
    except Refused:
        return _MUTE  # too many others wait: try again
    if report is not None:
        return _READY
    return _DEAD if instance.holder_pid() is None else _MUTE


def _standing(found: list[Instance]) -> str:
    """Return where the runs stand that are not ready, for a message."""
    parts = []
    for instance in found:
        try:
            report = instance.ask("status", time.monotonic() + ANSWER_TIMEOUT_S)
        except (TimeoutError, Ended, Refused, HostError):
            continue
        if report is not None and report["state"] != _READY:
            short = [f"{one['asked']}: {one['why']}" for one in report.get("shortfalls", ())]
            error = report["last_error"]
            if error and not short:
                short = [error["message"]]
            why = f" ({short[0]})" if short else ""
            parts.append(clean(f"{instance.tap} is {report['state']}{why}"))
    return ": " + ", ".join(parts) if parts else ""
