"""The fingerprint changes with every way of writing a file, and with nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sevpn.host import resolv, resolv_watch

if TYPE_CHECKING:
    from pathlib import Path


def test_each_way_of_writing_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    seen = {resolv_watch.fingerprint(str(path))}
    path.write_bytes(b"a")
    os.utime(path, ns=(1, 1))
    seen.add(resolv_watch.fingerprint(str(path)))
    path.write_bytes(b"b")
    os.utime(path, ns=(1, 2))
    seen.add(resolv_watch.fingerprint(str(path)))
    other = tmp_path / "new"
    other.write_bytes(b"b")
    os.utime(other, ns=(1, 2))
    other.rename(path)
    seen.add(resolv_watch.fingerprint(str(path)))
    target = tmp_path / "target"
    path.rename(target)
    path.symlink_to(target)
    seen.add(resolv_watch.fingerprint(str(path)))
    target.write_bytes(b"cc")
    seen.add(resolv_watch.fingerprint(str(path)))
    assert len(seen) == 6
    last = resolv_watch.fingerprint(str(path))
    path.read_bytes()
    path.chmod(0o600)
    assert resolv_watch.fingerprint(str(path)) == last


def test_only_a_file_we_wrote_is_watched(tmp_path: Path) -> None:
    path = str(tmp_path / "resolv.conf")
    record = resolv.look(path, "nameserver 10.0.0.1\n", "x")
    assert resolv_watch.watched_path([{"kind": "resolvconf"}, record]) == path
    assert resolv_watch.watched_path([{"kind": "resolved"}]) is None
