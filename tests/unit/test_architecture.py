"""The rules of the house that a reader cannot see in any single file.

Layers import downwards only; what is pure stays pure; the long-lived process loads few
modules; files stay short; nothing names the machine it was written on.
"""

import io
import re
import tokenize
import warnings
from pathlib import Path

import pytest

from support.sources import PACKAGE, ROOT, imports, modules, project_files

pytestmark = pytest.mark.no_sanitizer

# First match decides. (module prefix, group, rank); a module may import its own group and
# any group of a lower rank. Two groups of one rank do not know each other.
LAYERS = (
    (f"{PACKAGE}.errors", "base", 0),
    (f"{PACKAGE}.constants", "base", 0),
    (f"{PACKAGE}.log", "base", 0),
    (f"{PACKAGE}.output", "base", 0),
    (f"{PACKAGE}.config", "base", 0),
    (f"{PACKAGE}.flags", "base", 0),
    (f"{PACKAGE}.jsontext", "base", 0),
    (f"{PACKAGE}.wire", "codecs", 1),
    (f"{PACKAGE}._sha0", "codecs", 1),
    (f"{PACKAGE}._pack", "codecs", 1),
    (f"{PACKAGE}._block", "codecs", 1),
    (f"{PACKAGE}._offload", "codecs", 1),
    (f"{PACKAGE}._standing", "codecs", 1),
    (f"{PACKAGE}.proto", "proto", 2),
    (f"{PACKAGE}.dhcp", "dhcp", 2),
    (f"{PACKAGE}.host", "host", 3),
    (f"{PACKAGE}.io", "io", 3),
    (f"{PACKAGE}.capture", "codecs", 1),
    (f"{PACKAGE}.libssl", "io", 3),
    (f"{PACKAGE}.linux", "io", 3),
    (f"{PACKAGE}.clock", "io", 3),
    (f"{PACKAGE}._tls", "io", 3),
    (f"{PACKAGE}._bridge", "io", 3),
    (f"{PACKAGE}._process", "io", 3),
    (f"{PACKAGE}.session", "session", 4),
    (f"{PACKAGE}.control", "control", 5),
    (f"{PACKAGE}.supervisor", "supervisor", 6),
    (f"{PACKAGE}.commands", "commands", 6),
    (f"{PACKAGE}.cli", "cli", 7),
    (f"{PACKAGE}.__main__", "main", 8),
)

# Loaded for a whole session; the rest of host/ runs in short-lived children, and commands/
# in a process that asks or cleans up and then exits.
LEAN_MODULES = frozenset(
    {"__future__", "_signal", "_socket", "_struct", "builtins", "errno", "fcntl", "gc", "marshal"}
    | {"math", "posix", "select", "struct", "sys", "time"}
)
CHILD_PACKAGES = (f"{PACKAGE}.host", f"{PACKAGE}.commands")
# Loaded by a command that then exits, or in a child: never in a running session.
LAZY_MODULES: frozenset[str] = frozenset()

PURE_PACKAGES = (f"{PACKAGE}.proto", f"{PACKAGE}.dhcp", f"{PACKAGE}.flags")
PURE_MODULES = frozenset({"__future__", "math", "struct"})
IMPURE_NAMES = frozenset({"socket", "_socket", "urandom", "print", "open", "logging"})

MOST_LINES = 500
MANY_LINES = 400
SOURCE_SUFFIXES = frozenset({".py", ".pyi", ".pyx", ".pxd", ".h", ".c", ".sh", ".nix"})


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer(module: str) -> tuple[str, int]:
    if module == PACKAGE:
        return "package", 0
    for prefix, group, rank in LAYERS:
        if is_in(module, prefix) or (group == "session" and module.startswith(f"{prefix}_")):
            return group, rank
    pytest.fail(f"{module} has no layer: give it one in {__file__}", pytrace=False)


def place(module: str, line: int) -> str:
    return f"{modules()[module].relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("module", modules())
def test_imports_run_downwards(module: str) -> None:
    group, rank = layer(module)
    for found in imports(module):
        if not is_in(found.target, PACKAGE):
            continue
        other_group, other_rank = layer(found.target)
        assert other_group == group or other_rank < rank, (
            f"{place(module, found.line)}: {module} ({group}) must not import"
            f" {found.target} ({other_group})"
        )


@pytest.mark.parametrize(
    "module", [name for name in modules() if any(is_in(name, one) for one in PURE_PACKAGES)]
)
def test_codecs_and_machines_are_pure(module: str) -> None:
    for found in imports(module):
        pure = found.target in PURE_MODULES or is_in(found.target, PACKAGE) or found.typing_only
        assert pure, f"{place(module, found.line)}: {found.target} in a pure module"
        logs = found.target == f"{PACKAGE}.log" and found.name != "clean"
        assert not logs, f"{place(module, found.line)}: no logging in a pure module"
    text = modules()[module].read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        impure = token.type == tokenize.NAME and token.string in IMPURE_NAMES
        assert not impure, f"{place(module, token.start[0])}: {token.string} in a pure module"


def loaded_in_a_session() -> list[str]:
    """Every module but those for children, with what these import when they are loaded."""
    waiting = [
        name
        for name in modules()
        if name not in LAZY_MODULES and not any(is_in(name, one) for one in CHILD_PACKAGES)
    ]
    found: list[str] = []
    while waiting:
        module = waiting.pop()
        if module in found or module not in modules():
            continue
        found.append(module)
        waiting += [one.target for one in imports(module) if not one.late and not one.typing_only]
    return sorted(found)


@pytest.mark.parametrize("module", loaded_in_a_session())
def test_a_session_loads_few_modules(module: str) -> None:
    for found in imports(module):
        own = is_in(found.target, PACKAGE)
        c_only = modules()[module].suffix == ".pyx" and is_c_library(found.target)
        assert own or c_only or found.typing_only or found.target in LEAN_MODULES, (
            f"{place(module, found.line)}: {found.target} is too heavy for a running session"
        )


def is_c_library(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in {"libc", "cpython", "posix", "cython"}


@pytest.mark.parametrize("path", sorted((ROOT / "pyx").glob("*.pyx")), ids=lambda path: path.name)
def test_every_compiled_module_is_listed_and_has_a_stub(path: Path) -> None:
    listed = (ROOT / "build/extensions.py").read_text(encoding="utf-8")
    assert f'Extension("{path.stem}"' in listed
    assert (ROOT / PACKAGE / f"{path.stem}.pyi").is_file()


def test_every_stub_has_its_module() -> None:
    stubs = {path.stem for path in (ROOT / PACKAGE).glob("*.pyi")}
    assert stubs <= {path.stem for path in (ROOT / "pyx").glob("*.pyx")}


def is_source(path: Path) -> bool:
    return path.suffix in SOURCE_SUFFIXES or (not path.suffix and starts_with_shebang(path))


def starts_with_shebang(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


@pytest.mark.filterwarnings("default")
def test_files_are_short() -> None:
    too_long = []
    for path in filter(is_source, project_files()):
        count = path.read_bytes().count(b"\n")
        if count > MOST_LINES:
            too_long.append(f"{path.relative_to(ROOT)}: {count} lines")
        elif count > MANY_LINES:
            warnings.warn(f"{path.relative_to(ROOT)}: {count} lines: split it soon", stacklevel=1)
    assert not too_long


def configured_package_hosts() -> set[str]:
    """The hosts this machine gets packages from, where they are not the public ones."""
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    places += [Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf"]
    text = "\n".join(path.read_text(errors="replace") for path in places if path.is_file())
    hosts = set(re.findall(r"https?://(?:[^/@\s]*@)?([\w.-]+)", text))
    return {host for host in hosts if not re.search(r"(debian|pypi|python)\.org$|^localhost", host)}


def test_no_file_names_the_machine_it_was_written_on() -> None:
    # Nor where packages come from: pip, apt, cargo, npm and Nix's fetchers know their places.
    registries = [f"{host}.org" for host in ("pypi", "pythonhosted", "npmjs", "deb.debian")]
    registries.append("crates." + "io")
    words = ["/" + "work/", "/opt/" + "wheels", *registries, *configured_package_hosts()]
    pattern = re.compile("|".join(map(re.escape, words)).encode())
    named = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in project_files()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert not named
