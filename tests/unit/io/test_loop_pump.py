"""The event loop around a pump, with watched descriptors and signals."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

import pytest

from sevpn.io.loop import PUMP_WAKE, Cancelled, Loop, Wakeup, now_s

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

SOON_S = 0.02


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
    yield read_fd, write_fd
    os.close(read_fd)
    os.close(write_fd)


def run(loop: Loop, coro: Coroutine[Any, Any, None]) -> None:
    loop.run(loop.spawn("main", coro))


class FakePump:
    """Sleeps on the loop's descriptor as the bridge does, and may have a reason of its own."""

    def __init__(self, reasons: list[int] | None = None) -> None:
        self.reasons = reasons or []
        self.timeouts: list[int] = []

    def run(self, wake_fd: int, timeout_ms: int) -> int:
        self.timeouts.append(timeout_ms)
        if self.reasons:
            return self.reasons.pop(0)
        poller = select.epoll()
        with poller:
            poller.register(wake_fd, select.EPOLLIN)
            return PUMP_WAKE if poller.poll(timeout_ms / 1000 if timeout_ms >= 0 else -1) else 0


# --- the pump ---


def test_pump_gets_the_nearest_deadline(loop: Loop) -> None:
    pump = FakePump()

    async def beside() -> None:
        await loop.sleep(SOON_S)

    async def main() -> None:
        loop.spawn("beside", beside())
        assert await loop.pump(pump, now_s() + 2 * SOON_S) == 0

    run(loop, main())
    assert 0 <= pump.timeouts[0] <= SOON_S * 1000 + 1
    assert len(pump.timeouts) <= 4


def test_pump_reasons_come_back(loop: Loop) -> None:
    pump = FakePump([2, 4 | PUMP_WAKE])

    async def main() -> None:
        assert await loop.pump(pump, None) == 2
        assert await loop.pump(pump, None) == 4

    run(loop, main())
    assert pump.timeouts == [-1, -1]


def test_others_run_while_a_pump_runs(loop: Loop, pipe: tuple[int, int]) -> None:
    seen = []

    async def reader() -> None:
        await loop.readable(pipe[0])
        seen.append(os.read(pipe[0], 10))

    async def writer() -> None:
        await loop.sleep(SOON_S)
        os.write(pipe[1], b"x")

    async def main() -> None:
        loop.spawn("reader", reader())
        loop.spawn("writer", writer())
        assert await loop.pump(FakePump(), now_s() + 4 * SOON_S) == 0
        assert seen == [b"x"]

    run(loop, main())


def test_cancel_during_a_pump(loop: Loop) -> None:
    async def pumper() -> None:
        await loop.pump(FakePump(), None)

    async def main() -> None:
        task = loop.spawn("pumper", pumper())
        await loop.sleep(SOON_S)
        loop.cancel(task)
        assert await loop.join(task, now_s() + 5)

    run(loop, main())


def test_poke_ends_pump_and_doze_only(loop: Loop) -> None:
    seen = []

    async def dozer() -> None:
        assert await loop.doze(now_s() + 60)
        seen.append("doze")
        assert await loop.pump(FakePump(), None) == PUMP_WAKE
        seen.append("pump")
        before_s = now_s()
        await loop.sleep(2 * SOON_S)
        assert now_s() - before_s >= 2 * SOON_S
        assert not await loop.doze(now_s() + SOON_S)

    async def main() -> None:
        task = loop.spawn("dozer", dozer())
        for _ in range(3):
            await loop.sleep(SOON_S / 2)
            loop.poke(task)
        await loop.join(task)
        loop.poke(task)

    run(loop, main())
    assert seen == ["doze", "pump"]


# --- watchers and signals ---


def test_watch_until_unwatch(loop: Loop, pipe: tuple[int, int]) -> None:
    seen = []
    loop.watch(pipe[0], lambda: seen.append(os.read(pipe[0], 10)))

    async def main() -> None:
        os.write(pipe[1], b"a")
        await loop.sleep(SOON_S)
        loop.unwatch(pipe[0])
        loop.unwatch(pipe[0])
        os.write(pipe[1], b"b")
        await loop.sleep(SOON_S)

    run(loop, main())
    assert seen == [b"a"]


@pytest.mark.parametrize("pump", [None, FakePump()])
def test_signal_cancels_at_once(loop: Loop, pump: FakePump | None) -> None:
    async def work() -> None:
        if pump is None:
            await loop.sleep(60)
        else:
            await loop.pump(pump, None)

    task = loop.spawn("work", work())
    with handled(loop, lambda: loop.cancel(task)):
        signal.setitimer(signal.ITIMER_REAL, SOON_S)
        before_s = time.monotonic()
        loop.run(task)
    assert time.monotonic() - before_s < 20
    assert isinstance(task.error, Cancelled)


def test_many_signals_are_one_turn(loop: Loop) -> None:
    """A full pipe or a second signal does no harm."""
    calls = []

    async def main() -> None:
        await loop.sleep(SOON_S)

    with handled(loop, lambda: calls.append(1)):
        for _ in range(300):
            os.kill(os.getpid(), signal.SIGALRM)
        run(loop, main())
    assert 1 <= len(calls) <= 3


class handled:  # noqa: N801 - reads as a word of the with statement
    """Route SIGALRM to a callback of the loop, as the command does with its signals."""

    def __init__(self, loop: Loop, callback: Callable[[], object]) -> None:
        self.wakeup = Wakeup(loop, lambda: (callback(), None)[1])

    def __enter__(self) -> None:
        self.old_fd = signal.set_wakeup_fd(self.wakeup.write_fd, warn_on_full_buffer=False)
        self.old = signal.signal(signal.SIGALRM, lambda *_: None)

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self.old_fd)
        signal.signal(signal.SIGALRM, self.old)
        self.wakeup.close()
