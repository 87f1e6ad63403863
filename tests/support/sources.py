"""Read the project's own sources: which files there are and what they import."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "sevpn"


class Import(NamedTuple):
    """One import statement's target, as a module name."""

    target: str
    name: str  # what is taken from it; "" = the module itself
    line: int
    late: bool  # inside a function
    typing_only: bool  # under `if TYPE_CHECKING`


@cache
def project_files() -> tuple[Path, ...]:
    """Return every file that is tracked, or would be if it were added.

    In an unpacked archive without .git: all but what the recipes make.
    """
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    else:
        made = {".cache", ".venv", "dist", "__pycache__", ".hypothesis"}
        found = (path for path in ROOT.rglob("*") if path.suffix not in {".so", ".pyc"})
        paths = [path for path in found if not made & set(path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in paths if path.is_file() and not path.is_symlink()))


@cache
def modules() -> dict[str, Path]:
    """Return the source of every module of the package, compiled ones included, by name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    for path in sorted((ROOT / "pyx").glob("*.pyx")):
        found[f"{PACKAGE}.{path.stem}"] = path
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Return what a module imports (and cimports, for a compiled one)."""
    path = modules()[module]
    if path.suffix == ".pyx":
        both = [path, path.with_suffix(".pxd")]
        return tuple(found for one in both if one.is_file() for found in _cython_imports(one))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(_python_imports(tree, module, late=False, typing_only=False))


def _python_imports(node: ast.AST, module: str, *, late: bool, typing_only: bool) -> list[Import]:
    found: list[Import] = []
    if isinstance(node, ast.Import):
        found += [Import(alias.name, "", node.lineno, late, typing_only) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}:{node.lineno}: relative imports are not used here"
        base = node.module or ""
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            target, name = (whole, "") if whole in modules() else (base, alias.name)
            found.append(Import(target, name, node.lineno, late, typing_only))
    elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for branch, typing_branch in ((node.body, True), (node.orelse, typing_only)):
            for statement in branch:
                found += _python_imports(statement, module, late=late, typing_only=typing_branch)
    else:
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            found += _python_imports(child, module, late=inside, typing_only=typing_only)
    return found


_CYTHON_IMPORT = re.compile(
    r"^(?P<indent>[ \t]*)(?:from[ \t]+(?P<base>[\w.]+)[ \t]+c?import[ \t]+(?P<names>[\w, \t*(]*)"
    r"|c?import[ \t]+(?P<whole>[\w.]+))",
    re.MULTILINE,
)


def _cython_imports(path: Path) -> list[Import]:
    text = path.read_text(encoding="utf-8")
    found = []
    for match in _CYTHON_IMPORT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        targets = [match["whole"] or match["base"]]
        if targets[0] == PACKAGE:
            targets = [f"{PACKAGE}.{name.strip()}" for name in match["names"].split(",")]
        found += [Import(target, "", line, bool(match["indent"]), False) for target in targets]
    return found
