"""The static binary: every part of it starts, alone, in an empty root.

`build/static` imports every module of the binary before it installs it, so a module that is
missing cannot be shipped. Here the sub-commands and error paths run from the product itself,
in a root that holds nothing but that one file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lab.client import ROOT
from support.require import require

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(1800)  # the first build compiles OpenSSL and CPython

VERSION = (ROOT / "sevpn" / "__init__.py").read_text().split('__version__ = "')[1].split('"')[0]


def build_static(*arguments: str) -> str:
    """Run build/static; return what it printed."""
    done = subprocess.run(
        [sys.executable, ROOT / "build" / "static", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(autouse=True)
def unchanged() -> None:
    """Nothing here touches the lab."""


@pytest.fixture(scope="module")
def built() -> Path:
    """dist/sevpn, built now (from the cache when nothing changed)."""
    build_static()
    return ROOT / "dist" / "sevpn"


@pytest.fixture
def empty_root(built: Path, tmp_path: Path) -> Path:
    require(os.geteuid() == 0, "needs root for chroot")
    shutil.copy(built, tmp_path / "sevpn")
    return tmp_path


def run_in(root: Path, *arguments: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
    """Run the binary in a root of its own and without the host's network or variables."""
    return subprocess.run(
        ["unshare", "--net", "chroot", str(root), "/sevpn", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


def test_limits(built: Path) -> None:
    """Size, start and static linking, as the README's table says."""
    table = build_static("--check")
    assert "| linking | static |" in table
    assert "exceeded" not in table


def test_version(empty_root: Path) -> None:
    done = run_in(empty_root, "-version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sevpn {VERSION}\n", "")


def test_help(empty_root: Path) -> None:
    done = run_in(empty_root, "-h")
    assert done.returncode == 0
    assert "-accept-default-gateway" in done.stdout + done.stderr


def test_print_config(empty_root: Path) -> None:
    done = run_in(empty_root, "-host", "vpn.example", "-user", "alice", "-print-config")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["host"] == "vpn.example"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-no-such-flag"],
        ["-port"],
        ["-port", "x"],
        ["-host", "a", "-user", "b", "-mac", "zz"],
        ["-host", "192.0.2.1", "-user", "b", "-pass", "c", "-once"],
        ["-host", "no.such.name.invalid", "-user", "b", "-pass", "c", "-once"],
        ["-host", "bücher.invalid", "-user", "b", "-pass", "c", "-once"],
        ["-host", "192.0.2.1", "-user", "b", "-pass", "c", "-once", "-ca-file", "/none"],
    ],
    ids=" ".join,
)
def test_errors_are_explained(empty_root: Path, arguments: list[str]) -> None:
    """Without /dev/net/tun, /proc, a resolver: a message and a status, never a traceback."""
    done = run_in(empty_root, *arguments)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert said.strip()
    for word in ("Traceback", "ModuleNotFoundError", "ImportError", "bug in sevpn", "frozen"):
        assert word not in said
    assert done.returncode > 0, f"died of signal {-done.returncode}"


def test_no_path_of_the_build_inside(built: Path) -> None:
    data = built.read_bytes()
    assert str(ROOT).encode() not in data
    assert b"/.cache/" not in data


def test_bill_of_materials(built: Path) -> None:
    document = json.loads(built.with_name("sevpn.cdx.json").read_text())
    names = {one["name"] for one in document["components"]}
    assert {"cpython", "openssl", "musl", "pyroute2"} <= names
    assert document["metadata"]["component"]["version"] == VERSION


def test_reproducible(built: Path) -> None:
    """Our part, frozen, compiled and linked in another directory: the same bytes."""
    assert "the same bytes" in build_static("--reproduce")
