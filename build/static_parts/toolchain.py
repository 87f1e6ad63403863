"""The C compiler: zig (with musl inside) as ordinary cc, ar and ranlib commands.

Another compiler for the target can be given in $SEVPN_CC (with $SEVPN_AR, $SEVPN_RANLIB):
it must link static executables by itself, as musl-gcc or a musl cross compiler does.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from static_parts.common import CACHE, PARTS, BuildError, Target, cached, key_of, run

REQUIREMENTS = PARTS / "requirements.lock"

# The build directory is mapped away here and not in CFLAGS: OpenSSL and CPython record their
# flags in what they build. Zig's own extras are off: UBSan, and an error on __DATE__.
_CC = """#!/bin/sh
exec {cc} -ffile-prefix-map="${{SEVPN_BUILD_TREE:-$PWD}}"=. {flags} "$@"
"""
_TOOL = """#!/bin/sh
exec {tool} "$@"
"""


class Toolchain(NamedTuple):
    """Commands `cc`, `ar` and `ranlib` for one target, in one directory."""

    directory: Path
    key: str

    def environment(self, tree: Path) -> dict[str, str]:
        """Return the variables with which a source tree is built."""
        return {
            "PATH": f"{self.directory}:{os.environ['PATH']}",
            "SEVPN_BUILD_TREE": str(tree),
            "ZIG_GLOBAL_CACHE_DIR": str(CACHE / "zig"),
            "ZIG_LOCAL_CACHE_DIR": str(CACHE / "zig"),
        }


def python_tools() -> Path:
    """Return the directory with the packages of requirements.lock (zig, Cython, pyroute2)."""
    given = os.environ.get("SEVPN_PYTHON_TOOLS")
    if given:
        return Path(given)

    def make(work: Path, result: Path) -> None:
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        install += ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
        python = work / "venv" / "bin" / "python"
        run([sys.executable, "-m", "venv", str(work / "venv")], work)
        run([str(python), *install, "-r", str(REQUIREMENTS), "--target", str(result)], work)

    return cached("python-tools", key_of(REQUIREMENTS, platform.machine()), make)


def toolchain(target: Target) -> Toolchain:
    """Return the commands to compile for `target`."""
    cc = os.environ.get("SEVPN_CC")
    if cc:
        ar, ranlib = os.environ.get("SEVPN_AR", "ar"), os.environ.get("SEVPN_RANLIB", "ranlib")
        flags = ""
        if not shutil.which(cc.split()[0]):
            raise BuildError(f"SEVPN_CC: there is no command {cc}")
        version = run([*cc.split(), "--version"], Path("/"))
    else:
        zig = f"{python_tools()}/ziglang/zig"
        cc, ar, ranlib = f"'{zig}' cc -target {target.triple}", f"'{zig}' ar", f"'{zig}' ranlib"
        flags = "-Wno-date-time -fno-sanitize=all"
        version = REQUIREMENTS.read_text()
    texts = {
        "cc": _CC.format(cc=cc, flags=flags),
        "ar": _TOOL.format(tool=ar),
        "ranlib": _TOOL.format(tool=ranlib),
    }

    def make(work: Path, result: Path) -> None:
        del work
        for name, text in texts.items():
            (result / name).write_text(text)
            (result / name).chmod(0o755)

    directory = cached(f"toolchain-{target.arch}", key_of(*texts.values(), version), make)
    # Not the paths in the wrappers but what they run decides the result.
    return Toolchain(directory, key_of(flags, version, _CC, target.triple))
