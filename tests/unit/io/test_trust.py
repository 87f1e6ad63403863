"""Where CA certificates come from, and in which order."""

from __future__ import annotations

import os
import posix
from typing import TYPE_CHECKING, cast

import pytest

from sevpn._tls import Context
from sevpn.errors import CertificateError
from sevpn.io import trust
from support.tls_certs import certificates

if TYPE_CHECKING:
    from pathlib import Path


class FakeContext:
    """Notes what is tried; `files` and `directories` are those that hold something."""

    def __init__(self, files: list[str], directories: list[str]) -> None:
        self.files = files
        self.directories = directories
        self.tried: list[str] = []

    def trust_file(self, path: bytes) -> bool:
        self.tried.append(path.decode())
        return path.decode() in self.files

    def trust_directory(self, path: bytes) -> bool:
        self.tried.append(path.decode())
        return path.decode() in self.directories


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    """The environment as the process got it, empty."""
    fresh: dict[bytes, bytes] = {}
    monkeypatch.setattr(posix, "environ", fresh)
    return fresh


def load(context: FakeContext, extra: str = "") -> str:
    return trust.load(cast("Context", context), extra)


def test_first_file_that_exists(environment: dict[bytes, bytes]) -> None:
    context = FakeContext([trust.CA_FILES[2], trust.CA_FILES[3]], [])
    assert load(context) == trust.CA_FILES[2]
    assert context.tried == list(trust.CA_FILES[:3])


def test_directories_come_last(
    environment: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "5ed36f99.0").touch()
    monkeypatch.setattr(trust, "CA_DIRECTORIES", ("/nonexistent", str(tmp_path)))
    context = FakeContext([], [str(tmp_path)])
    assert load(context) == str(tmp_path)
    assert context.tried == [*trust.CA_FILES, str(tmp_path)]


def test_directory_without_hashed_names(
    environment: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.setattr(trust, "CA_DIRECTORIES", (str(tmp_path),))
    assert load(FakeContext([], [str(tmp_path)])) == ""


def test_variables_replace_the_usual_places(environment: dict[bytes, bytes]) -> None:
    environment[b"SSL_CERT_FILE"] = b"/my/file"
    environment[b"SSL_CERT_DIR"] = b"/one::/two"
    context = FakeContext(["/my/file", *trust.CA_FILES], ["/one", "/two"])
    assert load(context) == "/my/file, /one, /two"
    assert context.tried == ["/my/file", "/one", "/two"]


def test_missing_file_in_a_variable_is_not_made_up_for(environment: dict[bytes, bytes]) -> None:
    """Whoever names a file means it: the host's store must not creep in."""
    environment[b"SSL_CERT_FILE"] = b"/missing"
    context = FakeContext(list(trust.CA_FILES), [])
    assert load(context) == ""
    assert context.tried == ["/missing"]


def test_extra_file_beside_the_store(environment: dict[bytes, bytes]) -> None:
    context = FakeContext(["/extra", trust.CA_FILES[0]], [])
    assert load(context, "/extra") == f"/extra, {trust.CA_FILES[0]}"


def test_extra_file_without_certificates(environment: dict[bytes, bytes]) -> None:
    with pytest.raises(CertificateError, match="/extra") as caught:
        load(FakeContext(list(trust.CA_FILES), []), "/extra")
    assert "-ca-file" in caught.value.hint


def test_real_file(environment: dict[bytes, bytes]) -> None:
    environment[b"SSL_CERT_FILE"] = os.fsencode(certificates().ca)
    assert trust.load(Context(), "") == str(certificates().ca)


def test_empty_root(environment: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "CA_FILES", ("/nonexistent/a",))
    monkeypatch.setattr(trust, "CA_DIRECTORIES", ("/nonexistent",))
    assert trust.load(Context(), "") == ""
