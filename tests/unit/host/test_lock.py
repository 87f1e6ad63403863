"""Locks between two runs, and how they say who holds them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sevpn.errors import HostError
from sevpn.host import lock
from support.private_netns import run_forked


def test_the_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    path = str(tmp_path / "state" / "vpn0.lock")
    first, second = lock.Lock(path), lock.Lock(path)
    assert first.acquire("vpn0") is None
    assert first.is_held
    with pytest.raises(HostError, match=f"vpn0 is in use .*{os.getpid()}"):
        second.acquire("vpn0")
    first.release()
    first.release()
    assert not Path(path).exists()
    assert second.acquire("vpn0") is None
    second.release()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "vpn0.lock")

    def hold_and_die() -> None:
        lock.Lock(path).acquire("vpn0")
        os._exit(0)

    assert run_forked(hold_and_die) == ""
    assert Path(path).exists()
    mine = lock.Lock(path)
    assert mine.acquire("vpn0") is None
    assert Path(path).read_text(encoding="utf-8") == f"{os.getpid()}\n"
    mine.release()


def test_a_lock_file_removed_under_us_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vpn0.lock"
    answers = [False, True]
    monkeypatch.setattr(lock, "_is_same_file", lambda *_: answers.pop(0))
    mine = lock.Lock(str(path))
    assert mine.acquire("vpn0") is None
    assert answers == []
    mine.release()


def test_names() -> None:
    path = lock.journal_path("/run/sevpn", "vpn0")
    assert path == f"/run/sevpn/vpn0@{lock.namespace_id()}.journal"
    assert lock.tap_lock_path(path) == f"/run/sevpn/vpn0@{lock.namespace_id()}.lock"


def test_resolv_conf_is_locked_by_its_directory(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    one.mkdir()
    other.symlink_to(one)
    first = lock.resolv_lock_path("/run/sevpn", str(one / "resolv.conf"))
    (one / "resolv.conf").write_text("x")
    assert lock.resolv_lock_path("/run/sevpn", str(other / "resolv.conf")) == first
    assert lock.resolv_lock_path("/run/sevpn", str(tmp_path / "resolv.conf")) != first
    assert lock.resolv_lock_path("/s", "/none/at/all") == "/s/all.lock"


def hold_for(path: str, seconds: float, is_cleaning: bool) -> int:
    """Let another process hold a lock for a while; return its pid when it has it."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            held = lock.Lock(path)
            held.acquire("vpn0", is_cleaning)
            os.write(write_fd, b"x")
            time.sleep(seconds)
            held.release()
        finally:
            os._exit(0)
    os.close(write_fd)
    assert os.read(read_fd, 1) == b"x"
    os.close(read_fd)
    return pid


def test_who_only_cleans_up_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "vpn0.lock")
    pid = hold_for(path, 0.1, is_cleaning=True)
    mine = lock.Lock(path)
    assert mine.acquire("vpn0") is None
    mine.release()
    os.waitpid(pid, 0)


def test_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_CLEANING_MOST_S", 0.05)
    path = str(tmp_path / "vpn0.lock")
    pid = hold_for(path, 0.5, is_cleaning=True)
    with pytest.raises(HostError, match=f"process {pid}\\)"):
        lock.Lock(path).acquire("vpn0")
    os.waitpid(pid, 0)


def test_who_writes_no_file_needs_no_lock_for_it(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    modes = ("auto", "file", "resolved", "resolvconf", "none")

    def needed() -> list[str]:
        return [mode for mode in modes if lock.is_resolv_lock_needed(mode, str(path))]

    assert needed() == ["auto", "file"]
    path.write_text("nameserver 192.0.2.1\n")
    assert needed() == ["auto", "file"]
    for target in ("../run/systemd/resolve/stub-resolv.conf", "/etc/resolvconf/run/resolv.conf"):
        path.unlink()
        path.symlink_to(target)
        assert needed() == ["file"]
