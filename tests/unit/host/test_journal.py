"""The journal on disk: what stands, what is torn, what is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sevpn.host import fault, journal

if TYPE_CHECKING:
    from pathlib import Path


def record(name: str) -> dict[str, object]:
    return {"kind": "rule", "step": [], "address": name, "table": 1}


def addresses(path: Path) -> list[object]:
    return [found["address"] for found in journal.read(str(path))]


def test_records_stand_until_they_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state" / "vpn0.journal"
    log = journal.Journal(str(path))
    first, second = log.begin(record("a")), log.begin(record("b"))
    assert first["id"] < second["id"]
    assert addresses(path) == ["a", "b"]
    log.end(first)
    assert addresses(path) == ["b"]
    assert path.stat().st_mode & 0o777 == 0o600
    log.close()
    again = journal.Journal(str(path))
    again.end(second)
    again.close()
    assert not path.exists()
    assert again.warnings == []


def test_a_torn_line_hurts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "vpn0.journal"
    log = journal.Journal(str(path))
    log.begin(record("a"))
    log.close()
    with path.open("ab") as file:
        file.write(b'{"do":{"id":"')
    assert addresses(path) == ["a"]
    log = journal.Journal(str(path))
    log.begin(record("b"))
    log.close()
    assert addresses(path) == ["a", "b"]


def test_strange_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "vpn0.journal"
    path.write_bytes(b'[]\n7\n{"do":3}\n{"do":{"id":4}}\n\xff\n{"undone":{}}\n\n')
    assert journal.read(str(path)) == []
    assert journal.read(str(tmp_path)) == []


def test_without_a_place_to_write_it_warns_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = journal.Journal(str(tmp_path / "file" / "vpn0.journal"))
    one = log.begin(record("a"))
    log.begin(record("b"))
    log.end(one)
    log.close()
    assert len(log.warnings) == 1
    assert "if this program is killed" in log.warnings[0]


def test_a_full_disk_later_on(tmp_path: Path) -> None:
    path = tmp_path / "vpn0.journal"
    log = journal.Journal(str(path))
    log.begin(record("a"))

    def full(_name: str) -> None:
        raise OSError(28, "full")

    fault.hook = full
    try:
        log.begin(record("b"))
    finally:
        fault.hook = None
    log.begin(record("c"))
    log.close()
    assert len(log.warnings) == 1
    assert addresses(path) == ["a"]
