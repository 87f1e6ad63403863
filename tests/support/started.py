"""Programs in Python that a test starts, watches from outside, and ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def environment(**variables: str) -> dict[str, str]:
    """Return ours, with what a program needs to import what we do."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}


@contextlib.contextmanager
def started(
    program: str, *arguments: str, prefix: Sequence[str] = (), **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """A program that has said "ready"; `prefix` is a command that ends by executing it."""
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", program, *arguments],
        env=environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        yield run
