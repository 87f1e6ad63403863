"""`sevpn cleanup`: what it says and its exit code; what it does is host.cleanup's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sevpn.commands import cleanup
from sevpn.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 65534


def pretend(
    monkeypatch: pytest.MonkeyPatch,
    state_dir: Path,
    removes: tuple[str, ...] = (),
    **lines: list[str],
) -> None:
    def report(_state_dir: str) -> dict[str, list[str]]:
        for name in removes:
            (state_dir / name).unlink()
        return {"undone": [], "left": [], "running": [], **lines}

    monkeypatch.setattr(cleanup, "cleanup_report", report)


def test_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for where in (tmp_path, tmp_path / "missing"):
        assert cleanup.main(["-state-dir", str(where)]) == 0
        assert capsys.readouterr().out == "nothing to clean up\n"


def test_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vpn0@7.journal").touch()
    (tmp_path / "vpn1@7.journal").touch()
    pretend(
        monkeypatch,
        tmp_path,
        ("vpn0@7.journal",),
        undone=["undone: route x"],
        left=["resolv.conf left: somebody else changed it"],
        running=["vpn1 is in use by another sevpn (process 1)"],
    )
    assert cleanup.main(["-state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "undone: route x",
        "resolv.conf left: somebody else changed it",
        "left alone: vpn1 is in use by another sevpn (process 1)",
    ]


def test_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vpn0@7.journal").touch()
    pretend(monkeypatch, tmp_path, left=["route x could not be undone: Operation not permitted"])
    with pytest.raises(HostError, match="something could not be undone") as caught:
        cleanup.main(["-state-dir", str(tmp_path)])
    assert caught.value.exit_code == 4
    assert "route x could not be undone" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_another_user(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0o700)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(NOBODY)
            cleanup.main(["-state-dir", str(tmp_path / "secret")])
        except HostError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
