"""Which congestion control is in force is the kernel's to say, and to refuse."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from sevpn.io import congestion

AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


class Refusing:
    """A socket whose kernel refuses."""

    def __init__(self, number: int) -> None:
        self.number = number

    def setsockopt(self, *_: object) -> None:
        raise OSError(self.number, "refused")

    def getsockopt(self, *_: object) -> bytes:
        return b"cubic\0\0\0"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(congestion, "_said", set())


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_name_of_the_kernels(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:
        congestion.choose(sock, name)
        assert congestion.of_socket(sock) == name
    assert capsys.readouterr().err == ""


def test_the_hosts_own() -> None:
    with socket.socket() as sock:
        before = congestion.of_socket(sock)
        congestion.choose(sock, "")
        assert congestion.of_socket(sock) == before != ""


def test_a_name_of_nothing_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:
        before = congestion.of_socket(sock)
        for _ in range(2):
            congestion.choose(sock, "nosuch")
        assert congestion.of_socket(sock) == before
    err = capsys.readouterr().err
    assert err.count("-congestion nosuch: nosuch: this kernel has none of that name") == 1
    assert f"; {before} is used (modprobe tcp_nosuch" in err


@pytest.mark.parametrize(
    ("wanted", "number", "words"),
    [
        ("bbr", errno.EPERM, "warning: -congestion bbr: bbr: refused; cubic is used (run as root"),
        ("auto", errno.ENOENT, "\n-congestion auto: bbr: this kernel has none of that name; cubic"),
    ],
)
def test_a_refusal(
    capsys: pytest.CaptureFixture[str], wanted: str, number: int, words: str
) -> None:
    """For auto it is no warning: the host's own is what was to be expected then."""
    congestion.choose(Refusing(number), wanted)  # type: ignore[arg-type]
    assert words in "\n" + capsys.readouterr().err


def test_no_answer_is_no_name() -> None:
    class Mute:
        def getsockopt(self, *_: object) -> bytes:
            raise OSError(errno.ENOPROTOOPT, "no such option")

    assert congestion.of_socket(Mute()) == ""  # type: ignore[arg-type]
