"""The ways to a source archive that lead out of this machine, see sources.py.

Each is a function of the source and a directory; it returns the file, None where it has none,
and raises BuildError or OSError with the reason. None of them is trusted: who called it
compares the hash.
"""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from static_parts.common import BuildError, run

if TYPE_CHECKING:
    from static_parts.sources import Source

SILENT_S = 20.0
CHUNK_BYTES = 1 << 18
# Stable first: what is there stays. `sid` last: what is newest is there.
DEBIAN_SUITES = ("trixie", "trixie-updates", "trixie-security", "forky", "sid")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def from_release(source: Source, into: Path) -> Path | None:
    """Download the project's own release, over HTTPS with this host's CAs."""
    path = into / source.url.rpartition("/")[2]
    left = source.bytes + 1  # a longer file is another one, however much more would come
    try:
        with (
            urllib.request.urlopen(source.url, timeout=SILENT_S) as answer,
            path.open("wb") as file,
        ):
            while left and (chunk := answer.read(min(left, CHUNK_BYTES))):
                file.write(chunk)
                left -= len(chunk)
            if left and answer.length:  # what http.client says of a body that ends too early
                raise BuildError(f"{source.url} broke off {answer.length} bytes before its end")
    except urllib.error.HTTPError as error:
        raise BuildError(f"{source.url} answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise BuildError(f"{source.url} cannot be reached: {error.reason}") from None
    except http.client.HTTPException as error:
        raise BuildError(f"{source.url} broke off: {error!r}") from None
    return path


class Debian:
    """Debian's archive by apt, with a state of its own and the mirrors that this host uses."""

    def __init__(
        self,
        suites: tuple[str, ...] = DEBIAN_SUITES,
        mirrors: tuple[str, ...] = (),
        trust: str = f"signed-by={DEBIAN_KEYRING}",
    ) -> None:
        self.suites = suites
        self.mirrors = mirrors
        self.trust = trust

    def _options(self, state: Path) -> list[str]:
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        settings = {
            "Dir::Etc::sourcelist": state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": state,
            "Dir::State::lists": state / "lists",
            "Dir::Cache": state / "cache",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": f"{SILENT_S:.0f}",
        }
        if os.geteuid() == 0:
            settings["APT::Sandbox::User"] = "root"  # _apt may not write to a checkout
        return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]

    def _mirrors(self, into: Path, *, security: bool) -> list[str]:
        if self.mirrors:
            return list(self.mirrors)
        text = run(
            ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)",
             "Created-By: Packages"],
            into,
        )  # fmt: skip
        pairs = [line.partition("|")[::2] for line in text.splitlines()]
        found = dict.fromkeys(uri for origin, uri in pairs if origin == "Debian")
        return [uri for uri in found if ("security" in uri) == security]

    def is_here(self) -> bool:
        """Tell whether this host has apt, and can trust what it brings."""
        signed = "signed-by" in self.trust
        return bool(shutil.which("apt-get")) and (not signed or DEBIAN_KEYRING.is_file())

    def versions(self, name: str, into: Path, suite: str) -> list[dict[str, str]]:
        """Return what the index of a suite says of a source package, one record a version."""
        state = into / "apt"
        options = self._options(state)
        records = []
        mirrors = self._mirrors(into, security=suite.endswith("-security"))
        if not mirrors:
            raise BuildError(f"this host's apt has no mirror with {suite}")
        for mirror in mirrors:
            line = f"deb-src [{self.trust}] {mirror} {suite} main\n"
            (state / "sources.list").write_text(line)
            run(["apt-get", "-q", *options, "update"], state)
            shown = run(["apt-cache", *options, "showsrc", "--only-source", name], state)
            records += [paragraph for text in shown.split("\n\n") if (paragraph := _fields(text))]
        return records

    def from_index(self, source: Source, into: Path) -> Path | None:
        """Download the archive from any version of the package that carries it."""
        if not self.is_here():
            raise BuildError("there is no apt here, or not Debian's keys")
        state = into / "apt"
        problem: BuildError | None = None
        for suite in self.suites:
            try:
                records = self.versions(source.debian_source, into, suite)
            except BuildError as error:
                problem = error  # another suite may have it
                continue
            for record in records:
                if source.sha256 not in record.get("Checksums-Sha256", ""):
                    continue
                wanted = f"{source.debian_source}={record['Version']}"
                try:
                    run(
                        ["apt-get", "-q", *self._options(state), "source", "--download-only",
                         wanted],
                        into,
                    )  # fmt: skip
                    return into / _file_of(record, source.sha256)
                except BuildError as error:
                    problem = error  # the files of another version may be there
        if problem:
            raise problem
        return None

    def from_pool(self, source: Source, into: Path) -> Path | None:
        """Download the archive from where the mirrors have it, in no index any more."""
        if not self.is_here():
            raise BuildError("there is no apt here, or not Debian's keys")
        helper = Path("/usr/lib/apt/apt-helper")
        path = into / source.debian_file.format(version=source.version)
        problem: BuildError | None = None
        for security in (False, True):
            for mirror in self._mirrors(into, security=security):
                uri = f"{mirror.rstrip('/')}/{source.pool_path}"
                try:
                    run([str(helper), *self._options(into / "apt"), "download-file", uri,
                         str(path)], into)  # fmt: skip
                except BuildError as error:
                    problem = error
                else:
                    return path
        if problem:
            raise problem
        return None


def _fields(paragraph: str) -> dict[str, str]:
    """Return the fields of a control paragraph; lines that go on are joined by newlines."""
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        else:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields if "Version" in fields else {}


def _file_of(record: dict[str, str], sha256: str) -> str:
    """Return the name of the file with a hash: "HASH SIZE NAME" lines."""
    for line in record["Checksums-Sha256"].splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == sha256:
            # Not a path: it comes from outside.
            return Path(words[2]).name
    raise BuildError(f"the index names no file with SHA-256 {sha256}")


_DEBIAN = Debian()
WAYS = (
    ("the project's own release", from_release),
    ("Debian's index", _DEBIAN.from_index),
    ("the Debian mirror's pool", _DEBIAN.from_pool),
)
