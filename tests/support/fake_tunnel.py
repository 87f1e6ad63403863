"""Fakes around sevpn.session.tunnel: a clock, a bridge, a keeper, a network, a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sevpn._bridge import CAPTURED
from sevpn.io import loop as loop_module
from sevpn.session import tunnel as tunnel_module
from sevpn.session.state import CONFIGURING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from sevpn.errors import HostError, LeaseError


LOOK = CAPTURED  # without a frame: only a reason to look around


class Clock:
    """Virtual time for the tunnel, the loop and the fake bridge."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(loop_module, "now_s", lambda: self.now)
        monkeypatch.setattr(tunnel_module, "now_s", lambda: self.now)


class FakeBridge:
    """Lets time pass to the deadline, or to the next of `happenings` (time, what to do)."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.last_received_s = self.last_sent_s = clock.now
        self.happenings: list[tuple[float, Callable[[], int]]] = []
        self.keepalives: list[tuple[float, int]] = []
        self.injected: list[bytes] = []
        self.captured: list[bytes] = []
        self.mask = -1
        self.is_attached = False
        self.has_room = True
        self.turns = 0
        self.heard = 0
        self.question = b""
        self.unparsed = b""

    def ask_with(self, frame: bytes) -> None:
        self.question = frame

    def capture(self, mask: int) -> None:
        self.mask = mask

    def attach(self, _stream: object, _rest: bytes) -> None:
        self.is_attached = True
        self.last_received_s = self.last_sent_s = self.clock.now

    def detach(self) -> None:
        self.is_attached = False

    def run(self, _wake_fd: int, timeout_ms: int) -> int:
        self.turns += 1
        assert self.turns < 5000, "it spins"
        assert timeout_ms > 0
        end = self.clock.now + timeout_ms / 1000
        self.happenings.sort(key=lambda entry: entry[0])
        if self.happenings and self.happenings[0][0] <= end:
            at, happen = self.happenings.pop(0)
            self.clock.now = max(self.clock.now, at)
            return happen()
        self.clock.now = end
        return 0

    def captured_frames(self) -> list[bytes]:
        frames, self.captured = self.captured, []
        return frames

    def inject(self, frame: bytes) -> bool:
        self.injected.append(frame)
        return True

    def keepalive(self, body: bytes) -> bool:
        self.keepalives.append((self.clock.now, len(body)))
        if self.has_room:
            self.last_sent_s = self.clock.now
        return self.has_room

    # --- for tests ---

    def at(self, seconds: float, happen: Callable[[], int]) -> None:
        self.happenings.append((self.clock.now + seconds, happen))

    def hear_every(self, gap_s: float, until_s: float) -> None:
        """The server says something each `gap_s`."""

        def hear() -> int:
            self.last_received_s = self.clock.now
            self.heard += 1
            return LOOK

        steps = int(until_s / gap_s)
        for step in range(1, steps + 1):
            self.at(step * gap_s, hear)

    def send_every(self, gap_s: float, until_s: float) -> None:
        """The host sends frames each `gap_s`."""

        def send() -> int:
            self.last_sent_s = self.clock.now
            return LOOK

        for step in range(1, int(until_s / gap_s) + 1):
            self.at(step * gap_s, send)


class FakeKeeper:
    def __init__(self) -> None:
        self.current = CONFIGURING
        self.received: list[bytes] = []
        self.frames: list[bytes] = []
        self.error: LeaseError | None = None
        self.renewals = 0
        self.is_silent = False
        self.doubts = 0

    def queue_question(self) -> bytes:
        return b"who am I"

    def start(self, _now: float) -> None:
        self.frames.append(b"discover")

    def release(self, _now: float) -> None:
        self.frames.append(b"release")

    def doubt(self, _now: float) -> bool:
        self.doubts += 1
        return True

    def deadline_s(self) -> float | None:
        return None

    def tick(self, _now: float) -> None:
        if self.error is not None:
            raise self.error

    def take_frames(self) -> list[bytes]:
        frames, self.frames = self.frames, []
        return frames

    def receive(self, frame: bytes, _now: float) -> None:
        self.received.append(frame)

    def state(self) -> str:
        return self.current


class FakeNetwork:
    failure: HostError | None = None
    is_busy = False
    falls_short = False
    dns_checks = 0

    def check_dns(self) -> None:
        self.dns_checks += 1


class FakeRoamer:
    looks = 0
    addresses: list[str] | None = None

    @property
    def is_offline(self) -> bool:
        return self.addresses == []


class FakeWelcome:
    def __init__(self, timeout_ms: int, policy: dict[str, int]) -> None:
        self.timeout_ms = timeout_ms
        self.policy = policy


class FakeConnection:
    stream = None
    local = ("192.0.2.2", 40000)
    silence_s = 0.0

    def silent_s(self) -> float:
        return self.silence_s


class FakeSession:
    rest = b""

    def __init__(self, timeout_ms: int, policy: dict[str, int]) -> None:
        self.welcome = FakeWelcome(timeout_ms, policy)
        self.connection = FakeConnection()
