"""What counts as newer than a pin, and changing one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from static_parts import newer
from static_parts.common import BuildError
from static_parts.sources import locked_sources

if TYPE_CHECKING:
    from pathlib import Path

    from static_parts.sources import Source

pytestmark = pytest.mark.no_sanitizer
OPENSSL = locked_sources()["openssl"]._replace(version="3.5.7")


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [("3.5.7-1~deb13u2", "3.5.7"), ("1:3.13.5-2+deb13u5", "3.13.5"), ("3.5.9~rc1-1", "3.5.9")],
)
def test_upstream(debian: str, upstream: str) -> None:
    assert newer.upstream(debian) == upstream


def test_only_our_series_counts() -> None:
    records = [("sid", "3.6.3-1"), ("trixie", "3.5.7-1~deb13u2")]
    assert newer.newest_source(OPENSSL, records).newest == ""


def test_a_security_release_is_named() -> None:
    records = [("trixie", "3.5.8-1"), ("trixie-security", "3.5.10-1~deb13u1")]
    pin = newer.newest_source(OPENSSL, records)
    assert pin.newest == "3.5.10"
    assert "SECURITY" in pin.note
    assert "SECURITY" not in newer.newest_source(OPENSSL, records[:1]).note


class _HalfReached:
    """An archive of which one suite cannot be asked."""

    suites = ("trixie-security", "sid")

    def __init__(self, offered: str = "3.5.7-1") -> None:
        self.offered = offered

    def versions(self, _name: str, _into: Path, suite: str) -> list[dict[str, str]]:
        if suite == "trixie-security":
            raise BuildError("cannot be reached")
        archive = f"openssl_{newer.upstream(self.offered)}.orig.tar.gz"
        return [{"Version": self.offered, "Checksums-Sha256": f"{'a' * 64} 5 {archive}"}]


def test_a_suite_that_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot be reached"):
        newer._source(OPENSSL, _HalfReached(), tmp_path)
    pin = newer._source(OPENSSL, _HalfReached("3.5.10-1"), tmp_path)
    assert pin.newest == "3.5.10"
    assert "not every suite" in pin.note


def test_update_asks_each_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "sources.lock"
    lock.write_bytes(newer.LOCK.read_bytes())
    monkeypatch.setattr(newer, "LOCK", lock)
    monkeypatch.setattr(newer, "Debian", lambda: _HalfReached("3.5.10-1"))
    gone = OPENSSL._replace(version="3.5.10", release_url="http://127.0.0.1:9/{version}")
    assert "a" * 64 in newer._update_source(gone, tmp_path)
    assert f'version = "3.5.10"\nsha256 = "{"a" * 64}"\nbytes = 5\n' in lock.read_text()


def test_a_range_hides_a_release() -> None:
    assert newer.beyond(">=0.12,<0.13", ["0.12.4", "0.17.6"]) == "0.17.6"
    assert newer.beyond(">=6.120,<7", ["6.120.0", "6.130.1"]) == ""


def test_every_pin_is_asked_about() -> None:
    assert set(newer.locked_packages()) == {"cython", "pyroute2", "ziglang"}
    assert {"pytest", "ruff", "mypy"} <= set(newer.tool_ranges())


def test_update_writes_version_hash_size_and_purl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "sources.lock"
    lock.write_bytes(newer.LOCK.read_bytes())
    monkeypatch.setattr(newer, "LOCK", lock)
    monkeypatch.setattr("static_parts.sources.LOCK", lock)
    before = locked_sources()

    def release(source: Source, into: Path) -> Path:
        (into / source.version).write_bytes(b"new")
        return into / source.version

    monkeypatch.setattr(newer, "from_release", release)
    newer.update("python", "3.99.1")
    after = locked_sources()
    assert after["openssl"] == before["openssl"]
    assert after["python"] == before["python"]._replace(
        version="3.99.1",
        sha256=hashlib.sha256(b"new").hexdigest(),
        bytes=3,
        purl="pkg:generic/cpython@3.99.1",
    )
    assert lock.read_text().startswith("# The C sources")


@pytest.mark.parametrize(("name", "version"), [("nothing", "1.0"), ("openssl", "newest")])
def test_update_refuses(name: str, version: str) -> None:
    with pytest.raises(BuildError):
        newer.update(name, version)
