"""Compile the modules of build/extensions.py into shared objects.

The one compile path of build/dev, the wheel and the sanitizer build:

    python build/cythonize.py --into sevpn --scratch .cache/dev [--annotate] [--sanitize]

Only modules whose inputs, flags, compiler or Cython changed are compiled. The C text, the
objects and the stamps stay in the scratch directory; shared objects are replaced by
renaming, so a process that runs the old one is not disturbed.
Needs Cython in the running Python and a C compiler ($CC or cc; $CFLAGS, $LDFLAGS honoured).
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import extensions
from extensions import EXTENSIONS, Extension

ROOT = Path(__file__).resolve().parent.parent
# Asked before there are threads: sysconfig fills its cache unguarded in Python 3.11.
PYTHON_INCLUDES = [f"-I{sysconfig.get_path(kind)}" for kind in ("include", "platinclude")]
SHOWN_LINES = 60  # of a failed command: the first error explains the hundreds that follow


class CompileError(Exception):
    """A module that does not compile; the message holds the command and what it said."""


class Job(NamedTuple):
    """Where to compile and how."""

    into: Path  # directory for the shared objects
    scratch: Path  # C text, objects, stamps
    sanitize: bool = False
    annotate: bool = False  # Cython's HTML into .cache/annotate
    only: tuple[str, ...] = ()  # names of modules; empty: all
    root: Path = ROOT


def file_name(extension: Extension) -> str:
    """Return the file name of the shared object for the running Python."""
    return extension.name + EXTENSION_SUFFIXES[0]


def run(command: list[str], cwd: Path) -> None:
    """Run a command; its output is shown when it warns, and raised when it fails."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        lines = done.stdout.splitlines()
        if len(lines) > SHOWN_LINES:
            lines[SHOWN_LINES:] = [f"... {len(lines) - SHOWN_LINES} more lines"]
        raise CompileError("\n".join([f"$ {shlex.join(command)}", *lines]))
    if done.stdout.strip():
        print(done.stdout, end="", flush=True)


def compiler() -> list[str]:
    """Return the C compiler as a command."""
    return shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or "gcc"]


@cache
def tool_versions() -> tuple[str, ...]:
    """Return what besides the sources and flags decides the result."""
    cc = subprocess.run([*compiler(), "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return (
        version("cython"),
        sys.version,
        cc.stdout.partition("\n")[0],
        os.environ.get("CFLAGS", ""),
        os.environ.get("LDFLAGS", ""),
    )


def compile_one(job: Job, extension: Extension) -> bool:
    """Compile one module if anything it is made from changed; return whether it was.

    Raises CompileError.
    """
    flags = extensions.c_flags(extension, sanitize=job.sanitize)
    link = extensions.link_flags(extension, sanitize=job.sanitize)
    target = job.into / file_name(extension)
    stamp = job.scratch / f"{target.name}.stamp"
    key = extensions.digest(job.root, extension, (*flags, *link, *tool_versions()))
    html = job.root / ".cache" / "annotate" / f"{extension.name}.html"
    current = target.is_file() and stamp.is_file() and stamp.read_text() == key
    if current and (html.is_file() or not job.annotate):
        return False

    print(f"compiling {extension.qualified_name}", flush=True)
    tree = job.scratch / "tree"
    c_file = f"{extensions.PACKAGE}/{extension.name}.c"
    annotate = ["--annotate"] if job.annotate else []
    cython = [sys.executable, "-m", "cython", "-3", *annotate]
    run([*cython, f"{extensions.PACKAGE}/{extension.name}.pyx", "-o", c_file], tree)
    if job.annotate:
        html.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(tree / extensions.PACKAGE / html.name, html)

    includes = [*PYTHON_INCLUDES, f"-I{extensions.PACKAGE}"]
    new = job.scratch / f"{target.name}.new"
    command = [*compiler(), "-shared", "-fPIC", *flags, *includes, f"-ffile-prefix-map={tree}=."]
    command += shlex.split(os.environ.get("CFLAGS", ""))
    command += [c_file, *(f"{extensions.PACKAGE}/{name}" for name in extension.c_sources)]
    command += ["-o", str(new), *shlex.split(os.environ.get("LDFLAGS", "")), *link]
    run(command, tree)
    job.into.mkdir(parents=True, exist_ok=True)
    # Same file system or not: the last step is a rename inside the target directory.
    beside = target.with_name(f".{target.name}.new")
    shutil.move(new, beside)
    beside.replace(target)
    stamp.write_text(key)
    return True


def compile_all(job: Job) -> list[Path]:
    """Compile every module that needs it, two at a time; return the shared objects.

    A module that fails does not keep the others from being built.
    Raises CompileError with everything that failed.
    """
    job = job._replace(into=job.into.resolve(), scratch=job.scratch.resolve())
    job.scratch.mkdir(parents=True, exist_ok=True)
    extensions.make_tree(job.root, job.scratch / "tree")
    wanted = []
    for extension in EXTENSIONS:
        if job.only and extension.name not in job.only:
            continue
        if not (job.root / extension.source).is_file():
            raise CompileError(f"{extension.source} is listed in build/extensions.py but missing")
        wanted.append(extension)
    failures = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for waiting in [pool.submit(partial(compile_one, job, one)) for one in wanted]:
            try:
                waiting.result()
            except CompileError as error:
                failures.append(str(error))
    if failures:
        raise CompileError("\n".join(failures))
    return [job.into / file_name(extension) for extension in wanted]


def main() -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--annotate", action="store_true")
    parser.add_argument("only", nargs="*", choices=[*(one.name for one in EXTENSIONS), []])
    options = parser.parse_args()
    job = Job(
        options.into,
        options.scratch,
        sanitize=options.sanitize,
        annotate=options.annotate,
        only=tuple(options.only),
    )
    try:
        compile_all(job)
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
