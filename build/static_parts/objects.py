"""Our own objects: the Cython modules of build/extensions.py, compiled for the target."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import extensions
from extensions import EXTENSIONS, Extension
from static_parts.common import PARTS, ROOT, Target, cached, jobs, key_of, run
from static_parts.toolchain import python_tools

if TYPE_CHECKING:
    from static_parts.toolchain import Toolchain

# As for the rest of the binary: sections of their own, so that unused ones are dropped.
FLAGS = (
    "-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables "
    "-fomit-frame-pointer -Wno-unknown-warning-option -Wno-deprecated-declarations"
).split()


def _flags(extension: Extension) -> list[str]:
    size = [] if extension.hot else ["-Os"]
    return [*extensions.c_flags(extension), *FLAGS, *size]


def _compile(
    target: Target, tools: Toolchain, extension: Extension, includes: list[Path]
) -> list[Path]:
    """Return the objects of one module."""
    flags = _flags(extension)

    def make(work: Path, result: Path) -> None:
        tree = work / "tree"
        extensions.make_tree(ROOT, tree)
        env = {**tools.environment(tree), "PYTHONPATH": str(python_tools())}
        package = extensions.PACKAGE
        c_file = f"{package}/{extension.name}.c"
        cython = [sys.executable, "-m", "cython", "-3"]
        run([*cython, f"{package}/{extension.name}.pyx", "-o", c_file], tree, env=env)
        paths = [f"-I{path}" for path in (*includes, package)]
        for name in (c_file, *(f"{package}/{source}" for source in extension.c_sources)):
            target_object = result / (Path(name).stem + ".o")
            run(["cc", "-c", *flags, *paths, name, "-o", str(target_object)], tree, env=env)

    places = [path.name for path in includes] + [path.parent.name for path in includes]
    key = extensions.digest(
        ROOT, extension, (*flags, *places, tools.key, key_of(PARTS / "objects.py"))
    )[:16]
    return sorted(cached(f"object-{target.arch}-{extension.name}", key, make).glob("*.o"))


def build(target: Target, tools: Toolchain, includes: list[Path]) -> list[Path]:
    """Return the objects of all modules, in the order of build/extensions.py."""
    with ThreadPoolExecutor(max_workers=jobs()) as pool:
        found = pool.map(
            lambda one: _compile(target, tools, one, includes),
            [one for one in EXTENSIONS if (ROOT / one.source).is_file()],
        )
        return [path for paths in found for path in paths]
