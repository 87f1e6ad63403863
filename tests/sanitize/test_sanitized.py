"""The unit, property and wire tests once more, on modules built with ASan and UBSan."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tests/unit", "tests/property", "tests/wire")


@pytest.mark.timeout(1800)
def test_all_pass_under_the_sanitizers() -> None:
    folders = [folder for folder in FOLDERS if (ROOT / folder).is_dir()]
    done = subprocess.run(
        [ROOT / "build/sanitize", "-q", *folders],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    print(done.stdout.splitlines()[-1])
