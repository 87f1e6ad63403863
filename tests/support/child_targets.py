"""Functions that tests run in a child by sevpn.io.child.call."""

import os
import signal
import sys
import time
from pathlib import Path

from sevpn.errors import HostError, ServerError, UsageError


def echo(*values: object) -> object:
    return list(values)


def pid() -> int:
    return os.getpid()


def large(size: int) -> bytes:
    return bytes(size)


def host_error() -> None:
    raise HostError("no such device", "plug it in", 19)


def other_error() -> None:
    raise UsageError("wrong", "right")


def server_error() -> None:
    raise ServerError(9, "refused")


def bug() -> None:
    raise ZeroDivisionError("no\x1bway")


def not_to_marshal() -> object:
    return object()


def sleep(seconds: float, started: str = "") -> None:
    if started:
        Path(started).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(seconds)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(0)


def half_an_answer() -> None:
    """Write the start of an answer to the parent's pipe, and die."""
    os.write(sys._getframe(1).f_locals["write_fd"], b"\xfb\xff\xff\xff")
    die()


def ignored_signals() -> list[int]:
    """Return which of the terminal's and service managers' signals do nothing here."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    return [int(number) for number in numbers if signal.getsignal(number) == signal.SIG_IGN]
