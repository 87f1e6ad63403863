"""The static binary, built for the tests that need the product itself."""

from __future__ import annotations

import functools
import subprocess
import sys

from lab.client import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@functools.cache
def static_binary(target: str = "x86_64") -> Path:
    """Return dist/sevpn or dist/sevpn-aarch64, built now: from the cache if nothing changed."""
    done = subprocess.run(
        [sys.executable, ROOT / "build" / "static", "--target", target],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return ROOT / "dist" / ("sevpn" if target == "x86_64" else f"sevpn-{target}")
