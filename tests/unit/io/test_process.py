"""A secret on the command line: gone from /proc/PID/cmdline, and no core dumps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sevpn.io import process

PROGRAM = (
    "import sys\n"
    "from sevpn.io.process import hide_secret\n"
    "hide_secret(sys.argv[1].partition('=')[2])\n"
    "print('ready', flush=True)\n"
    "sys.stdin.read()\n"
)


def command_line(*arguments: str) -> tuple[list[bytes], str]:
    """Return what ps shows of a process that hid its secret, and its /proc/PID/status."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        shown = Path(f"/proc/{run.pid}/cmdline").read_bytes().split(b"\0")
        owner = str(Path(f"/proc/{run.pid}/environ").stat().st_uid)
        run.communicate("")
        assert run.returncode == 0
    return shown[3:-1], owner


def test_secret_is_starred() -> None:
    shown, _ = command_line("-pass=hunter2", "-user", "me", "again hunter2")
    assert shown == [b"-pass=*******", b"-user", b"me", b"again *******"]


@pytest.mark.parametrize("secret", ["ä€😀", "\udcff\udcfe"])
def test_secret_of_any_bytes(secret: str) -> None:
    shown, _ = command_line(f"-pass={secret}")
    assert shown == [b"-pass=" + b"*" * len(os.fsencode(secret))]


def test_no_secret() -> None:
    assert command_line("-pass=", "-user")[0] == [b"-pass=", b"-user"]


def test_strange_stat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc does not tell (a sandbox), nothing is touched and nothing fails."""
    calls: list[object] = []
    monkeypatch.setattr(process, "forbid_core_dumps", lambda: calls.append("dumps"))
    monkeypatch.setattr(process, "overwrite_arguments", lambda *_: calls.append("written"))
    for text in ("", "1 (a) b) S 1 2 3", "1 (a) " + "x " * 60, "1 (a) " + "0 " * 60):
        monkeypatch.setattr(process, "read_text", lambda _path, text=text: text)
        process.hide_secret("secret")
    assert calls == ["dumps"] * 4
