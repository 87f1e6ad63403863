"""What all parts of the static build share: places, a cache by content, running commands."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PARTS = Path(__file__).resolve().parent
ROOT = PARTS.parent.parent
CACHE = ROOT / ".cache" / "static"
DIST = ROOT / "dist"
SOURCE_DATE_EPOCH = "315532800"  # 1980-01-01: the earliest date a zip entry can carry
KEY_DIGITS = 16
KEPT_RESULTS = 4  # of each part; older ones are removed
SHOWN_LINES = 40  # of a failed command's output
ARCHITECTURES = ("x86_64", "aarch64")


class BuildError(Exception):
    """A build step failed; the message is for the person who ran it."""


class Target(NamedTuple):
    """What to build for."""

    arch: str  # "x86_64" or "aarch64"

    @property
    def triple(self) -> str:
        """The target as C compilers name it."""
        return f"{self.arch}-linux-musl"

    @property
    def output_name(self) -> str:
        """The binary's file name in dist/."""
        return "sevpn" if self.arch == "x86_64" else f"sevpn-{self.arch}"


def say(text: str) -> None:
    """Print progress to standard error."""
    print(f"== {text}", file=sys.stderr, flush=True)


def jobs() -> int:
    """Return how many compilers may run at once ($SEVPN_JOBS, or the processors we may use)."""
    return int(os.environ.get("SEVPN_JOBS", "0")) or len(os.sched_getaffinity(0))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for a build command: few, and the same everywhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"HOME", "PATH", "TMPDIR", "USER"}
        or name.startswith(("SEVPN_", "PIP_", "SSL_"))
        or name.lower().endswith("_proxy")
    }
    fixed = {
        "LC_ALL": "C",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
    }
    return {**kept, **fixed, **(extra or {})}


def run(
    command: list[str],
    cwd: Path,
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> str:
    """Run a command and return its output; with `log`, the output is appended there too.

    Raises BuildError with the last lines of what it said.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if log:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shlex.join(command)}\n{done.stdout}\n")
    if done.returncode:
        lines = done.stdout.splitlines()[-SHOWN_LINES:]
        where = [f"(all of it: {log})"] if log else []
        raise BuildError("\n".join([f"$ {shlex.join(command)}", *lines, *where]))
    return done.stdout


def key_of(*parts: str | bytes | Path) -> str:
    """Return a short hash of texts and of files' contents, for the name of a cached result."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            data = part.read_bytes()
        else:
            data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()[:KEY_DIGITS]


def _is_key(directory: str, name: str) -> bool:
    """Tell whether a directory of the cache is a result of exactly this name."""
    rest = directory.removeprefix(f"{name}-")
    return len(rest) == KEY_DIGITS and "-" not in rest


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of this checkout: two builds at once would fight over the same files."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another build of {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached(name: str, key: str, make: Callable[[Path, Path], None]) -> Path:
    """Return the directory NAME-KEY of the cache; if it is missing, `make(work, result)` fills it.

    `work` is scratch space, removed after success and left for inspection after a failure.
    The result appears under its name only when complete.
    """
    final = CACHE / f"{name}-{key}"
    if final.is_dir():
        final.touch()
        return final
    with locked(name):
        if final.is_dir():
            return final
        say(f"building {name}")
        started_s = time.monotonic()
        work = CACHE / "work" / f"{name}-{key}"
        shutil.rmtree(work, ignore_errors=True)
        result = work / "result"
        result.mkdir(parents=True)
        make(work, result)
        result.rename(final)
        shutil.rmtree(work, ignore_errors=True)
        # Links lead to another checkout's cache: they are not ours to remove.
        found = [p for p in CACHE.glob(f"{name}-*") if p.is_dir() and not p.is_symlink()]
        results = [p for p in found if _is_key(p.name, name)]
        for old in sorted(results, key=lambda path: path.stat().st_mtime)[:-KEPT_RESULTS]:
            shutil.rmtree(old)
        say(f"{name} took {time.monotonic() - started_s:.0f} s")
    return final
