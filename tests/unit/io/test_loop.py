"""The event loop: tasks, deadlines, cancelling, joining, the pump, and signals."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

import pytest

from sevpn.io.loop import PUMP_WAKE, Cancelled, Loop, Task, Wakeup, now_s

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


def test_spawn_runs_to_the_first_await(loop: Loop) -> None:
    seen = []

    async def work() -> None:
        seen.append("begun")
        await loop.sleep(0)
        seen.append("ended")

    task = loop.spawn("work", work())
    assert seen == ["begun"]
    loop.run(task)
    assert seen == ["begun", "ended"]


def test_task_without_await(loop: Loop) -> None:
    async def work() -> None:
        pass

    task = loop.spawn("work", work())
    assert task.done
    loop.run(task)


def test_sleepers_wake_in_the_order_of_their_deadlines(loop: Loop) -> None:
    seen = []

    async def sleeper(seconds: float) -> None:
        await loop.sleep_until(now_s() + seconds)
        seen.append(seconds)

    async def main() -> None:
        for task in [loop.spawn("s", sleeper(s)) for s in (0.03, 0.01, 0.02)]:
            await loop.join(task)

    run(loop, main())
    assert seen == [0.01, 0.02, 0.03]


def test_readable(loop: Loop, pipe: tuple[int, int]) -> None:
    async def main() -> None:
        assert not await loop.readable(pipe[0], now_s() + SOON_S)
        os.write(pipe[1], b"x")
        assert await loop.readable(pipe[0], now_s() + 5)
        assert await loop.readable(pipe[0])
        assert await loop.writable(pipe[1], now_s() + 5)

    run(loop, main())


def test_not_writable_before_the_deadline(loop: Loop, pipe: tuple[int, int]) -> None:
    while True:
        try:
            os.write(pipe[1], bytes(4096))
        except BlockingIOError:
            break

    async def main() -> None:
        assert not await loop.writable(pipe[1], now_s() + SOON_S)

    run(loop, main())


def test_descriptor_closed_while_another_waits_elsewhere(loop: Loop) -> None:
    """A number that is used again must reach its new owner only."""

    async def main() -> None:
        for _ in range(3):
            read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
            os.write(write_fd, b"x")
            assert await loop.readable(read_fd, now_s() + 5)
            os.close(read_fd)
            os.close(write_fd)

    run(loop, main())


def test_what_a_task_raises_comes_out_of_run(loop: Loop) -> None:
    async def main() -> None:
        await loop.sleep(0)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run(loop, main())


# --- cancelling ---


def cancelled_run(loop: Loop, coro: Coroutine[Any, Any, None]) -> Task:
    task = loop.spawn("work", coro)
    loop.cancel(task)
    loop.run(task)
    assert task.done
    return task


def test_cancel_runs_a_finally_that_awaits(loop: Loop, pipe: tuple[int, int]) -> None:
    undone = []

    async def work() -> None:
        try:
            await loop.readable(pipe[0])
        finally:
            await loop.sleep(SOON_S)
            undone.append(True)

    task = cancelled_run(loop, work())
    assert undone == [True]
    assert isinstance(task.error, Cancelled)


def test_second_cancel_does_not_disturb_the_undoing(loop: Loop) -> None:
    undone = []

    async def work() -> None:
        try:
            await loop.sleep(60)
        finally:
            for step in range(3):
                await loop.sleep(SOON_S)
                undone.append(step)

    async def main() -> None:
        task = loop.spawn("work", work())
        loop.cancel(task)
        await loop.sleep(SOON_S / 2)
        loop.cancel(task)
        await loop.sleep(SOON_S)
        loop.cancel(task)
        await loop.join(task)
        loop.cancel(task)

    run(loop, main())
    assert undone == [0, 1, 2]


def test_cancelled_wait_leaves_nothing_registered(loop: Loop, pipe: tuple[int, int]) -> None:
    async def work() -> None:
        await loop.readable(pipe[0])

    async def again() -> None:
        os.write(pipe[1], b"x")
        assert await loop.readable(pipe[0], now_s() + 5)

    cancelled_run(loop, work())
    run(loop, again())


def test_shielded_undoing_is_not_cancelled(loop: Loop) -> None:
    """An error has ended the work; a signal that comes now must not cut the undoing."""
    undone = []

    async def work() -> None:
        try:
            raise ValueError("mine")
        finally:
            loop.shield()
            await loop.sleep(2 * SOON_S)
            undone.append(True)

    task = loop.spawn("work", work())
    loop.cancel(task)
    with pytest.raises(ValueError, match="mine"):
        loop.run(task)
    assert undone == [True]


def test_error_while_undoing_is_raised(loop: Loop) -> None:
    async def work() -> None:
        try:
            await loop.sleep(60)
        finally:
            raise ValueError("undo")

    task = loop.spawn("work", work())
    loop.cancel(task)
    with pytest.raises(ValueError, match="undo"):
        loop.run(task)


# --- joining ---


def test_join_waits_or_gives_up(loop: Loop) -> None:
    async def work() -> None:
        await loop.sleep(3 * SOON_S)

    async def main() -> None:
        task = loop.spawn("work", work())
        assert not await loop.join(task, now_s() + SOON_S)
        assert await loop.join(task)
        assert await loop.join(task)

    run(loop, main())


def test_given_up_join_does_not_cut_a_later_sleep(loop: Loop) -> None:
    """The end of a task wakes those who wait for it, not those who once did."""

    async def work() -> None:
        await loop.sleep(2 * SOON_S)

    async def main() -> None:
        task = loop.spawn("work", work())
        assert not await loop.join(task, now_s() + SOON_S)
        before_s = now_s()
        await loop.sleep(5 * SOON_S)
        assert now_s() - before_s >= 5 * SOON_S

    run(loop, main())


def test_cancelled_join_and_join_again(loop: Loop) -> None:
    """As at the end of a run: a change is waited for once more, then undone to its end."""
    seen = []

    async def work(name: str, seconds: float) -> None:
        await loop.sleep(seconds)
        seen.append(name)

    async def main() -> None:
        change = loop.spawn("change", work("change", 2 * SOON_S))
        try:
            await loop.join(change)
        finally:
            await loop.join(change)
            await loop.join(loop.spawn("undo", work("undo", 3 * SOON_S)))
            seen.append("end")

    task = loop.spawn("main", main())
    loop.cancel(task)
    loop.run(task)
    assert seen == ["change", "undo", "end"]


def test_failed_helper_ends_the_main_task_in_order(loop: Loop) -> None:
    """A bug in a task beside the main one: the main one still undoes what it did."""
    undone = []

    async def broken() -> None:
        await loop.sleep(SOON_S)
        raise ValueError("bug")

    async def main() -> None:
        loop.spawn("broken", broken())
        try:
            await loop.sleep(60)
        finally:
            await loop.sleep(SOON_S)
            undone.append(True)

    with pytest.raises(ValueError, match="bug"):
        run(loop, main())
    assert undone == [True]


def test_cancelled_helper_is_no_failure(loop: Loop) -> None:
    async def helper() -> None:
        await loop.sleep(60)

    async def main() -> None:
        task = loop.spawn("helper", helper())
        loop.cancel(task)
        assert await loop.join(task)

    run(loop, main())


# --- the pump ---


def test_pump_gets_the_nearest_deadline(loop: Loop) -> None:
    pump = FakePump()

    async def beside() -> None:
        await loop.sleep(SOON_S)

    async def main() -> None:
        loop.spawn("beside", beside())
        assert await loop.pump(pump, now_s() + 2 * SOON_S) == 0

    run(loop, main())
    assert 0 < pump.timeouts[0] <= SOON_S * 1000 + 1
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
    assert time.monotonic() - before_s < 1
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
