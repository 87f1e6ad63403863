"""Which modules the binary needs: found by following import statements.

Run by the very CPython that is linked in: its built-in modules and its library count.
"""

from __future__ import annotations

import ast
import encodings
import encodings.aliases
import importlib.util
import json
import sys
from pathlib import Path

from static_parts.contents import ABSENT, ALIASES

STDLIB = Path(json.__file__).parent.parent
# Imported by CPython's C code while it starts.
ALWAYS_BUILTIN = (
    "_imp", "_io", "_signal", "_thread", "_warnings", "_weakref", "builtins", "marshal", "posix",
    "sys", "time",
)  # fmt: skip


class Module:
    """A Python module found: its name, file and whether it is a package."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.is_package = path.name == "__init__.py"
        self.source = path.read_bytes()
        self.imports: list[str] = []

    @property
    def package(self) -> str:
        """What relative imports are relative to."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


# Conditions that are never true in the binary.
NEVER = {
    "TYPE_CHECKING",
    "typing.TYPE_CHECKING",
    "__name__ == '__main__'",
    "sys.platform == 'win32'",
}


class _Imports(ast.NodeVisitor):
    """Collects (module, names) of each import statement that can run."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def visit_Call(self, node: ast.Call) -> None:
        """`text.encode("idna")` loads encodings.idna."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"encode", "decode"}:
            match node.args[:1]:
                case [ast.Constant(value=str(name))]:
                    module = encodings.normalize_encoding(name).lower()
                    module = encodings.aliases.aliases.get(module, module)
                    self.found.append((f"encodings.{module}", ()))

    def visit_If(self, node: ast.If) -> None:
        """Skip what only type checkers and other systems run."""
        never = ast.unparse(node.test) in NEVER
        for statement in [*([] if never else node.body), *node.orelse]:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        """`import a.b` loads a and a.b."""
        self.found.extend((alias.name, ()) for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """`from a import b` loads a, and a.b if that is a module."""
        base = node.module or ""
        if node.level:
            base = importlib.util.resolve_name("." * node.level + base, self.package)
        self.found.append((base, tuple(alias.name for alias in node.names)))


class Search:
    """Follows imports from the roots until nothing new turns up."""

    def __init__(self, directories: list[Path]) -> None:
        self.directories = directories
        self.modules: dict[str, Module] = {}
        self.builtin = set(ALWAYS_BUILTIN)
        self.compiled: set[str] = set()  # ours, from pyx/
        self.missing: set[tuple[str, str]] = set()
        self.unused = {(importer, name) for importer, names in ABSENT.items() for name in names}

    def locate(self, name: str) -> Path | None:
        """Return a module's file in the first search directory that has it."""
        relative = Path(*name.split("."))
        for directory in self.directories:
            for path in (directory / relative / "__init__.py", directory / f"{relative}.py"):
                if path.is_file():
                    return path
        return None

    def add(self, name: str, importer: str) -> bool:
        """Take a module and its packages in; return whether there is such a module."""
        name = ALIASES.get(name, name)
        parent = name.rpartition(".")[0]
        if parent and not self.add(parent, importer):
            return False
        if name in self.modules or name in self.builtin or name in self.compiled:
            return True
        if name in sys.builtin_module_names:
            self.builtin.add(name)
            return True
        path = self.locate(name)
        if path is None:
            return False
        module = self.modules[name] = Module(name, path)
        self.follow(module)
        return True

    def follow(self, module: Module) -> None:
        """Add everything a module imports."""
        visitor = _Imports(module.package)
        visitor.visit(ast.parse(module.source, str(module.path)))
        for base, names in visitor.found:
            if self._absent(module.name, base):
                continue
            if base in {"__future__"}:
                continue
            if not self.add(base, module.name):
                self.missing.add((module.name, base))
                continue
            module.imports.append(base)
            for name in names:
                full = f"{base}.{name}"
                if name == "*" or self._absent(module.name, full):
                    continue
                if (
                    base in self.modules
                    and self.modules[base].is_package
                    and self.add(full, module.name)
                ):
                    module.imports.append(full)

    def _absent(self, importer: str, name: str) -> bool:
        for key in (importer, "*"):
            if name in ABSENT.get(key, ()):
                self.unused.discard((key, name))
                return True
        return False
