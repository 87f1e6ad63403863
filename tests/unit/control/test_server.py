"""The control socket: real sockets on a real loop."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sevpn.control import server as serving
from sevpn.control.server import CLIENTS_MAX, Server
from sevpn.session.state import CONFIGURING, READY, RECONNECTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sevpn.io.loop import Loop
    from sevpn.session.state import RunState

    Turn = Callable[..., None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vpn0@1.sock"


@pytest.fixture
def server(loop: Loop, path: Path, state: RunState) -> Iterator[Server]:
    made = Server(loop, str(path), state, lambda: f'{{"state": "{state.name}"}}')
    assert made.open() == ""
    yield made
    made.close()


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., socket.socket]]:
    made = []

    def connected(request: bytes = b"") -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.append(sock)
        sock.settimeout(20.0)
        sock.connect(str(path))
        if request:
            sock.sendall(request)
        return sock

    yield connected
    for sock in made:
        sock.close()


def everything(sock: socket.socket) -> bytes:
    """Read to the end of the connection, which is a reset when something was not read."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


def is_open(sock: socket.socket) -> bool:
    return not select.select([sock], [], [], 0)[0]


CONNECTING_REPORT = b'{"state": "connecting"}\n'
READY_REPORT = b'{"state": "ready"}\n'


def test_status(server: Server, connect: Callable[..., socket.socket], turn: Turn) -> None:
    sock = connect(b"status\n")
    turn()
    assert everything(sock) == CONNECTING_REPORT


def test_a_request_in_pieces(
    server: Server, connect: Callable[..., socket.socket], turn: Turn
) -> None:
    sock = connect(b"sta")
    turn()
    assert is_open(sock)
    sock.sendall(b"tus\n")
    turn()
    assert everything(sock) == CONNECTING_REPORT


def test_wait(
    server: Server, connect: Callable[..., socket.socket], turn: Turn, state: RunState
) -> None:
    socks = [connect(b"wait\n"), connect(b"wait\n")]
    turn()
    state.enter(CONFIGURING, 1.0)
    turn()
    assert all(map(is_open, socks))
    state.enter(READY, 2.0)
    assert [everything(sock) for sock in socks] == [READY_REPORT] * 2


def test_wait_when_ready(
    server: Server, connect: Callable[..., socket.socket], turn: Turn, state: RunState
) -> None:
    state.enter(READY, 1.0)
    sock = connect(b"wait\n")
    turn()
    assert everything(sock) == READY_REPORT


@pytest.mark.parametrize("request_", [b"status", b"\n", b"quit\n", b"x" * 16, b"x" * 4000, b"\0\n"])
def test_what_is_no_request(
    server: Server, connect: Callable[..., socket.socket], turn: Turn, request_: bytes
) -> None:
    sock = connect(request_)
    turn()
    if request_ == b"status":
        assert is_open(sock)  # there is no end of the line yet
    else:
        assert everything(sock) == b'{"error": "unknown request"}\n'


def test_a_client_that_leaves(
    server: Server, connect: Callable[..., socket.socket], turn: Turn, state: RunState
) -> None:
    for request in (b"", b"sta", b"wait\n", b"status\n"):
        connect(request).close()
        turn()
    state.enter(READY, 1.0)
    sock = connect(b"status\n")
    turn()
    assert everything(sock) == READY_REPORT


def test_a_client_that_talks_on_while_it_waits(
    server: Server, connect: Callable[..., socket.socket], turn: Turn
) -> None:
    sock = connect(b"wait\n")
    turn()
    sock.sendall(b"wait\n")
    turn()
    assert everything(sock) == b""


def test_silent_clients_do_not_lock_others_out(
    server: Server, connect: Callable[..., socket.socket], turn: Turn
) -> None:
    silent = []
    for _ in range(CLIENTS_MAX + 4):
        silent.append(connect())
        turn(0.005)
    assert everything(silent[0]) == b'{"error": "too many clients"}\n'
    assert is_open(silent[-1])
    sock = connect(b"status\n")
    turn()
    assert everything(sock) == CONNECTING_REPORT


def test_who_waits_keeps_its_place(
    server: Server, connect: Callable[..., socket.socket], turn: Turn, state: RunState
) -> None:
    waiting = []
    for _ in range(CLIENTS_MAX):
        waiting.append(connect(b"wait\n"))
        turn(0.005)
    sock = connect(b"wait\n")
    turn()
    assert everything(sock) == b'{"error": "too many clients"}\n'
    state.enter(READY, 1.0)
    assert [everything(sock) for sock in waiting] == [READY_REPORT] * CLIENTS_MAX


def test_a_client_that_does_not_read(
    loop: Loop, path: Path, state: RunState, connect: Callable[..., socket.socket], turn: Turn
) -> None:
    """More than its socket takes is cut off, and nothing waits for it."""
    server = Server(loop, str(path), state, lambda: "x" * 8_000_000)
    assert server.open() == ""
    sock = connect(b"status\n")
    turn()
    got = everything(sock)
    assert 0 < len(got) < 8_000_000
    assert not got.endswith(b"\n")
    server.close()


def test_another_user_is_refused(
    server: Server,
    path: Path,
    connect: Callable[..., socket.socket],
    turn: Turn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if the file's mode were not there."""
    monkeypatch.setattr(server, "_uids", (os.geteuid() + 1,))
    sock = connect(b"status\n")
    turn()
    assert everything(sock) == b'{"error": "permission denied"}\n'


def test_only_the_owner_may_connect(server: Server, path: Path) -> None:
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    before = os.umask(0o022)
    os.umask(before)
    assert before != serving._ONLY_OWNER_UMASK


def test_a_report_that_fails_ends_nothing(
    loop: Loop, path: Path, state: RunState, connect: Callable[..., socket.socket], turn: Turn
) -> None:
    server = Server(loop, str(path), state, lambda: str(1 // 0))
    assert server.open() == ""
    waiting = connect(b"wait\n")
    sock = connect(b"status\n")
    turn()
    assert everything(sock).startswith(b'{"error": "the report failed')
    state.enter(READY, 1.0)
    assert everything(waiting).startswith(b'{"error": "the report failed')
    server.close()


def test_the_socket_of_a_killed_run_is_replaced(
    loop: Loop, path: Path, state: RunState, connect: Callable[..., socket.socket], turn: Turn
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        old.bind(str(path))
    server = Server(loop, str(path), state, lambda: "{}")
    assert server.open() == ""
    sock = connect(b"status\n")
    turn()
    assert everything(sock) == b"{}\n"
    server.close()


def test_close(
    server: Server,
    path: Path,
    connect: Callable[..., socket.socket],
    turn: Turn,
    state: RunState,
) -> None:
    sock = connect(b"wait\n")
    turn()
    server.close()
    assert everything(sock) == b""
    assert not path.exists()
    assert not state.listeners
    state.enter(RECONNECTING, 1.0)
    server.close()


def test_no_place_for_a_socket(loop: Loop, tmp_path: Path, state: RunState) -> None:
    """Too long a name for a file and for an abstract one."""
    server = Server(loop, str(tmp_path / ("x" * 120)), state, lambda: "{}")
    assert server.open() != ""
    server.close()
    assert not state.listeners


def test_a_copy_of_the_descriptor_keeps_no_client_waiting(
    server: Server, connect: Callable[..., socket.socket], turn: Turn
) -> None:
    """A forked child holds all descriptors for as long as it lives."""
    sock = connect(b"sta")
    turn()
    copy = os.dup(server._clients[0].sock.fileno())
    try:
        sock.sendall(b"tus\n")
        turn()
        assert everything(sock) == CONNECTING_REPORT
    finally:
        os.close(copy)


def test_without_a_file_system(
    loop: Loop, tmp_path: Path, state: RunState, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only root an abstract name does; the client finds it, and asks nobody else's."""
    from sevpn.commands import instances

    where = str(tmp_path / "missing")
    made = Server(loop, f"{where}/vpn0@1.sock", state, lambda: '{"state": "connecting"}')
    assert made.open() == ""
    assert made.is_abstract
    (found,) = instances.find(where)
    assert (found.tap, found.namespace) == ("vpn0", "1")
    answers: list[object] = []
    thread = threading.Thread(
        target=lambda: answers.append(found.ask("status", time.monotonic() + 20))
    )
    thread.start()
    while thread.is_alive():
        turn(0.02)
    thread.join()
    assert answers == [{"state": "connecting"}]
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    if os.getuid():
        assert found.ask("status", time.monotonic() + 20) is None
    made.close()
    assert instances.find(where) == []
