"""The C sources: found, checked against sources.lock, unpacked.

Found, in this order: the cache; the files or directories given (--sources, $SEVPN_SOURCES);
the projects' own releases; Debian's source packages, in any version of any suite that carries
the archive; the mirror's pool, where a file may stand longer than its name in the index.
Whatever the way, only the SHA-256 decides, and each way that fails says why in one line.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from static_parts.common import CACHE, PARTS, BuildError, locked, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LOCK = PARTS / "sources.lock"


class Source(NamedTuple):
    """One entry of sources.lock; `{version}` in its texts stands for the version."""

    name: str
    version: str
    sha256: str
    bytes: int
    release_url: str
    debian_source: str
    debian_file: str
    license: str
    purl: str

    @property
    def url(self) -> str:
        """Where the project itself offers this release."""
        return self.release_url.format(version=self.version)

    @property
    def pool_path(self) -> str:
        """Where a Debian mirror has the archive."""
        file = self.debian_file.format(version=self.version)
        return f"pool/main/{self.debian_source[0]}/{self.debian_source}/{file}"


def locked_sources() -> dict[str, Source]:
    """Return the entries of sources.lock by name."""
    with LOCK.open("rb") as file:
        return {name: Source(name=name, **entry) for name, entry in tomllib.load(file).items()}


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _search(source: Source, places: list[Path]) -> Path | None:
    """Return the file in `places` (files or directories) that is the source, by its hash."""
    for place in places:
        if not place.exists():
            raise BuildError(f"no such file or directory: {place}")
        for path in sorted(place.iterdir()) if place.is_dir() else [place]:
            # The size first: hashing everything in a download directory takes long.
            if path.is_file() and path.stat().st_size == source.bytes:
                if sha256_of(path) == source.sha256:
                    return path
                say(f"{path} has the size of {source.name} {source.version} but another SHA-256")
    return None


def fetched(source: Source, ways: Sequence[tuple[str, Callable[[Source, Path], Path | None]]],
            into: Path) -> Path | None:  # fmt: skip
    """Try one way after the other, each said in a line; return the archive with the right hash."""
    what = f"{source.name} {source.version}"
    for name, way in ways:
        say(f"{what}: asking {name}")
        try:
            found = way(source, into)
        except (BuildError, OSError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            say(f"{what}: {name} failed: {lines[-1]}")
            continue
        if found is None:
            say(f"{what}: {name} does not have it")
        elif sha256_of(found) != source.sha256:
            say(f"{what}: what {name} has is another file (SHA-256 {sha256_of(found)})")
        else:
            return found
    return None


def archive(source: Source, places: list[Path]) -> Path:
    """Return the checked archive of a source, in the cache.

    Raises BuildError that says which file is wanted.
    """
    from static_parts.fetching import WAYS

    kept = CACHE / "archives" / f"{source.name}-{source.version}-{source.sha256[:16]}"
    with locked("archives"):
        if kept.is_file() and sha256_of(kept) == source.sha256:
            return kept
        into = CACHE / "download"
        into.mkdir(parents=True, exist_ok=True)
        found = _search(source, places) or fetched(source, WAYS, into)
        if not found:
            raise BuildError(
                f"{source.name} {source.version} is missing: get its source archive (SHA-256 "
                f"{source.sha256}), for example from {source.url}, and give the file or its "
                "directory by --sources"
            )
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, kept.with_suffix(".new"))
        kept.with_suffix(".new").rename(kept)
        shutil.rmtree(into)
    return kept


def unpack(source: Source, places: list[Path], into: Path) -> Path:
    """Unpack a source into a directory of its name without version, and return that."""
    with tarfile.open(archive(source, places)) as tar:
        # Debian 12's Python 3.11.2 has no filters yet; the archive's hash was checked.
        if hasattr(tarfile, "data_filter"):
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(into)
    (top,) = (path for path in into.iterdir() if path.is_dir() and path.name != "result")
    return top.rename(into / source.name)
