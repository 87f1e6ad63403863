"""Overwriting a secret in the memory of argv."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from sevpn._process import overwrite_arguments
from support.require import require


@pytest.mark.parametrize(
    ("memory", "secret", "after", "found"),
    [
        (b"a\0-pass\0secret\0", b"secret", b"a\0-pass\0******\0", 1),
        (b"secretsecretsecre", b"secret", b"************secre", 2),
        (b"aaaa", b"aa", b"****", 2),
        (b"secret", b"secret", b"******", 1),
        (b"secre", b"secret", b"secre", 0),
        (b"anything", b"", b"anything", 0),
        (b"", b"x", b"", 0),
    ],
)
def test_overwrite(memory: bytes, secret: bytes, after: bytes, found: int) -> None:
    buffer = ctypes.create_string_buffer(memory, len(memory) or 1)
    start = ctypes.addressof(buffer)
    assert overwrite_arguments(start, start + len(memory), secret) == found
    assert buffer.raw[: len(memory)] == after


def test_no_area() -> None:
    assert overwrite_arguments(0, 0, b"x") == 0
    assert overwrite_arguments(0, 100, b"x") == 0
    assert overwrite_arguments(100, 50, b"x") == 0
    with pytest.raises(TypeError):
        overwrite_arguments(0, 0, None)  # type: ignore[arg-type]


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
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
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
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()
