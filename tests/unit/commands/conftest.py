"""Runs to ask: a loop in a thread that serves a control socket, with the lock held."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sevpn.control.server import Server
from sevpn.host.lock import Lock
from sevpn.io.loop import Loop, now_s
from sevpn.jsontext import to_json
from sevpn.session.state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STEP_S = 0.005


def sample(**changes: Any) -> dict[str, Any]:
    """Return a report as a run makes it."""
    return {
        "version": "9.9",
        "pid": 4711,
        "started": "2026-11-22T19:32:20Z",
        "state": "connecting",
        "since": "2026-11-22T19:33:14Z",
        "since_s": 75.5,
        "server": {"host": "vpn.test", "address": None, "port": 443, "product": None},
        "session": None,
        "tap": {"name": "vpn0", "mac": "5e:01:02:03:04:05", "namespace": 7},
        "lease": None,
        "routes": [],
        "rules": [],
        "dns": None,
        "hijacks": [],
        "counters": {
            **{f"{what}_{way}": 0 for what in ("frames", "bytes") for way in ("up", "down")},
            "reconnects": 0,
            "resumes": 0,
            "renewals": 0,
            "tap_drops": None,
        },
        "last_error": None,
        **changes,
    }


class Run:
    """One run; `enter` changes its state."""

    def __init__(
        self, state_dir: Path, tap: str, told: dict[str, Any], *, socket: bool = True
    ) -> None:
        self._told = told
        self._stem = f"{state_dir}/{tap}@7"
        self._tap = tap
        self._has_socket = socket
        self._todo: list[Callable[[], None]] = []
        self._is_ended = False
        self._opened = threading.Event()
        self.state = RunState(now_s())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._opened.wait(5.0)

    def enter(self, name: str) -> None:
        """Change the state, in the loop's thread."""
        done = threading.Event()

        def change() -> None:
            self.state.enter(name, now_s())
            done.set()

        self._todo.append(change)
        assert done.wait(5.0)

    def end(self) -> None:
        """End as a signal would."""
        self._is_ended = True
        self._thread.join(5.0)

    def _serve(self) -> None:
        lock = Lock(f"{self._stem}.lock")
        assert lock.acquire(self._tap) is None
        loop = Loop()
        server = Server(loop, f"{self._stem}.sock", self.state, self._answer)
        if self._has_socket:
            assert server.open() == ""
        self._opened.set()
        loop.run(loop.spawn("run", self._live(loop)))
        server.close()
        loop.close()
        lock.release()

    async def _live(self, loop: Loop) -> None:
        while not self._is_ended:
            while self._todo:
                self._todo.pop(0)()
            await loop.sleep(STEP_S)

    def _answer(self) -> str:
        tap = {"name": self._tap, "mac": "5e:01:02:03:04:05", "namespace": 7}
        return to_json({**sample(state=self.state.name, tap=tap), **self._told})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs; they are ended with the test."""
    runs = []

    def started(name: str = "vpn0", *, socket: bool = True, **told: Any) -> Run:
        run = Run(tmp_path, name, told, socket=socket)
        runs.append(run)
        return run

    yield started
    for run in runs:
        run.end()


@pytest.fixture
def later() -> Iterator[Callable[..., None]]:
    """Do something in a moment, while the test waits."""
    threads = []

    def planned(seconds: float, what: Callable[[], object]) -> None:
        def work() -> None:
            time.sleep(seconds)
            what()

        thread = threading.Thread(target=work, daemon=True)
        threads.append(thread)
        thread.start()

    yield planned
    for thread in threads:
        thread.join(5.0)


@pytest.fixture(name="sample")
def make_sample() -> Callable[..., dict[str, Any]]:
    """A report as a run makes it, with changes."""
    return sample
