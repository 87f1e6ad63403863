"""Overwriting a secret in the memory of argv."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sevpn._process import hide_argument, hide_variable, set_echo
from support.require import require
from support.started import environment

if TYPE_CHECKING:
    from collections.abc import Callable


def hide(memory: bytes, name: bytes, hider: object = hide_argument) -> tuple[bytes, int]:
    buffer = ctypes.create_string_buffer(memory, len(memory) or 1)
    start = ctypes.addressof(buffer)
    found = hider(start, start + len(memory), name)  # type: ignore[operator]
    return buffer.raw[: len(memory)], found


@pytest.mark.parametrize(
    ("memory", "after", "found"),
    [
        (b"a\0-pass\0secret\0-x\0", b"a\0-pass\0******\0-x\0", 1),
        (b"a\0--pass\0longer secret\0", b"a\0--pass\0********\0\0\0\0\0\0", 1),
        (b"a\0-pass=secret\0secret\0", b"a\0-pass=******\0secret\0", 1),
        (b"a\0-pass\0e\0eee\0", b"a\0-pass\0*\0eee\0", 1),
        (b"a\0-pass=\0e\0", b"a\0-pass=\0e\0", 1),
        (b"a\0-pass\0\0e\0", b"a\0-pass\0\0e\0", 1),
        (b"a\0-pass\0b\0-pass\0c", b"a\0-pass\0*\0-pass\0*", 2),
        (b"a\0-pass-file\0f\0pass\0-passw=x\0", b"a\0-pass-file\0f\0pass\0-passw=x\0", 0),
        (b"-pass", b"-pass", 0),
        (b"-pas", b"-pas", 0),
        (b"", b"", 0),
    ],
)
def test_hide_argument(memory: bytes, after: bytes, found: int) -> None:
    assert hide(memory, b"pass") == (after, found)


@pytest.mark.parametrize(
    ("memory", "after", "found"),
    [
        (b"A=1\0FLAGS=-pass x\0B=2\0", b"A=1\0FLAGS=" + bytes(7) + b"\0B=2\0", 1),
        (b"XFLAGS=1\0FLAGS\0FLAGSX=2\0", b"XFLAGS=1\0FLAGS\0FLAGSX=2\0", 0),
        (b"FLAGS=", b"FLAGS=", 1),
        (b"", b"", 0),
    ],
)
def test_hide_variable(memory: bytes, after: bytes, found: int) -> None:
    assert hide(memory, b"FLAGS", hide_variable) == (after, found)


@pytest.mark.parametrize("hider", [hide_argument, hide_variable])
def test_no_area(hider: Callable[[int, int, bytes], int]) -> None:
    assert hider(0, 0, b"x") == 0
    assert hider(0, 100, b"x") == 0
    assert hider(100, 50, b"x") == 0
    assert hider(100, 150, b"") == 0


def test_echo_without_a_terminal() -> None:
    with open("/dev/null", "rb") as file:
        assert set_echo(file.fileno(), False) is True


def test_echo() -> None:
    main, terminal = os.openpty()
    assert set_echo(terminal, False) is True
    assert set_echo(terminal, True) is False
    assert set_echo(terminal, True) is True
    os.close(main)
    os.close(terminal)


def test_core_dumps_are_forbidden() -> None:
    """PR_GET_DUMPABLE (3) says no afterwards."""
    program = (
        "import ctypes\n"
        "from sevpn._process import forbid_core_dumps\n"
        "before = ctypes.CDLL(None).prctl(3)\n"
        "forbid_core_dumps()\n"
        "print(before, ctypes.CDLL(None).prctl(3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.split()[1] == "0"


PRIORITIES = """
import os, subprocess, sys
from sevpn._process import prefer_this_process
took = prefer_this_process(int(sys.argv[1]))
child = subprocess.run(["nice"], stdout=subprocess.PIPE, text=True).stdout.strip()
print(took, os.getpriority(os.PRIO_PROCESS, 0), child)
"""


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ([], "5", "True 5 5"),  # a child keeps only what is no privilege
        (["nice", "-n", "3"], "5", "False 3 3"),
        (["chrt", "--batch", "0"], "5", "False 0 0"),
    ],
)
def test_priority(before: list[str], wanted: str, after: str) -> None:
    assert priorities(before, wanted) == after


def test_children_do_not_inherit_a_privilege() -> None:
    require(os.geteuid() == 0, "needs CAP_SYS_NICE")
    assert priorities([], "-10") == "True -10 0"


def priorities(before: list[str], wanted: str) -> str:
    """Run it from nice 0, whatever the tests themselves run at."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    require(own == 0 or os.geteuid() == 0, "run the tests at nice 0, or as root")
    at_zero = ["nice", "-n", str(-own)] if own else []
    done = subprocess.run(
        [*at_zero, *before, sys.executable, "-c", PRIORITIES, wanted],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()
