"""The PEP 517 backend of this checkout: setuptools, with what it cannot say in pyproject.toml.

- The extensions come from build/extensions.py and are compiled by build/cythonize.py.
- Everything intermediate goes to a temporary directory: `build/` is a tracked folder of
  recipes here, while setuptools would use it as scratch, and the checkout stays clean.
- The sdist is the files a build needs, packed by name, owner-less and with one time stamp
  ($SOURCE_DATE_EPOCH), so that equal sources give equal bytes.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import setuptools
from setuptools import build_meta
from setuptools.command.build_ext import build_ext

import cythonize
from extensions import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    ConfigSettings = Mapping[str, Any] | None

ROOT = Path(__file__).resolve().parents[2]
SDIST_FILES = ("pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md")
SDIST_FOLDERS = ("build", "pyx", "sevpn")
EPOCH_S = "315532800"  # 1980-01-01, the first day a zip archive can name


class BuildExtensions(build_ext):  # type: ignore[misc]  # setuptools is untyped
    """setuptools' command, with the compiling done by ours."""

    def run(self) -> None:
        """Compile every module into the wheel's tree."""
        into = Path(self.build_lib).resolve() / "sevpn"
        try:
            cythonize.compile_all(cythonize.Job(into, Path(self.build_temp), root=ROOT))
        except cythonize.CompileError as error:
            # The frontend shows a traceback; the compiler's words must not drown in it.
            print(error, file=sys.stderr)
            raise SystemExit(1) from None


@contextmanager
def _scratch() -> Iterator[Path]:
    """Lead setuptools to a temporary directory and to our extensions."""
    before = dict(os.environ)
    original = setuptools.setup
    with tempfile.TemporaryDirectory(prefix="sevpn-build-") as name:
        config = Path(name, "setup.cfg")
        config.write_text(f"[build]\nbuild_base = {name}/build\n[egg_info]\negg_base = {name}\n")
        os.environ["DIST_EXTRA_CONFIG"] = str(config)
        os.environ.setdefault("SOURCE_DATE_EPOCH", EPOCH_S)
        # build_meta runs `from setuptools import setup; setup()` when there is no setup.py.
        setuptools.setup = partial(
            original,
            ext_modules=[setuptools.Extension(one.qualified_name, []) for one in EXTENSIONS],
            cmdclass={"build_ext": BuildExtensions},
        )
        try:
            yield Path(name)
        finally:
            setuptools.setup = original
            os.environ.clear()
            os.environ.update(before)


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """Return what is needed beyond build-system.requires: nothing."""
    return []


def get_requires_for_build_sdist(config_settings: ConfigSettings = None) -> list[str]:
    """Return what is needed beyond build-system.requires: nothing."""
    return []


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: ConfigSettings = None
) -> str:
    """Write the wheel's .dist-info without compiling; return its name."""
    with _scratch():
        name: str = build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings)
        return name


def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Compile and pack a wheel; return its file name."""
    with _scratch():
        name: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
        return name


def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Pack the source archive; return its file name."""
    with _scratch() as scratch:
        info: str = build_meta.prepare_metadata_for_build_wheel(str(scratch))
        package_info = (scratch / info / "METADATA").read_bytes()
        base = info.removesuffix(".dist-info")
        seconds = int(os.environ["SOURCE_DATE_EPOCH"])

        tar_bytes = io.BytesIO()
        with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(_sdist_paths()):
                name = path.relative_to(ROOT).as_posix()
                _add(tar, f"{base}/{name}", path.read_bytes(), path.stat().st_mode, seconds)
            _add(tar, f"{base}/PKG-INFO", package_info, 0o644, seconds)
        target = Path(sdist_directory, f"{base}.tar.gz")
        with target.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=seconds) as out:
            tar_bytes.seek(0)
            shutil.copyfileobj(tar_bytes, out)
        return target.name


def _sdist_paths() -> Iterator[Path]:
    """Find what a build needs; never what a build made."""
    yield from (ROOT / name for name in SDIST_FILES if (ROOT / name).is_file())
    for folder in SDIST_FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            made = path.suffix in {".so", ".pyc", ".html"} or "__pycache__" in path.parts
            if path.is_file() and not made:
                yield path


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int, seconds: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o755 if mode & 0o100 else 0o644
    member.mtime = seconds
    tar.addfile(member, io.BytesIO(content))
