"""Building again in another directory: the result must be the same, byte for byte."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from static_parts.common import CACHE, ROOT, BuildError, Target, run, say

# What the quick way takes over: compiled once per machine, in ten minutes.
_BIG = ("openssl-", "cpython-")
_ALWAYS = ("archives", "python-tools-", "zig")


def _copy_checkout(copy: Path) -> None:
    """Copy what a build reads."""
    for name in ("build", "pyx", "sevpn"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.new")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)


def differs(target: Target, path: Path, *, everything: bool) -> str:
    """Build again elsewhere; return "" when `path` came out again, else both digests.

    `everything` compiles OpenSSL and CPython again, too. Raises BuildError.
    """
    with tempfile.TemporaryDirectory(prefix="sevpn-again-") as scratch:
        copy = Path(scratch) / "another" / "place"
        _copy_checkout(copy)
        cache = copy / ".cache" / "static"
        cache.mkdir(parents=True)
        for entry in CACHE.iterdir():
            if entry.name.startswith(_ALWAYS if everything else _ALWAYS + _BIG):
                (cache / entry.name).symlink_to(entry)
        say(f"building again in {copy}")
        run([sys.executable, str(copy / "build" / "static"), "--target", target.arch], copy)
        again = copy / "dist" / path.name
        digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (path, again)]
        if digests[0] == digests[1]:
            return ""
        compared = subprocess.run(
            ["cmp", "--", str(path), str(again)], stdout=subprocess.PIPE, text=True, check=False
        )
        return f"{digests[0]} became {digests[1]}: {compared.stdout.strip()}"


def check(target: Target, path: Path, *, everything: bool) -> None:
    """Raise BuildError unless building elsewhere gives the same file."""
    difference = differs(target, path, everything=everything)
    if difference:
        raise BuildError(f"{path.name} is not reproducible: {difference}")
    say(f"{path.name}: the same bytes from another directory")
