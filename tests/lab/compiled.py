"""The tests' C programs, compiled when they changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def compiled(source: str) -> str:
    """Compile a C file of the checkout ("tests/lab/wire.c") and return the program's path."""
    text = ROOT / source
    program = ROOT / ".cache" / "compiled" / text.stem
    if not program.exists() or program.stat().st_mtime < text.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        new = program.with_name(f"{program.name}.{os.getpid()}")
        subprocess.run(["cc", "-O2", "-Wall", "-o", str(new), str(text)], check=True)
        new.rename(program)
    return str(program)
