"""Freezing and linking: from libraries and objects to one executable."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from static_parts import order
from static_parts.common import PARTS, ROOT, Target, cached, key_of, run
from static_parts.toolchain import python_tools

if TYPE_CHECKING:
    from pathlib import Path

    from static_parts.toolchain import Toolchain

FLAGS = (
    "-std=gnu11 -Os -DNDEBUG -ffunction-sections -fdata-sections "
    "-fno-asynchronous-unwind-tables -fno-unwind-tables -fomit-frame-pointer -Wall -Werror"
).split()


class Linked(NamedTuple):
    """The results: the product, and a test program made of the same objects."""

    binary: Path
    symbols: Path  # the same, not stripped
    import_all: Path
    modules: Path  # modules.json


def freeze(host_python: Path) -> Path:
    """Return the directory with the frozen modules and the tables (see freezer.py).

    `host_python` is the CPython result that runs here; the bytecode is the same for all targets.
    """
    sources = sorted((ROOT / "sevpn").rglob("*.py"))
    names = "\n".join(str(path.relative_to(ROOT)) for path in sources)
    ours = [
        PARTS.parent / "extensions.py",
        PARTS / "freezer.py",
        PARTS / "contents.py",
        PARTS / "imports.py",
        *sorted((PARTS / "stubs").rglob("*.py")),
    ]
    key = key_of(names, *sources, *ours, python_tools().name, host_python.name)

    def make(work: Path, result: Path) -> None:
        # A search directory with sevpn alone: nothing else of the checkout gets in.
        (work / "ours").mkdir()
        (work / "ours" / "sevpn").symlink_to(ROOT / "sevpn")
        env = {
            "PYTHONHOME": str(host_python),
            "PYTHONPATH": str(PARTS.parent),
        }
        python = [str(host_python / "python"), "-S", "-X", "no_debug_ranges"]
        search = [work / "ours", PARTS / "stubs", python_tools()]
        script = [str(PARTS / "freezer.py"), str(result), *map(str, search)]
        print(run([*python, *script], work, env=env), end="")

    return cached("frozen", key, make)


def link(
    target: Target,
    tools: Toolchain,
    python: Path,
    openssl: Path,
    frozen: Path,
    objects: list[Path],
) -> Linked:
    """Link; nothing in the result depends on where the checkout lies."""
    libraries = [
        python / "libpython3.13.a",
        openssl / "lib/libssl.a",
        openssl / "lib/libcrypto.a",
    ]

    def make(work: Path, result: Path) -> None:
        for path in [*frozen.iterdir(), PARTS / "main.c", *objects]:
            shutil.copy(path, work)
        env = tools.environment(work)
        include = [f"-I{python / 'include'}"]
        for name in ("main.c", "frozen.c", "inittab.c", "blob.S"):
            run(["cc", "-c", *FLAGS, *include, name], work, env=env)
        everything = ["-DSEVPN_IMPORT_ALL", "main.c", "-o", "import_all.o"]
        run(["cc", "-c", *FLAGS, *include, *everything], work, env=env)
        parts = ["frozen.o", "inittab.o", "blob.o", *(path.name for path in objects)]
        (work / "order.ld").write_text(order.linker_script())
        common = ["cc", "-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-T,order.ld"]
        common += [*parts, *map(str, libraries), "-lm"]
        run([*common, "-s", "main.o", "-o", str(result / "sevpn")], work, env=env)
        run([*common, "main.o", "-o", str(result / "sevpn-symbols")], work, env=env)
        run([*common, "-s", "import_all.o", "-o", str(result / "sevpn-import-all")], work, env=env)
        shutil.copy(frozen / "modules.json", result)

    inputs = [path.parent.name for path in (*objects, *libraries)] + [frozen.name, openssl.name]
    key = key_of(*inputs, tools.key, order.linker_script(), PARTS / "main.c", PARTS / "link.py")
    result = cached(f"linked-{target.arch}", key, make)
    names = ("sevpn", "sevpn-symbols", "sevpn-import-all", "modules.json")
    return Linked(*(result / name for name in names))


def install(linked: Linked, path: Path) -> str:
    """Put the binary at its place by renaming; return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    shutil.copy(linked.binary, new)
    new.chmod(0o755)
    os.replace(new, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
