"""Small reads of small files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sevpn.io import files

if TYPE_CHECKING:
    from pathlib import Path


def test_read_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\xffb\n")
    assert files.read_text(str(path)) == "a\ufffdb\n"
    assert files.read_text(str(path), 1) == "a"
    assert files.read_text(str(tmp_path / "missing")) == ""
    assert files.read_text(str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (
            'NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "Debian GNU/Linux 12 (bookworm)",
        ),
        ("PRETTY_NAME=Alpine\n", "Alpine"),
        ("PRETTY_NAME=" + "x" * 500, "x" * 100),
        ("ID=none\n", "Linux"),
        ("", "Linux"),
    ],
)
def test_os_title(text: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "read_text", lambda _path: text)
    assert files.os_title() == title
