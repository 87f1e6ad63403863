"""systemd's side of it is a datagram socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from sevpn.control.notify import Notifier, watchdog_interval_s
from sevpn.session.state import CONFIGURING, DEGRADED, READY, RECONNECTING, STOPPING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sevpn.io.loop import Loop
    from sevpn.session.state import RunState


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        abstract = f"\0sevpn-test-{os.getpid()}"
        sock.bind(abstract if request.param == "abstract" else str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def environment(systemd: socket.socket, **further: str) -> dict[bytes, bytes]:
    name = systemd.getsockname()
    text = name.encode() if isinstance(name, str) else name.replace(b"\0", b"@")
    return {b"NOTIFY_SOCKET": text} | {k.encode(): v.encode() for k, v in further.items()}


def received(systemd: socket.socket) -> list[str]:
    got = []
    while True:
        try:
            got.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return got


def test_a_life(loop: Loop, state: RunState, systemd: socket.socket) -> None:
    notifier = Notifier(loop, state, environment(systemd))
    for name in (CONFIGURING, READY, DEGRADED, READY):
        state.enter(name, 1.0)
    state.fail("bad\nnews", 1.0)
    state.enter(RECONNECTING, 1.0)
    state.enter(STOPPING, 1.0)
    notifier.close()
    state.enter(READY, 1.0)
    assert received(systemd) == [
        "STATUS=connecting\nREADY=1",
        "STATUS=configuring",
        "STATUS=ready",
        "STATUS=degraded",
        "STATUS=ready",
        "STATUS=reconnecting: bad news",
        "STATUS=stopping: bad news\nSTOPPING=1",
    ]


def test_watchdog(
    loop: Loop, state: RunState, systemd: socket.socket, turn: Callable[..., None]
) -> None:
    notifier = Notifier(loop, state, environment(systemd, WATCHDOG_USEC="40000"))
    turn(0.09)
    notifier.close()
    beats = received(systemd).count("WATCHDOG=1")
    assert 3 <= beats <= 6
    turn(0.05)
    assert received(systemd) == []


def test_ready_is_not_lost(loop: Loop, state: RunState, tmp_path: Path) -> None:
    """What did not get through goes out with the next message."""
    path = tmp_path / "notify"
    notifier = Notifier(loop, state, {b"NOTIFY_SOCKET": str(path).encode()})
    state.enter(READY, 1.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        state.enter(DEGRADED, 1.0)
        assert systemd.recv(4096) == b"STATUS=degraded\nREADY=1"
    notifier.close()


@pytest.mark.parametrize(
    ("values", "interval_s"),
    [
        ({}, 0.0),
        ({b"WATCHDOG_USEC": b"30000000"}, 15.0),
        ({b"WATCHDOG_USEC": b"30000000", b"WATCHDOG_PID": b"7"}, 15.0),
        ({b"WATCHDOG_USEC": b"30000000", b"WATCHDOG_PID": b"8"}, 0.0),
        ({b"WATCHDOG_USEC": b"0"}, 0.0),
        ({b"WATCHDOG_USEC": b"-5"}, 0.0),
        ({b"WATCHDOG_USEC": b"soon"}, 0.0),
        ({b"WATCHDOG_USEC": b"1"}, 0.01),
    ],
)
def test_interval(values: dict[bytes, bytes], interval_s: float) -> None:
    assert watchdog_interval_s(values, 7) == interval_s
