"""A secret on the command line: gone from /proc/PID/cmdline, and no core dumps."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sevpn.io import process
from support.started import started

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = (
    "import sys\n"
    "from sevpn.io.process import hide_secret\n"
    "hide_secret()\n"
    "print('ready', flush=True)\n"
    "sys.stdin.read()\n"
)


@contextlib.contextmanager
def hidden(*arguments: str, **variables: str) -> Iterator[Path]:
    """A process that has hidden its secret, as its directory in /proc."""
    with started(PROGRAM, *arguments, **variables) as run:
        yield Path(f"/proc/{run.pid}")
        run.communicate("")
        assert run.returncode == 0


def command_line(*arguments: str) -> tuple[list[bytes], str]:
    """Return what ps shows of such a process, and who owns its /proc/PID/environ."""
    with hidden(*arguments) as place:
        shown = (place / "cmdline").read_bytes().split(b"\0")
        return shown[3:-1], str((place / "environ").stat().st_uid)


def test_secret_is_starred() -> None:
    """And nothing else, or its letters could be told from other words."""
    shown, _ = command_line("-pass=hunter2", "-user", "hunter2", "again hunter2")
    assert shown == [b"-pass=*******", b"-user", b"hunter2", b"again hunter2"]


@pytest.mark.parametrize(
    "secret", ["\u00e4\u20ac\U0001f600", "\udcff\udcfe\udcff\udcfe\udcfe", "x" * 100]
)
def test_a_long_secret_of_any_bytes_is_eight_stars(secret: str) -> None:
    shown, _ = command_line("-pass", secret, "-user")
    stars = min(8, len(os.fsencode(secret)))
    assert [word for word in shown if word] == [b"-pass", b"*" * stars, b"-user"]


def test_the_units_variable_is_emptied() -> None:
    with hidden(SEVPN_FLAGS="-pass hunter2") as place:
        shown = (place / "environ").read_bytes()
    assert b"hunter2" not in shown
    assert b"SEVPN_FLAGS=" in shown


def test_no_secret() -> None:
    assert command_line("-pass=", "-user")[0] == [b"-pass=", b"-user"]


def test_strange_stat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc does not tell (a sandbox), nothing is touched and nothing fails."""
    calls: list[object] = []
    monkeypatch.setattr(process, "forbid_core_dumps", lambda: calls.append("dumps"))
    monkeypatch.setattr(
        process, "hide_argument", lambda start, _end, _name: start and calls.append("argv")
    )
    monkeypatch.setattr(
        process, "hide_variable", lambda start, _end, _name: start and calls.append("environment")
    )
    for text in ("", "1 (a) b) S 1 2 3", "1 (a) " + "x " * 60, "1 (a) " + "0 " * 60):
        monkeypatch.setattr(process, "read_text", lambda _path, text=text: text)
        process.hide_secret()
    assert calls == ["dumps"] * 4
