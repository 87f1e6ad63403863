"""Overwriting a secret in the memory of argv."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from sevpn._process import overwrite_arguments


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
