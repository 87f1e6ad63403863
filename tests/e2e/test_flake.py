"""flake.nix: Nix itself builds it, offline, with a stand-in for nixpkgs.

What each step proves stands in build/check-nix.sh.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lab.client import ROOT
from support.require import require

# The first run compiles OpenSSL and CPython by build/static, unless another test did.
pytestmark = [pytest.mark.timeout(2400), pytest.mark.slow]


@pytest.fixture(autouse=True)
def unchanged() -> None:
    """Nothing here touches the lab."""


def test_nix_builds_the_flake_twice_alike_and_its_checks_pass() -> None:
    require(
        os.geteuid() == 0 and (shutil.which("nix") or shutil.which("apt-get")) is not None,
        "needs root, and nix or an apt to install it",
    )

    done = subprocess.run(
        [ROOT / "build" / "check-nix.sh"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("all checks passed\n")
