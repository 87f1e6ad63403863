"""The C sources: found, checked against sources.lock, unpacked.

Found, in this order: the cache; the files or directories given (--sources, $SEVPN_SOURCES);
Debian's source packages, by apt in a private state directory, from the mirror that this
machine's own apt uses. Whatever the way, only the SHA-256 decides.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from static_parts.common import CACHE, PARTS, BuildError, locked, run, say

LOCK = PARTS / "sources.lock"
DEBIAN_SUITES = ("trixie", "trixie-updates", "trixie-proposed-updates")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Source(NamedTuple):
    """One entry of sources.lock."""

    name: str
    version: str
    sha256: str
    bytes: int
    debian_source: str
    license: str
    purl: str


def locked_sources() -> dict[str, Source]:
    """Return the entries of sources.lock by name."""
    with LOCK.open("rb") as file:
        return {name: Source(name=name, **entry) for name, entry in tomllib.load(file).items()}


def _sha256(path: Path) -> str:
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
                if _sha256(path) == source.sha256:
                    return path
                say(f"{path} has the size of {source.name} {source.version} but another SHA-256")
    return None


def _debian_mirrors() -> list[str]:
    """Return the archive URIs that this machine's apt uses for Debian itself."""
    text = run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)", "Created-By: Packages"],
        CACHE,
    )
    pairs = [line.partition("|")[::2] for line in text.splitlines()]
    return list(dict.fromkeys(uri for _, uri in pairs if "security" not in uri))


def _from_apt(source: Source) -> Path | None:
    """Download a Debian source package's archive; None where there is no apt or no such version."""
    if not (shutil.which("apt-get") and DEBIAN_KEYRING.is_file()):
        return None
    state = CACHE / "apt"
    for name in ("lists/partial", "cache/archives/partial", "download"):
        (state / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    if os.geteuid() == 0:
        settings["APT::Sandbox::User"] = "root"  # _apt may not write to a checkout
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    for mirror in _debian_mirrors():
        for suite in DEBIAN_SUITES:
            line = f"deb-src [signed-by={DEBIAN_KEYRING}] {mirror} {suite} main\n"
            (state / "sources.list").write_text(line)
            say(f"asking the Debian mirror for {source.debian_source} in {suite}")
            try:
                run(["apt-get", "-q", *options, "update"], state)
                run(
                    ["apt-get", "-q", *options, "source", "--download-only", source.debian_source],
                    state / "download",
                )
            except BuildError as error:
                say(f"apt: {str(error).splitlines()[-1]}")
                continue
            found = _search(source, [state / "download"])
            if found:
                return found
    return None


def archive(source: Source, places: list[Path]) -> Path:
    """Return the checked archive of a source, in the cache.

    Raises BuildError that says which file is wanted.
    """
    kept = CACHE / "archives" / f"{source.name}-{source.version}-{source.sha256[:16]}"
    with locked("archives"):
        if kept.is_file() and _sha256(kept) == source.sha256:
            return kept
        found = _search(source, places) or _from_apt(source)
        if not found:
            raise BuildError(
                f"{source.name} {source.version} is missing: get its source archive (SHA-256 "
                f"{source.sha256}) and give the file or its directory by --sources"
            )
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, kept.with_suffix(".new"))
        kept.with_suffix(".new").rename(kept)
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
