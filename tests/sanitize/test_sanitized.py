"""The unit, property and wire tests once more, on modules built with ASan and UBSan."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tests/unit", "tests/property", "tests/wire")


PATIENCE_S = 2400


@pytest.mark.timeout(PATIENCE_S + 60)
def test_all_pass_under_the_sanitizers(tmp_path: Path) -> None:
    folders = [folder for folder in FOLDERS if (ROOT / folder).is_dir()]
    log = tmp_path / "log"
    # Into a file: a process that a test left behind cannot hold the verdict up by a pipe, and
    # what was said so far is there when the time is up. The alarm signal belongs to the tests
    # of signals, so a thread watches the time of each.
    with log.open("wb") as output:
        run = subprocess.Popen(
            [ROOT / "build/sanitize", "-v", "-o", "timeout_method=thread", *folders],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTEST_ADDOPTS": ""},
        )
        try:
            status = run.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            run.kill()
            status = run.wait()
    text = log.read_text(errors="replace")
    assert status == 0, text[-20_000:]
    print(text.splitlines()[-1])
