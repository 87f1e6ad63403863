"""What each signal means to a run. Layer 3.

Whatever ends a process from outside and can be caught must not leave the host changed, so every
signal whose default action would kill us ends the run in order. Not caught: KILL and STOP, which
cannot be; faults (SEGV, ...), after which nothing can be trusted; 32 to 34, which C libraries keep
for themselves.
"""

import _signal

RECONNECT = (_signal.SIGHUP, _signal.SIGUSR2)  # now, by a new connection
TELL = (_signal.SIGUSR1,)  # the status, to the log
_FIRST_REAL_TIME = 35
_LAST_REAL_TIME = 64

_NAMES = {
    _signal.SIGINT: "SIGINT",
    _signal.SIGTERM: "SIGTERM",
    _signal.SIGQUIT: "SIGQUIT",
    _signal.SIGALRM: "SIGALRM",
}

END = (
    *_NAMES,
    _signal.SIGVTALRM,
    _signal.SIGPROF,
    _signal.SIGIO,
    _signal.SIGXCPU,
    _signal.SIGPWR,
    16,  # SIGSTKFLT, for which there is no name everywhere
    *range(_FIRST_REAL_TIME, _LAST_REAL_TIME + 1),
)


def name_of(number: int) -> str:
    """Return "SIGTERM", or "signal 35"."""
    return _NAMES.get(number, f"signal {number}")


def wanted() -> list[int]:
    """Return the signals to catch: all of these, but a HUP that was ignored before us (nohup)."""
    is_ignored = _signal.getsignal(_signal.SIGHUP) == _signal.SIG_IGN
    found = [*END, *RECONNECT, *TELL]
    return [number for number in found if not (is_ignored and number == _signal.SIGHUP)]
