"""How the C sources are found: each way, the failure of each, and a wrong file."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from static_parts import fetching, sources
from static_parts.common import BuildError
from static_parts.fetching import Debian, from_release
from static_parts.sources import Source
from support.require import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.no_sanitizer

NAME = "tool_1.2.orig.tar.gz"


def make_archive() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        entry = tarfile.TarInfo("tool-1.2/README")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    return made.getvalue()


CONTENT = make_archive()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory and the address under which it is served."""
    directory = tmp_path / "site"
    directory.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield directory, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def source(
    url: str = "http://127.0.0.1:9/tool-{version}.tar.gz", content: bytes = CONTENT
) -> Source:
    return Source(
        name="tool",
        version="1.2",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        release_url=url,
        debian_source="tool",
        debian_file="tool_{version}.orig.tar.gz",
        license="MIT",
        purl="pkg:generic/tool@1.2",
    )


def index(directory: Path, *versions: str, present: bool = True, content: bytes = CONTENT) -> None:
    """Make a Debian archive with the suite "stable" and one source package in it."""
    pool = directory / "pool/main/t/tool"
    pool.mkdir(parents=True, exist_ok=True)
    paragraphs = []
    for version in versions:
        upstream = version.partition("-")[0]
        body = content if upstream == "1.2" else b"newer"
        files = {f"tool_{upstream}.orig.tar.gz": body, f"tool_{version}.dsc": b"Format: 3.0\n"}
        lines = []
        for name, data in files.items():
            if present and upstream == "1.2":
                (pool / name).write_bytes(data)
            lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}")
        md5 = [
            f" {hashlib.md5(data).hexdigest()} {len(data)} {name}" for name, data in files.items()
        ]
        paragraphs.append(
            f"Package: tool\nBinary: tool\nVersion: {version}\nMaintainer: x <x@example.com>\n"
            f"Architecture: any\nFormat: 3.0 (quilt)\nDirectory: pool/main/t/tool\n"
            "Files:\n" + "\n".join(md5) + "\nChecksums-Sha256:\n" + "\n".join(lines) + "\n"
        )
    lists = directory / "dists/stable/main/source"
    lists.mkdir(parents=True, exist_ok=True)
    text = "\n".join(paragraphs)
    (lists / "Sources").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (directory / "dists/stable/Release").write_text(
        "Origin: Test\nSuite: stable\nCodename: stable\nComponents: main\n"
        "Date: Wed, 25 Nov 2026 00:00:00 UTC\n"
        f"SHA256:\n {digest} {len(text)} main/source/Sources\n"
    )


@pytest.fixture
def apt() -> None:
    require(shutil.which("apt-get") is not None, "apt, on a Debian system")


def debian(address: str, *suites: str) -> Debian:
    return Debian(suites or ("stable",), (f"{address}/",), "trusted=yes")


def test_a_release_is_downloaded(site: tuple[Path, str], tmp_path: Path) -> None:
    (site[0] / "tool-1.2.tar.gz").write_bytes(CONTENT)
    found = from_release(source(site[1] + "/tool-{version}.tar.gz"), tmp_path)
    assert found
    assert found.read_bytes() == CONTENT


def test_no_more_is_taken_than_the_lock_says(site: tuple[Path, str], tmp_path: Path) -> None:
    (site[0] / "tool-1.2.tar.gz").write_bytes(CONTENT + bytes(1 << 20))
    found = from_release(source(site[1] + "/tool-{version}.tar.gz"), tmp_path)
    assert found
    assert found.stat().st_size == len(CONTENT) + 1


def test_a_release_that_is_missing(site: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="answers 404"):
        from_release(source(site[1] + "/tool-{version}.tar.gz"), tmp_path)


def test_a_release_that_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot be reached"):
        from_release(source(), tmp_path)


def test_a_release_that_breaks_off(tmp_path: Path) -> None:
    """A hash that is taken from it (build/update) would be that of half a file."""

    class Half(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:-7])

    with ThreadingHTTPServer(("127.0.0.1", 0), Half) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(BuildError, match="broke off 7 bytes"):
                from_release(source(f"http://127.0.0.1:{server.server_port}/x.tar.gz"), tmp_path)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("apt")
def test_an_older_version_in_the_index(site: tuple[Path, str], tmp_path: Path) -> None:
    """The newest has another archive, which the mirror does not even have yet."""
    index(site[0], "1.2-1+deb1u2", "1.4-1")
    found = debian(site[1]).from_index(source(), tmp_path)
    assert found
    assert found.read_bytes() == CONTENT


@pytest.mark.usefixtures("apt")
def test_another_suite_has_it(site: tuple[Path, str], tmp_path: Path) -> None:
    index(site[0], "1.2-1")
    assert debian(site[1], "missing", "stable").from_index(source(), tmp_path)


@pytest.mark.usefixtures("apt")
def test_no_version_in_the_index(site: tuple[Path, str], tmp_path: Path) -> None:
    index(site[0], "1.4-1")
    assert debian(site[1]).from_index(source(), tmp_path) is None


@pytest.mark.usefixtures("apt")
def test_the_index_names_a_file_that_is_gone(site: tuple[Path, str], tmp_path: Path) -> None:
    index(site[0], "1.2-1", present=False)
    with pytest.raises(BuildError, match="404"):
        debian(site[1]).from_index(source(), tmp_path)


def test_another_version_of_the_suite_when_files_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two Debian versions carry the archive, and the mirror has the files of one."""
    asked = []

    def run(command: list[str], _: Path) -> str:
        asked.append(command[-1])
        if command[-1] == "tool=1.2-2":
            raise BuildError("404")
        return ""

    checksums = f"{source().sha256} {len(CONTENT)} {NAME}"
    records = [{"Version": f"1.2-{n}", "Checksums-Sha256": checksums} for n in (2, 1)]
    monkeypatch.setattr(fetching, "run", run)
    monkeypatch.setattr(Debian, "is_here", lambda _: True)
    monkeypatch.setattr(Debian, "versions", lambda *_: records)
    assert debian("http://127.0.0.1:9").from_index(source(), tmp_path) == tmp_path / NAME
    assert asked == ["tool=1.2-2", "tool=1.2-1"]


def test_a_host_without_a_mirror_of_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was asked, which is not the answer "no"."""
    monkeypatch.setattr(fetching, "run", lambda *_: "Other|http://127.0.0.1:9/\n")
    with pytest.raises(BuildError, match="no mirror with stable-security"):
        Debian().versions("tool", tmp_path, "stable-security")


@pytest.mark.usefixtures("apt")
def test_a_file_in_the_pool_without_an_index(site: tuple[Path, str], tmp_path: Path) -> None:
    index(site[0], "1.2-1")
    shutil.rmtree(site[0] / "dists")
    found = debian(site[1]).from_pool(source(), tmp_path)
    assert found
    assert found.read_bytes() == CONTENT


@pytest.mark.usefixtures("apt")
def test_nothing_in_the_pool(site: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="404"):
        debian(site[1]).from_pool(source(), tmp_path)


def test_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="no apt"):
        Debian().from_index(source(), tmp_path)


def way(content: bytes | str | None) -> Callable[[Source, Path], Path | None]:
    """Return a way that brings these bytes, has nothing (None), or fails with a text."""

    def found(_: Source, into: Path) -> Path | None:
        if isinstance(content, str):
            raise BuildError(content)
        if content is None:
            return None
        (into / "file").write_bytes(content)
        return into / "file"

    return found


def test_each_way_says_why_it_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("static_parts.common.CACHE", tmp_path / "cache")
    ways = [
        ("a tree", way("it has\nno roots")),
        ("a shop", way(None)),
        ("a thief", way(b"x" * len(CONTENT))),
        ("a friend", way(CONTENT)),
    ]
    monkeypatch.setattr(fetching, "WAYS", ways)
    kept = sources.archive(source(), [])
    assert kept.read_bytes() == CONTENT
    said = capfd.readouterr().err
    for line in (
        "a tree failed: no roots",
        "a shop does not have it",
        "what a thief has is another file",
        "asking a friend",
    ):
        assert line in said
    # From the cache: nobody is asked any more.
    monkeypatch.setattr(fetching, "WAYS", [("nobody", way("asked"))])
    assert sources.archive(source(), []) == kept
    assert "asking" not in capfd.readouterr().err


def test_given_files_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("static_parts.common.CACHE", tmp_path / "cache")
    monkeypatch.setattr(fetching, "WAYS", [("nobody", way("asked"))])
    (tmp_path / NAME).write_bytes(CONTENT)
    (tmp_path / "other").write_bytes(b"x" * len(CONTENT))
    unpacked = sources.unpack(source(), [tmp_path / "other", tmp_path / NAME], tmp_path / "into")
    assert (unpacked / "README").read_text() == "hello"


def test_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the hash, an address and the flag."""
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("static_parts.common.CACHE", tmp_path / "cache")
    monkeypatch.setattr(fetching, "WAYS", [("nobody", way("asked"))])
    with pytest.raises(BuildError, match=rf"{source().sha256}.*{NAME[:4]}.*--sources"):
        sources.archive(source(), [])
