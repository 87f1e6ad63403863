"""The licence texts of everything linked in, gathered for a release."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

from static_parts.common import ROOT, BuildError
from static_parts.sources import archive, locked_sources
from static_parts.toolchain import python_tools

if TYPE_CHECKING:
    from pathlib import Path


def gather(into: Path, python: Path, openssl: Path) -> None:
    """Fill the directory `into`: one file for each part.

    Cython's output is under our own licence, as its licence says; musl's and compiler-rt's
    texts come with zig, which brings their sources.
    """
    tools = python_tools()
    (pyroute2,) = tools.glob("pyroute2-*.dist-info")
    texts = {
        "sevpn.txt": ROOT / "LICENSE",
        "cpython.txt": python / "LICENSE",
        "openssl.txt": openssl / "LICENSE.txt",
        "pyroute2.txt": pyroute2 / "licenses" / "LICENSE.Apache-2.0",
        "musl.txt": tools / "ziglang" / "lib" / "libc" / "musl" / "COPYRIGHT",
        "compiler-rt.txt": tools / "ziglang" / "LICENSE",
    }
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name, path in texts.items():
        shutil.copyfile(path, into / name)
    (into / "cpython-incorporated.rst").write_bytes(_from_source("python", "Doc/license.rst"))


def _from_source(name: str, inside: str) -> bytes:
    """Return a file of a source archive. CPython's code of others is named in its manual."""
    source = locked_sources()[name]
    with tarfile.open(archive(source, [])) as tar:
        for member in tar:
            if member.name.partition("/")[2] == inside:
                file = tar.extractfile(member)
                if file:
                    return file.read()
    raise BuildError(f"the archive of {name} has no {inside}")
