"""What is newer than our pins, and changing a pin; behind build/outdated and build/update."""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from static_parts.common import ROOT, BuildError, run
from static_parts.fetching import Debian, from_release
from static_parts.sources import LOCK, Source, locked_sources, sha256_of
from static_parts.toolchain import REQUIREMENTS

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
MOST_BYTES = 1 << 28
# Wheels that do not depend on Python, or run on both machines that we build on.
_PLATFORMS = {
    "ziglang": ("manylinux_2_12_x86_64", "manylinux_2_17_aarch64"),
}


class Pin(NamedTuple):
    """A pin and what is newer: `newest` is "" when nothing is; `note` says what to know of it."""

    name: str
    version: str
    newest: str
    note: str


def parts_of(version: str) -> tuple[int, ...]:
    """Return the numbers of a release's version, for comparing; () when it is no plain release."""
    return tuple(map(int, version.split("."))) if re.fullmatch(r"\d+(\.\d+)*", version) else ()


def upstream(debian_version: str) -> str:
    """Return the project's own version in one of Debian: "3.5.7-1~deb13u2" is "3.5.7"."""
    return re.split(r"[-+~]", debian_version.partition(":")[2] or debian_version)[0]


def newest_source(source: Source, records: list[tuple[str, str]]) -> Pin:
    """Judge (suite, Debian version) pairs: the newest of our series (3.5.x), and who says so."""
    series = parts_of(source.version)[:2]
    found: dict[str, list[str]] = {}
    for suite, version in records:
        if parts_of(upstream(version))[:2] == series:
            found.setdefault(upstream(version), []).append(suite)
    newest = max(found, key=parts_of, default=source.version)
    if parts_of(newest) <= parts_of(source.version):
        return Pin(source.name, source.version, "", "")
    suites = list(dict.fromkeys(found[newest]))
    security = any(suite.endswith("-security") for suite in suites)
    note = f"in {', '.join(suites)}" + (" - SECURITY RELEASE" if security else "")
    return Pin(source.name, source.version, newest, note)


def _source(source: Source, debian: Debian, into: Path) -> Pin:
    records: list[tuple[str, str]] = []
    problem: BuildError | None = None
    for suite in debian.suites:
        try:
            found = debian.versions(source.debian_source, into, suite)
        except BuildError as error:
            problem = error
            continue
        records += [(suite, record["Version"]) for record in found]
    pin = newest_source(source, records)
    if problem and not pin.newest:
        raise problem  # "is the newest" would be a guess: that suite may have had a newer one
    return pin._replace(note=f"{pin.note} (not every suite could be asked)") if problem else pin


def _offered(name: str) -> list[str]:
    """Return the releases of a Python package, as pip is told by its index."""
    said = run([*PIP, "index", "versions", name], ROOT)
    found = re.search(r"^Available versions: (.*)$", said, re.MULTILINE)
    if not found:
        raise BuildError(f"pip names no versions of {name}")
    return [version for version in found[1].split(", ") if parts_of(version)]


def locked_packages() -> dict[str, str]:
    """Return the versions of requirements.lock by name."""
    text = REQUIREMENTS.read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([0-9.]+)", text, re.MULTILINE))


def tool_ranges() -> dict[str, str]:
    """Return the development tools' ranges of pyproject.toml by name: "ruff" is ">=0.12,<0.13"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    words = [word for group in project["dependency-groups"].values() for word in group]
    pairs = (re.fullmatch(r"([A-Za-z0-9-]+)(.*)", word) for word in words)
    return {pair[1]: pair[2] for pair in pairs if pair and pair[2]}


def beyond(limits: str, offered: list[str]) -> str:
    """Return the newest version when a range's upper end keeps it out, "" otherwise."""
    end = re.search(r"<\s*([0-9.]+)", limits)
    newest = max(offered, key=parts_of)
    return newest if end and parts_of(newest) >= parts_of(end[1]) else ""


def pins(into: Path) -> list[Pin | tuple[str, str]]:
    """Return each pin with what is newer, or its name and why that could not be found out."""
    debian = Debian()
    packages, ranges = locked_packages(), tool_ranges()

    def ask(name: str) -> Pin:
        if name in sources:
            return _source(sources[name], debian, into)
        if name in packages:
            version = packages[name]
            newest = max(_offered(name), key=parts_of)
            newer = parts_of(newest) > parts_of(version)
            return Pin(name, version, newest if newer else "", "")
        newest = beyond(ranges[name], _offered(name))
        return Pin(name, ranges[name], newest, "outside of our range")

    sources = locked_sources()
    answers: list[Pin | tuple[str, str]] = []
    for name in dict.fromkeys([*sources, *packages, *ranges]):
        try:
            answers.append(ask(name))
        except (BuildError, OSError, ValueError) as error:
            answers.append((name, (str(error).strip().splitlines() or ["?"])[-1]))
    return answers


def update(name: str, version: str) -> str:
    """Pin another version; return what was changed. Raises BuildError, and changes nothing then."""
    if not parts_of(version):
        raise BuildError(f"{version!r} is no version of a release")
    sources = locked_sources()
    with tempfile.TemporaryDirectory() as scratch:
        if name in sources:
            return _update_source(sources[name]._replace(version=version), Path(scratch))
        if name in locked_packages():
            return _update_package(name, version, Path(scratch))
    known = ", ".join([*sources, *locked_packages()])
    raise BuildError(f"{name!r} is not pinned (pinned are {known})")


def _update_source(wanted: Source, into: Path) -> str:
    """Take hash and size from the release itself, or from Debian's index."""
    sha256, size = "", 0
    try:
        # The size is not known yet: more than any release has is too much.
        file = from_release(wanted._replace(bytes=MOST_BYTES), into)
        if file and file.stat().st_size <= MOST_BYTES:
            sha256, size = sha256_of(file), file.stat().st_size
    except (BuildError, OSError):
        debian = Debian()
        archive = wanted.debian_file.format(version=wanted.version)
        for suite in debian.suites:
            try:
                records = debian.versions(wanted.debian_source, into, suite)
            except BuildError:
                continue  # another suite may have it
            for record in records:
                for line in record.get("Checksums-Sha256", "").splitlines():
                    words = line.split()
                    if words[2:] == [archive]:
                        sha256, size = words[0], int(words[1])
    if not sha256:
        raise BuildError(f"{wanted.url} cannot be had, and no suite of Debian carries it")
    text = LOCK.read_text(encoding="utf-8")
    begin = text.index(f"[{wanted.name}]")
    end = text.find("\n[", begin) if "\n[" in text[begin:] else len(text)
    entry = text[begin:end]
    for key, value in (("version", f'"{wanted.version}"'), ("sha256", f'"{sha256}"'),
                       ("bytes", str(size))):  # fmt: skip
        entry = re.sub(rf"^{key} = .*$", f"{key} = {value}", entry, flags=re.MULTILINE)
    # The bill of materials is made from the lock.
    entry = re.sub(r'^(purl = ".*@).*"$', rf'\g<1>{wanted.version}"', entry, flags=re.MULTILINE)
    LOCK.write_text(text[:begin] + entry + text[end:], encoding="utf-8")
    return f"{LOCK.name}: {wanted.name} {wanted.version}, SHA-256 {sha256}"


def _update_package(name: str, version: str, into: Path) -> str:
    """Take the hashes of the wheels that the recipe uses."""
    for platform in _PLATFORMS.get(name, ("any",)):
        run(
            [*PIP, "download", "--quiet", "--no-deps", "--only-binary", ":all:",
             "--implementation", "py", "--abi", "none", "--platform", platform,
             "-d", str(into), f"{name}=={version}"],
            into,
        )  # fmt: skip
    wheels = sorted(into.glob("*.whl"), key=lambda path: ("aarch64" in path.name, path.name))
    hashes = [f"    --hash=sha256:{sha256_of(wheel)}" for wheel in wheels]
    if not hashes:
        raise BuildError(f"pip found no wheel of {name} {version}")
    text = REQUIREMENTS.read_text(encoding="utf-8")
    entry = " \\\n".join([f"{name}=={version}", *hashes])
    new = re.sub(
        rf"^{name}==[^\\\n]*(?:\\\n[^\\\n]*)*", lambda _: entry, text, count=1, flags=re.MULTILINE
    )
    REQUIREMENTS.write_text(new, encoding="utf-8")
    return f"{REQUIREMENTS.name}: {name} {version}, {len(hashes)} hash(es)"
