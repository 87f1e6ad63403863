"""The password from a file, from standard input and from a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sevpn.errors import UsageError
from sevpn.io import secret
from support.started import environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" a b ", " a b "),
        (b"p\xe4ss", "p\udce4ss"),
        ("\u00e4\n".encode(), "\u00e4"),
        (b"", ""),
        (b"x" * 255 + b"\n", "x" * 255),
    ],
)
def test_from_file(data: bytes, password: str, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(data)
    path.chmod(0o600)
    assert secret.from_file(str(path)) == password


@pytest.mark.parametrize("data", [b"a\n\n", b"a\nb", b"a\0b", b"x" * 256, b"x" * 70_000])
def test_what_cannot_be_a_password(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        secret.from_file(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["missing", ""])
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the password from"):
        secret.from_file(str(tmp_path / name))


def test_others_may_read_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"x")
    path.chmod(0o644)
    assert secret.from_file(str(path)) == "x"
    assert "can be read by others" in capsys.readouterr().err
    path.chmod(0o600)
    secret.from_file(str(path))
    assert capsys.readouterr().err == ""


PROGRAM = """
from sevpn import cli
def run_client(config, mac):
    print("password", repr(config.password), flush=True)
    return 0
cli.run_client = run_client
import sys
sys.exit(cli.main(["-host", "vpn.test", "-user", "alice", *sys.argv[1:]]))
"""


def run(*words: str, given: str = "", **more: str) -> tuple[int, str]:
    """Run it without a terminal; return exit code and output."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        input=given,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"filed")
    path.chmod(0o600)
    assert run("-pass", "x") == (0, "password 'x'\n")
    assert run("-pass-file", str(path)) == (0, "password 'filed'\n")
    assert run("-pass-file", "-", given="piped\n") == (0, "password 'piped'\n")
    assert run(SEVPN_PASS_FILE=str(path)) == (0, "password 'filed'\n")
    # A value that reads like the flag is none.
    assert run("-hub", "pass", SEVPN_PASS_FILE=str(path)) == (0, "password 'filed'\n")
    # An argument is nearer than the environment.
    assert run("-pass", "x", SEVPN_PASS_FILE="/nowhere") == (0, "password 'x'\n")
    assert run(given="not asked for") == (0, "password ''\n")
    code, text = run("-pass", "x", "-pass-file", str(path))
    assert code == 2
    assert "-pass and -pass-file" in text
    assert run("-pass-file", "/nowhere")[0] == 2


def at_a_terminal(typed: bytes) -> tuple[int, bytes]:
    """Run it at a terminal, answer the question; return exit status and what was seen."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", PROGRAM], environment())
    seen = b""
    while b"password for alice@vpn.test: " not in seen:
        seen += os.read(fd, 1000)
    # The question is printed before the terminal goes silent, and that flushes what was typed.
    import termios

    while termios.tcgetattr(fd)[3] & termios.ECHO:
        pass
    os.write(fd, typed)
    try:
        while part := os.read(fd, 1000):
            seen += part
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), seen


@pytest.mark.no_sanitizer
def test_asked_for_at_a_terminal() -> None:
    code, seen = at_a_terminal(b"hunter2\n")
    assert code == 0
    assert b"password 'hunter2'" in seen
    assert seen.count(b"hunter2") == 1  # the program's own line: what is typed is not shown


@pytest.mark.no_sanitizer
def test_no_answer() -> None:
    code, seen = at_a_terminal(b"\x03")
    assert code == 0
    assert b"Traceback" not in seen
