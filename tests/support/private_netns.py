"""Run a function as root in a network and mount namespace of its own, in a forked child.

The child ends with the function, and its namespaces with the child: nothing to clean up.
`os.unshare` came with Python 3.12, so libc is called.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

from support.require import require

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_UNSTABLE_KEYS = frozenset(
    {"valid_life_time", "preferred_life_time", "tentative", "stats", "stats64"}
)


class InsideError(AssertionError):
    """What the function raised in its namespace, as text."""


def run_inside(function: Callable[[], None]) -> None:
    """Run `function` in fresh namespaces. Raises InsideError with its traceback."""
    require(os.geteuid() == 0, "private network namespaces need root")
    report = run_forked(lambda: _enter_and_run(function))
    if report:
        raise InsideError(report)


def _enter_and_run(function: Callable[[], None]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "mount --make-rprivate /")
    function()


def run_forked(function: Callable[[], None]) -> str:
    """Run `function` in a forked child; returns its traceback, "" when it did not raise.

    A child that ends itself by os._exit gives "" too: that is how tests die on purpose.
    """
    read_fd, write_fd = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read_fd)
        try:
            function()
        except BaseException:
            os.write(write_fd, traceback.format_exc()[-60_000:].encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as source:
        report = source.read().decode()
    os.waitpid(pid, 0)
    return report


def ip(*words: str) -> None:
    """Run the `ip` command."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def ip_json(*words: str) -> Any:
    """Return what `ip -j` says, without what changes by itself."""
    result = subprocess.run(["ip", "-j", *words], check=True, capture_output=True, text=True)
    return _stable(json.loads(result.stdout or "[]"))


def _stable(value: Any) -> Any:
    if isinstance(value, list):
        return [_stable(item) for item in value]
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in _UNSTABLE_KEYS}
    return value


def snapshot() -> dict[str, Any]:
    """Return all addresses, links, routes and rules of this namespace."""
    return {
        "addresses": ip_json("addr", "show"),
        "routes": ip_json("route", "show", "table", "all"),
        "routes6": ip_json("-6", "route", "show", "table", "all"),
        "rules": ip_json("rule", "show"),
        "rules6": ip_json("-6", "rule", "show"),
    }
