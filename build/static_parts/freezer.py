"""Find the modules of the binary by their import statements, and compile them.

Run by the very CPython that is linked in (its bytecode, its built-in modules):

    python freezer.py OUT SEARCH_DIRECTORY...

Writes OUT/frozen.bin (the code objects, marshalled, one after the other), OUT/frozen.c
(the table), OUT/inittab.c and OUT/modules.json (the same for tests and the SBOM).
"""

from __future__ import annotations
import __future__

import ast
import hashlib
import json
import marshal
import sys
from pathlib import Path

from extensions import EXTENSIONS
from static_parts.contents import ROOTS
from static_parts.imports import NEVER, STDLIB, Module, Search

# Loaded before our first line.
STARTUP = {
    "abc", "codecs", "encodings", "encodings.aliases", "encodings.utf_8", "importlib._bootstrap",
    "importlib._bootstrap_external", "io",
}  # fmt: skip


class _Lean(ast.NodeTransformer):
    """Takes out what only type checkers read: it would be built at every start."""

    def __init__(self) -> None:
        self.flags = 0

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        """`from __future__` is for the compiler, yet would import a module."""
        if node.module != "__future__":
            return node
        for alias in node.names:
            self.flags |= getattr(__future__, alias.name).compiler_flag
        return ast.copy_location(ast.Pass(), node)

    def visit_If(self, node: ast.If) -> ast.AST:
        """Empty the branches that never run."""
        self.generic_visit(node)
        if ast.unparse(node.test) in NEVER:
            node.body = [ast.copy_location(ast.Pass(), node)]
        return node


class _Untyped(_Lean):
    """Takes out annotations as well: right for our modules, which never read them."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Of parameters."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Of results."""
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        """Of results."""
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        """Of variables."""
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def bytecode(module: Module) -> bytes:
    """Return a module's code object as the frozen table wants it."""
    name = f"<frozen {module.name}>"
    lean = (_Untyped if module.name.partition(".")[0] == "sevpn" else _Lean)()
    tree = lean.visit(ast.parse(module.source, name))
    code = compile(tree, name, "exec", lean.flags, dont_inherit=True, optimize=2)
    return marshal.dumps(code)


def write_table(out: Path, modules: list[Module]) -> None:
    """Write frozen.bin and frozen.c."""
    blob = bytearray()
    entries: dict[str, str] = {}
    for module in modules:
        data = bytecode(module)
        entries[module.name] = f"sevpn_frozen + {len(blob)}, {len(data)}, {int(module.is_package)}"
        blob += data
    (out / "frozen.bin").write_bytes(blob)
    # The digest is there for zig: its cache does not see the file that .incbin reads.
    (out / "blob.S").write_text(
        f"/* {hashlib.sha256(blob).hexdigest()} */\n"
        '.section .rodata.sevpn_frozen,"a",@progbits\n'
        ".globl sevpn_frozen\n.type sevpn_frozen, @object\nsevpn_frozen:\n"
        '.incbin "frozen.bin"\n'
        f".size sevpn_frozen, {len(blob)}\n"
        '.section .note.GNU-stack,"",@progbits\n'
    )
    bootstrap = {
        "_frozen_importlib": "importlib._bootstrap",
        "_frozen_importlib_external": "importlib._bootstrap_external",
    }
    lines = ['#include "Python.h"', "extern const unsigned char sevpn_frozen[];"]
    lines += [
        "/* Replaces CPython's Python/frozen.c. */",
        "static const struct _frozen bootstrap[] = {",
    ]
    lines += [f'    {{"{name}", {entries[origin]}}},' for name, origin in bootstrap.items()]
    lines += ["    {0, 0, 0}", "};", "static const struct _frozen none[] = {{0, 0, 0}};"]
    lines += ["const struct _frozen sevpn_frozen_modules[] = {"]
    lines += [f'    {{"{name}", {entry}}},' for name, entry in entries.items()]
    lines += ["    {0, 0, 0}", "};"]
    lines += ["struct _module_alias { const char *name; const char *orig; };"]
    lines += ["static const struct _module_alias aliases[] = {"]
    lines += [f'    {{"{name}", "{origin}"}},' for name, origin in bootstrap.items()]
    lines += ["    {0, 0}", "};"]
    lines += ["const struct _frozen *_PyImport_FrozenBootstrap = bootstrap;"]
    lines += ["const struct _frozen *_PyImport_FrozenStdlib = none;"]
    lines += ["const struct _frozen *_PyImport_FrozenTest = none;"]
    lines += ["const struct _module_alias *_PyImport_FrozenAliases = aliases;"]
    lines += ["const struct _frozen *PyImport_FrozenModules = NULL;"]
    (out / "frozen.c").write_text("\n".join(lines) + "\n")


def write_inittab(out: Path, builtin: set[str], compiled: set[str]) -> None:
    """Write the table of built-in modules; it replaces CPython's Modules/config.c."""
    special = {"marshal": "PyMarshal_Init", "_warnings": "_PyWarnings_Init"}
    empty = {"builtins", "sys"}
    functions = {
        name: "NULL" if name in empty else special.get(name, "PyInit_" + name.rpartition(".")[2])
        for name in sorted(builtin | compiled)
    }
    lines = ['#include "Python.h"']
    lines += [f"extern PyObject *{f}(void);" for f in functions.values() if f != "NULL"]
    lines += ["struct _inittab _PyImport_Inittab[] = {"]
    lines += [f'    {{"{name}", {function}}},' for name, function in functions.items()]
    lines += ["    {0, 0}", "};"]
    (out / "inittab.c").write_text("\n".join(lines) + "\n")


def _rank(name: str) -> int:
    top, _, rest = name.partition(".")
    if top == "sevpn":
        return 2 if rest.startswith("host") else 1
    return 0 if name in STARTUP else 3


def main() -> int:
    """Run from the command line; return the exit status."""
    out = Path(sys.argv[1])
    directories = [Path(name) for name in sys.argv[2:]]
    search = Search([*directories, STDLIB])
    search.compiled = {one.qualified_name for one in EXTENSIONS}
    for name in ROOTS:
        if not search.add(name, "(roots)"):
            search.missing.add(("(roots)", name))
    for path in sorted((directories[0] / "sevpn").rglob("*.py")):
        parts = path.relative_to(directories[0]).with_suffix("").parts
        search.add(".".join(part for part in parts if part != "__init__"), "(sevpn)")
    for importer, name in sorted(search.missing):
        print(f"{importer} imports {name}, which is not in the binary", file=sys.stderr)
    for importer, name in sorted(search.unused):
        print(f"contents.py: {importer} does not import {name}", file=sys.stderr)
    # What a session loads comes first, side by side (see order.py for why).
    modules = sorted(search.modules.values(), key=lambda module: _rank(module.name))
    write_table(out, modules)
    write_inittab(out, search.builtin, search.compiled)
    listing = {
        "frozen": {m.name: sorted(set(m.imports)) for m in modules},
        "builtin": sorted(search.builtin),
        "compiled": sorted(search.compiled),
    }
    (out / "modules.json").write_text(json.dumps(listing, indent=1, sort_keys=True) + "\n")
    return bool(search.missing or search.unused)


if __name__ == "__main__":
    sys.exit(main())
