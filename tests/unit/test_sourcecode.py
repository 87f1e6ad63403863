"""The formatter, the linters and the type checker, each as a test."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.require import require

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.prefix, "bin")

pytestmark = pytest.mark.no_sanitizer


def check(command: list[str | Path]) -> None:
    environment = {"PATH": f"{TOOLS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    if done.returncode:
        pytest.fail(f"$ {' '.join(map(str, command))}\n{done.stdout}", pytrace=False)


def shell_scripts() -> list[Path]:
    candidates = [*(ROOT / "build").rglob("*"), *(ROOT / ".ci").iterdir()]
    return [
        path
        for path in candidates
        if path.is_file()
        and (path.suffix == ".sh" or (path.read_bytes()[:64].startswith(b"#!") and is_shell(path)))
    ]


def is_shell(path: Path) -> bool:
    return path.read_bytes().partition(b"\n")[0].rsplit(b"/")[-1].split()[-1] in {b"bash", b"sh"}


def test_ruff_check() -> None:
    check([TOOLS / "ruff", "check", "--cache-dir", ".cache/ruff", "--output-format", "concise"])


def test_ruff_format() -> None:
    check([TOOLS / "ruff", "format", "--cache-dir", ".cache/ruff", "--diff"])


def test_cython_lint() -> None:
    files = sorted([*(ROOT / "pyx").glob("*.pyx"), *(ROOT / "pyx").glob("*.pxd")])
    assert files
    check([TOOLS / "cython-lint", *files])


@pytest.mark.timeout(300)
def test_mypy() -> None:
    recipes = sorted((ROOT / "build").rglob("*.py"))
    helpers = [path for path in (ROOT / "tests/support", ROOT / "tests/lab") if path.is_dir()]
    check([TOOLS / "mypy", "sevpn", *recipes, *helpers])


def test_shellcheck() -> None:
    require(Path("/usr/bin/shellcheck").exists(), "apt-get install shellcheck")
    scripts = shell_scripts()
    assert scripts
    check(["/usr/bin/shellcheck", "-x", "-P", "SCRIPTDIR", "-S", "warning", *scripts])
