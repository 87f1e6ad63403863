"""`sevpn status`, with runs that answer, do not, or are dead."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sevpn.commands import instances
from sevpn.commands import status as command
from sevpn.commands.status import main
from sevpn.errors import HostError, NotRunningError

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Any]

NOBODY = 65534


def test_nobody_runs(tmp_path: Path) -> None:
    (tmp_path / "vpn0@7.lock").write_text("4711\n")
    (tmp_path / "resolv.conf@1-2.lock").write_text("1\n")
    (tmp_path / "vpn0@7.journal").touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "vpn1@7.sock"))
    for where in (tmp_path, tmp_path / "missing", tmp_path / "vpn0@7.lock"):
        with pytest.raises(NotRunningError, match="^no sevpn runs$") as caught:
            main(["-state-dir", str(where)])
        assert caught.value.exit_code == 10


def test_one(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start().enter("ready")
    assert main(["-state-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("sevpn 9.9 on vpn0, process 4711\n  state        ready for ")


def test_all(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start("vpn1")
    start("vpn0")
    assert main(["-state-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.index("on vpn0") < out.index("\n\nsevpn 9.9 on vpn1")
    assert main(["-json", "-state-dir", str(tmp_path)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["tap"]["name"] for one in found] == ["vpn0", "vpn1"]
    assert main(["-json", "-tap", "vpn1", "-state-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["tap"]["name"] == "vpn1"
    with pytest.raises(NotRunningError, match="^no sevpn runs on vpn2$"):
        main(["-tap", "vpn2", "-state-dir", str(tmp_path)])


def test_a_run_of_0_1_0_can_be_asked(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What 0.1.0 itself has answered."""
    told = json.loads(Path(__file__).with_name("report-0.1.0.json").read_text(encoding="utf-8"))
    assert "format" not in told
    start(**told)
    assert main(["-state-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("sevpn 0.1.0 on sv-none, process ")
    assert "  routes       default via 10.77.0.1 dev vpn0 metric 50\n" in out


def test_a_later_run_is_named(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its answer may mean something else; a program that asks for JSON may know it."""
    start(format=2, version="7.0\x1b[1m")
    with pytest.raises(NotRunningError, match=r"on vpn0 is a later one, 7\.0") as caught:
        main(["-state-dir", str(tmp_path)])
    assert "\x1b" not in str(caught.value)
    assert main(["-json", "-state-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == 2


def test_no_control(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start("vpn1", socket=False)
    said = rf"^a sevpn \(process {os.getpid()}\) runs on vpn1, but cannot be asked"
    with pytest.raises(NotRunningError, match=said):
        main(["-state-dir", str(tmp_path)])
    start("vpn0")
    assert main(["-state-dir", str(tmp_path)]) == 0
    assert "runs on vpn1, but cannot be asked" in capsys.readouterr().err


def test_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ANSWER_TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hanging:
        hanging.bind(str(tmp_path / "vpn0@7.sock"))
        hanging.listen(1)
        with pytest.raises(NotRunningError, match="^the sevpn on vpn0 does not answer$"):
            main(["-state-dir", str(tmp_path)])


def test_one_that_refuses(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    real = instances.Instance.ask
    monkeypatch.setattr(instances.Instance, "ask", lambda one, _what, when: real(one, "x", when))
    with pytest.raises(NotRunningError, match="refuses to answer: unknown request"):
        main(["-state-dir", str(tmp_path)])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("open_for_all", [False, True])
def test_another_user(start: Start, tmp_path: Path, open_for_all: bool) -> None:
    """The directory keeps others out; where it does not, the socket's mode does."""
    start()
    if open_for_all:
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(NOBODY)
            main(["-state-dir", str(tmp_path)])
        except HostError as error:
            words = "no permission to ask" if open_for_all else "cannot read"
            code = 0 if words in str(error) and error.exit_code == 4 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
