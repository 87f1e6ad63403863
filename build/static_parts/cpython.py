"""CPython as one static library, and as the interpreter that compiles what gets frozen."""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING

from static_parts.common import PARTS, Target, cached, jobs, key_of, run
from static_parts.sources import Source, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from static_parts.toolchain import Toolchain

# C modules that neither sevpn nor the freezer touches. Which of the rest get into the
# binary is decided by the table of built-in modules, see inittab.py.
LEFT_OUT = (
    "_asyncio _bisect _bz2 _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr "
    "_codecs_tw _csv _ctypes _ctypes_test _curses _curses_panel _dbm _decimal _elementtree "
    "_gdbm _hashlib _interpchannels _interpqueues _interpreters _lsprof _lzma "
    "_multibytecodec _multiprocessing _posixshmem _queue _sqlite3 _ssl _tkinter _uuid "
    "_zoneinfo audioop cmath grp mmap nis pyexpat readline resource spwd syslog termios "
    "xxlimited xxlimited_35 xxsubtype zlib"
)
CONFIGURE = (
    "--prefix=/usr --disable-shared --without-ensurepip --without-doc-strings "
    "--without-mimalloc --disable-test-modules"
)
FLAGS = (
    "-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables "
    "-fomit-frame-pointer"
)
# What configure finds out by running something, and the state of the machine decides: under
# `nice -n 19`, for one, nice() seems to be broken, and the binary came out different.
STEADY_ANSWERS = {
    "ac_cv_broken_nice": "no",
    "ac_cv_broken_poll": "no",
    "ac_cv_broken_sem_getvalue": "no",
    "ac_cv_buggy_getaddrinfo": "no",
    "ac_cv_posix_semaphores_enabled": "yes",
    "ac_cv_working_tzset": "yes",
}
# What configure would have to run on the target to know.
CROSS_ANSWERS = {
    "ac_cv_file__dev_ptmx": "yes",
    "ac_cv_file__dev_ptc": "no",
    "ac_cv_buggy_getaddrinfo": "no",
}


def build(
    target: Target,
    tools: Toolchain,
    source: Source,
    places: list[Path],
    build_python: Path | None,
) -> Path:
    """Return a directory with include/, lib/ (the standard library) and libpython.a.

    It also holds `python`, an interpreter that runs on the target and finds lib/ beside it.
    For a cross build, `build_python` is the directory made for the machine that builds.
    """
    configure = CONFIGURE.split()
    answers = {f"py_cv_module_{name}": "n/a" for name in LEFT_OUT.split()}
    if build_python:
        configure += [f"--host={target.triple}", f"--build={platform.machine()}-linux-gnu"]
        answers |= CROSS_ANSWERS
    else:
        answers |= STEADY_ANSWERS

    def make(work: Path, result: Path) -> None:
        # In-tree, by relative names: the path of the sources gets into getpath.o otherwise.
        tree = unpack(source, places, work)
        env = {
            **tools.environment(tree),
            **answers,
            "CC": "cc",
            "AR": "ar",
            "RANLIB": "ranlib",
            "PKG_CONFIG": "false",  # the machine's own libraries are for another C library
            "MODULE_BUILDTYPE": "static",
            "LINKFORSHARED": " ",
            "OPT": "-DNDEBUG -Os -fwrapv",
            "CFLAGS": FLAGS,
            "LDFLAGS": "-static -Wl,--gc-sections",
        }
        log = work / "log"
        cross = [f"--with-build-python={build_python / 'python'}"] if build_python else []
        run(["./configure", *configure, *cross], tree, env=env, log=log)
        run(["make", f"-j{jobs()}", "python"], tree, env=env, log=log)
        shutil.copytree(tree / "Include", result / "include")
        shutil.copy(tree / "pyconfig.h", result / "include")
        for name in ("libpython3.13.a", "LICENSE", "python"):
            shutil.copy(tree / name, result)
        for name in ("frozen.c", "config.c"):
            shutil.copy(next(tree.glob(f"*/{name}")), result)
        ignored = shutil.ignore_patterns("test", "idlelib", "__pycache__", "tkinter", "turtledemo")
        shutil.copytree(tree / "Lib", result / "lib" / "python3.13", ignore=ignored)
        # Python looks for it beside its library, and warns without.
        (result / "lib" / "python3.13" / "lib-dynload").mkdir()

    key = key_of(
        tools.key, source.sha256, " ".join(configure), str(sorted(answers)), PARTS / "cpython.py"
    )
    return cached(f"cpython-{target.arch}", key, make)
