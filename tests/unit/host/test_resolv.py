"""resolv.conf as each kind of thing it can be (mounted ones: test_worker.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sevpn.errors import HostError
from sevpn.host import resolv

OLD = b"# mine\nnameserver 192.0.2.1\n\xff\x00"


def take(path: Path) -> dict[str, Any]:
    text = resolv.compose(["10.1.0.1", "2001:db8::1"], ["lan.example"])
    record = resolv.look(str(path), text, "vpn0.journal")
    resolv.replace(record)
    return record


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "resolv.conf"


def test_a_file_keeps_inode_mode_and_time(path: Path) -> None:
    path.write_bytes(OLD)
    path.chmod(0o604)
    os.utime(path, ns=(1, 123_456_789))
    before = path.stat()
    record = take(path)
    assert path.read_text().splitlines()[1:] == [
        "nameserver 10.1.0.1",
        "nameserver 2001:db8::1",
        "search lan.example",
    ]
    assert path.stat().st_mode == before.st_mode
    assert resolv.restore(record) is None
    after = path.stat()
    assert path.read_bytes() == OLD
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert names(path) == ["resolv.conf"]
    assert resolv.restore(record) is None


def test_a_file_whose_backup_is_gone(path: Path) -> None:
    path.write_bytes(OLD)
    path.chmod(0o604)
    os.utime(path, ns=(1, 123_456_789))
    record = take(path)
    Path(record["backup"]).unlink()
    assert resolv.restore(record) is None
    assert path.read_bytes() == OLD
    assert path.stat().st_mode & 0o777 == 0o604
    assert path.stat().st_mtime_ns == 123_456_789
    assert names(path) == ["resolv.conf"]


@pytest.mark.parametrize("has_backup", [True, False])
def test_a_symlink_comes_back_with_its_target(path: Path, has_backup: bool) -> None:
    (path.parent / "stub").write_bytes(OLD)
    path.symlink_to("../" + path.parent.name + "/stub")
    target = path.readlink()
    record = take(path)
    assert not path.is_symlink()
    assert (path.parent / "stub").read_bytes() == OLD
    assert path.stat().st_mode & 0o777 == 0o644
    if not has_backup:
        Path(record["backup"]).unlink()
    assert resolv.restore(record) is None
    assert path.is_symlink()
    assert path.readlink() == target
    assert names(path) == ["resolv.conf", "stub"]


def test_a_dangling_symlink(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")
    assert resolv.restore(take(path)) is None
    assert path.readlink() == Path("/nowhere/at/all")


def test_nothing_there(path: Path) -> None:
    record = take(path)
    assert path.is_file()
    assert resolv.restore(record) is None
    assert names(path) == []


@pytest.mark.parametrize("new", [b"nameserver 9.9.9.9\n", OLD + b"x"])
def test_somebody_elses_file_stays(path: Path, new: bytes) -> None:
    path.write_bytes(OLD)
    record = take(path)
    path.write_bytes(new)
    assert "somebody else" in str(resolv.restore(record))
    assert path.read_bytes() == new
    assert names(path) == ["resolv.conf"]


@pytest.mark.parametrize("size", [0, 1, 20, 40])
@pytest.mark.parametrize("is_restoring", [False, True])
def test_a_torn_write_in_place_is_ours(path: Path, size: int, is_restoring: bool) -> None:
    path.write_bytes(OLD * 9)
    record = take(path)
    whole = OLD * 9 if is_restoring else record["text"].encode()
    path.write_bytes(whole[:size])
    assert resolv.restore(record) is None
    assert path.read_bytes() == OLD * 9


def test_somebody_put_a_symlink_back(path: Path) -> None:
    path.write_bytes(OLD)
    record = take(path)
    path.unlink()
    path.symlink_to("/run/other")
    assert "somebody else" in str(resolv.restore(record))
    assert path.is_symlink()


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(HostError, match="neither"):
        resolv.look(str(path), "", "x")


def test_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_words: object, **_more: object) -> None:
        raise PermissionError(1, "no hard links here")

    path.write_bytes(OLD)
    monkeypatch.setattr(os, "link", no_link)
    record = take(path)
    assert names(path) == ["resolv.conf"]
    assert resolv.restore(record) is None
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("kind", ["file", "symlink", "absent"])
def test_a_power_cut_takes_the_journal_along(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_bytes(OLD)
    elif kind == "symlink":
        path.symlink_to("/nowhere")
    take(path)
    assert resolv.is_marked(str(path))
    assert "restored" in str(resolv.restore_without_journal(str(path)))
    if kind == "file":
        assert path.read_bytes() == OLD
    assert path.is_symlink() == (kind == "symlink")
    assert names(path) == ([] if kind == "absent" else ["resolv.conf"])
    assert resolv.restore_without_journal(str(path)) is None


def test_a_power_cut_and_then_an_editor(path: Path) -> None:
    path.write_bytes(OLD)
    take(path)
    with path.open("a") as file:
        file.write("nameserver 9.9.9.9\n")
    assert "left as it is" in str(resolv.restore_without_journal(str(path)))
    assert b"9.9.9.9" in path.read_bytes()
    path.write_bytes(OLD)
    assert not resolv.is_marked(str(path))
    assert resolv.restore_without_journal(str(path)) is None


@pytest.mark.parametrize(
    "bad", ["", ".", "-a", "a-", "a..b", "a b", "a\nnameserver 6.6.6.6", "ä.de"]
)
def test_bad_domains_are_dropped(bad: str) -> None:
    servers, domains, warnings = resolv.check(["10.0.0.1"], [bad, "good.example."])
    assert (servers, domains) == (["10.0.0.1"], ["good.example."])
    assert len(warnings) == 1
