"""What `pip install .` and an sdist hold, and that building them leaves no trace."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import sevpn
from support.require import require

ROOT = Path(__file__).resolve().parents[2]
BACKEND_CALL = "import sys, sevpn_backend; getattr(sevpn_backend, sys.argv[1])(sys.argv[2])"

pytestmark = [pytest.mark.no_sanitizer, pytest.mark.timeout(600)]


def git_status() -> str:
    command = ["git", "status", "--porcelain", "--ignored", "--", ":!*__pycache__*"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def call_backend(checkout: Path, hook: str, into: Path) -> Path:
    """Call a hook as a frontend does, with the tools of .venv instead of downloaded ones."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{checkout}/build/backend:{checkout}/build",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", BACKEND_CALL, hook, into],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    (result,) = into.iterdir()
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An sdist of the checkout, and a wheel made from that sdist alone."""
    require((ROOT / ".git").exists(), "needs a git checkout")
    before = git_status()
    sdist = call_backend(ROOT, "build_sdist", tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as tar:
        sdist_names = tar.getnames()
    subprocess.run(["tar", "-xzf", sdist, "-C", unpacked], check=True)
    (source,) = unpacked.iterdir()
    wheel = call_backend(source, "build_wheel", tmp_path_factory.mktemp("wheel"))
    return SimpleNamespace(
        before=before,
        after=git_status(),
        sdist=sdist,
        sdist_names=sdist_names,
        source=source,
        wheel=wheel,
    )


def test_the_checkout_stays_clean(built: SimpleNamespace) -> None:
    assert built.after == built.before


def test_sdist_holds_what_a_build_needs(built: SimpleNamespace) -> None:
    names = {name.partition("/")[2] for name in built.sdist_names}
    assert {"pyproject.toml", "LICENSE", "PKG-INFO", "build/extensions.py"} <= names
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "pyx").glob("*.pyx")} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", ".html"))]


def test_wheel_holds_the_package_and_nothing_else(built: SimpleNamespace) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = archive.namelist()
    kept = (".py", ".pyi", ".so", "/py.typed")
    strange = [
        name
        for name in names
        if not (name.startswith("sevpn/") and name.endswith(kept)) and ".dist-info/" not in name
    ]
    assert not strange
    compiled = {re.sub(r"\..*", "", Path(name).name) for name in names if name.endswith(".so")}
    assert compiled == {path.stem for path in (ROOT / "pyx").glob("*.pyx")}
    wanted = [*(ROOT / "sevpn").rglob("*.py"), *(ROOT / "sevpn").rglob("*.pyi")]
    assert {path.relative_to(ROOT).as_posix() for path in wanted} <= set(names)


def test_wheel_names_no_path_of_the_build(built: SimpleNamespace) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert str(built.source).encode() not in content, name
            assert b"sevpn-build-" not in content, name


def test_building_leaves_nothing_in_the_source(built: SimpleNamespace) -> None:
    names = {name.partition("/")[2] for name in built.sdist_names}
    left = {
        path.relative_to(built.source).as_posix()
        for path in built.source.rglob("*")
        if path.is_file()
    }
    assert left == names


def test_another_directory_gives_the_same_bytes(
    built: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """From the sdist an equal sdist, and from that an equal wheel."""
    sdist = call_backend(built.source, "build_sdist", tmp_path_factory.mktemp("again"))
    assert sdist.read_bytes() == built.sdist.read_bytes()
    elsewhere = tmp_path_factory.mktemp("a-place-with-a-longer-name")
    subprocess.run(["tar", "-xzf", sdist, "-C", elsewhere], check=True)
    (source,) = elsewhere.iterdir()
    wheel = call_backend(source, "build_wheel", tmp_path_factory.mktemp("wheel-again"))
    assert wheel.name == built.wheel.name
    assert wheel.read_bytes() == built.wheel.read_bytes()


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == sevpn.__version__
