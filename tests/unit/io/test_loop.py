"""The event loop: tasks, deadlines, cancelling, joining, the pump, and signals."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sevpn.io.loop import Cancelled, Loop, Task, now_s

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
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
