"""Every command in build/ explains itself when asked, and does nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.no_sanitizer


def commands() -> list[Path]:
    found = [path for path in (ROOT / "build").iterdir() if path.is_file()]
    return sorted(path for path in found if os.access(path, os.X_OK))


@pytest.mark.parametrize("command", commands(), ids=lambda path: path.name)
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help(command: Path, word: str, tmp_path: Path) -> None:
    """On stdout, with exit 0, and nothing that makes, installs or fetches is called."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("apt-get", "cc", "cython", "pip", "pytest", "ip", "flock", "make", "nix"):
        (tools / name).write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/called\nexit 1\n")
        (tools / name).chmod(0o755)
    done = subprocess.run(
        [command, word],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 80
    assert not (tmp_path / "called").exists()
