"""The compiled modules of sevpn: the one list that every recipe reads.

Used by build/dev, the wheel (build/backend), the sanitizer run and the static binary.
Plain data and small functions on the standard library only, so that any Python can
import it (Cython need not be installed).

How a module finds another: all recipes compile in a *tree*, a directory that holds
`sevpn/__init__.pxd` (empty) and a link to every file of pyx/ as `sevpn/FILE`, with that
directory as the working directory. Cython then sees one package:

    from sevpn._block cimport BlockParser, block_parse    # pyx/_block.pxd
    from sevpn.wire cimport load_u32, store_u32           # pyx/wire.pxd, inline, no module
    cdef extern from "wire.h": ...                        # pyx/wire.h (-I sevpn)

and the C text names sources as `sevpn/_block.pyx` wherever the checkout lies, which
keeps builds reproducible. (`from wire cimport` does not work: there is one way.)
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PACKAGE = "sevpn"


class Extension(NamedTuple):
    """One compiled module: pyx/NAME.pyx becomes sevpn.NAME."""

    name: str
    libraries: tuple[str, ...] = ()  # as for -l
    c_sources: tuple[str, ...] = ()  # further C files of pyx/, compiled into the same module
    hot: bool = True  # runs per frame: optimised for speed; else for size where that matters

    @property
    def qualified_name(self) -> str:
        """The name to import: "sevpn._block"."""
        return f"{PACKAGE}.{self.name}"

    @property
    def init_function(self) -> str:
        """The C entry point, for a table of built-in modules: "PyInit__block"."""
        return f"PyInit_{self.name}"

    @property
    def source(self) -> str:
        """The Cython source's path in the checkout."""
        return f"pyx/{self.name}.pyx"


EXTENSIONS = (
    Extension("_sha0", hot=False),
    Extension("_pack", hot=False),
    Extension("_block"),
    Extension("_offload"),
    Extension("_process", hot=False),
    Extension("_standing"),
    Extension("_tls", libraries=("ssl", "crypto")),
    Extension("_bridge", libraries=("ssl", "crypto")),
)

# Warnings that Cython's own output cannot avoid are off; ours in .h and .c files stay visible.
WARNINGS = ("-Wall", "-Wno-unused-function", "-Wno-maybe-uninitialized")
COMMON_FLAGS = ("-std=gnu11", "-fvisibility=hidden", "-DNDEBUG", "-DCYTHON_CLINE_IN_TRACEBACK=0")
SANITIZE_FLAGS = (
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
)


def c_flags(extension: Extension, *, sanitize: bool = False) -> tuple[str, ...]:
    """Return the compiler flags of a module, without include paths or -fPIC.

    Never -march=native: what is built here runs elsewhere.
    """
    if sanitize:
        return (*COMMON_FLAGS, *WARNINGS, *SANITIZE_FLAGS)
    return (*COMMON_FLAGS, *WARNINGS, "-O3" if extension.hot else "-O2")


def link_flags(extension: Extension, *, sanitize: bool = False) -> tuple[str, ...]:
    """Return the linker flags of a module as a shared object."""
    libraries = tuple(f"-l{library}" for library in extension.libraries)
    return (*(SANITIZE_FLAGS if sanitize else ("-s", "-Wl,-z,now")), *libraries)


def make_tree(root: Path, tree: Path) -> None:
    """Lay links to the files of pyx/ into `tree`/sevpn, as the module docstring says."""
    package = tree / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.pxd").touch()
    wanted = {
        path.name: path.resolve()
        for path in (root / "pyx").iterdir()
        if path.suffix in {".pyx", ".pxd", ".pxi", ".h"} or is_listed_c(path.name)
    }
    for link in package.iterdir():
        if link.is_symlink() and wanted.get(link.name) != link.readlink():
            link.unlink()
    for name, target in wanted.items():
        if not (package / name).is_symlink():
            (package / name).symlink_to(target)


def is_listed_c(name: str) -> bool:
    """Tell whether a C file of pyx/ is a source of ours (the others are Cython's output)."""
    return any(name in extension.c_sources for extension in EXTENSIONS)


_REFERENCE = re.compile(
    rf"""^\s*(?:
        from\s+(?:{PACKAGE})?\.(?P<module>\w+)\s+cimport
      | cimport\s+{PACKAGE}\.(?P<direct>\w+)
      | cdef\s+extern\s+from\s+["'](?P<header>[^"'<>]+)["']
      | include\s+["'](?P<text>[^"']+)["']
      | \#\s*include\s+"(?P<local>[^"]+)"
    )""",
    re.VERBOSE | re.MULTILINE,
)


def inputs(root: Path, extension: Extension) -> list[Path]:
    """Return every file of pyx/ that a module is made from, itself first.

    Follows cimports, includes and C headers, so that a change recompiles what needs it.
    """
    pyx = root / "pyx"
    names = [f"{extension.name}.pyx", f"{extension.name}.pxd", *extension.c_sources]
    found: list[Path] = []
    while names:
        path = pyx / names.pop(0)
        if path in found or not path.is_file():
            continue
        found.append(path)
        for match in _REFERENCE.finditer(path.read_text(encoding="utf-8")):
            module = match["module"] or match["direct"]
            names.append(
                f"{module}.pxd" if module else match["header"] or match["text"] or match["local"]
            )
    return found


def digest(root: Path, extension: Extension, further: Iterable[str] = ()) -> str:
    """Return a hash of a module's inputs and of `further` (flags, versions): its cache key."""
    state = hashlib.sha256()
    for text in (*extension.libraries, "", *further):
        state.update(text.encode() + b"\0")
    for path in inputs(root, extension):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()
