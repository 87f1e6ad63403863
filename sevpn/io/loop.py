"""A single-threaded epoll loop that runs coroutines: no threads, no asyncio.

Layer 2. The loop knows descriptors, deadlines and one *pump*, no protocols. A task is a
native coroutine that awaits one thing at a time:

    await loop.readable(fd, deadline_s)   -> True, or False when the deadline passed
    await loop.sleep_until(deadline_s)
    await loop.pump(bridge, deadline_s)   -> the bridge's reason bits (0 = the deadline)

`cancel(task)` raises Cancelled at the task's await, so that its `finally` blocks undo what
it did; those may await again. While a pump is awaited the pump's own C loop is the one
that sleeps: the loop's epoll descriptor is nested in it, so nothing is missed.

Times are seconds since boot, suspended time included: what ran out while the machine slept
has run out when it wakes.
"""

import posix
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any, Protocol

    class Pump(Protocol):
        """What the tunnel's bridge offers to the loop."""

        def run(self, wake_fd: int, timeout_ms: int) -> int:
            """Move frames until something else needs attention; return reason bits."""


MAX_SLEEP_S = 3600.0
PUMP_WAKE = 1  # the pump's reason bit for "the nested epoll descriptor is readable"


def now_s() -> float:
    """Return the seconds since boot, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Cancelled(BaseException):
    """Raised at a task's await when it is to end; not an error of anybody."""


class Wait:
    """One thing a task waits for; awaiting it gives the result."""

    __slots__ = ("deadline_s", "fd", "is_pokable", "mask", "pump")

    def __init__(
        self,
        fd: int,
        mask: int,
        deadline_s: float | None,
        pump: "Pump | None",
        is_pokable: bool = False,
    ) -> None:
        self.fd = fd
        self.mask = mask
        self.deadline_s = deadline_s
        self.pump = pump
        self.is_pokable = is_pokable  # poke() ends it early

    def __await__(self) -> "Generator[Wait, int, int]":
        return (yield self)


class Task:
    """A coroutine on its way, what it waits for, and how it ended."""

    __slots__ = (
        "cancelled",
        "coro",
        "done",
        "error",
        "joiners",
        "name",
        "pending",
        "started",
        "wait",
    )

    def __init__(self, name: str, coro: "Coroutine[Wait, int, object]") -> None:
        self.name = name
        self.coro = coro
        self.wait: Wait | None = None
        self.started = False
        self.done = False
        self.cancelled = False  # asked to end
        self.pending: BaseException | None = None  # to be raised at the next step
        self.error: BaseException | None = None
        self.joiners: list[Task] = []  # tasks that wait for this one's end


class Loop:
    """Tasks, watched descriptors and signals over one epoll descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watchers: dict[int, Callable[[], None]] = {}
        self._waiting: dict[int, Task] = {}
        self._tasks: list[Task] = []
        self._current: Task | None = None
        self._failure: BaseException | None = None  # of a watcher or a task beside

    def close(self) -> None:
        """Close the loop's own descriptor; tasks must have ended."""
        self._epoll.close()

    # --- for tasks ---

    async def readable(self, fd: int, deadline_s: float | None = None) -> bool:
        """Wait until `fd` can be read or has failed; False when the deadline passed."""
        return await Wait(fd, select.EPOLLIN, deadline_s, None) != 0

    async def writable(self, fd: int, deadline_s: float | None = None) -> bool:
        """Wait until `fd` can be written or has failed; False when the deadline passed."""
        return await Wait(fd, select.EPOLLOUT, deadline_s, None) != 0

    async def sleep_until(self, deadline_s: float) -> None:
        """Wait until the clock shows `deadline_s`."""
        await Wait(-1, 0, deadline_s, None)

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        await Wait(-1, 0, now_s() + seconds, None)

    async def doze(self, deadline_s: float) -> bool:
        """Wait until `deadline_s`; True when somebody poked before."""
        return await Wait(-1, 0, deadline_s, None, True) != 0

    async def pump(self, pump: "Pump", deadline_s: float | None) -> int:
        """Let `pump` move frames; return its reason bits.

        0 when the deadline passed, PUMP_WAKE when somebody poked.
        """
        return await Wait(-1, 0, deadline_s, pump, True)

    async def join(
        self, task: Task, deadline_s: float | None = None, is_pokable: bool = False
    ) -> bool:
        """Wait for the end of another task; False when the deadline (or a poke) came first."""
        joiner = self._current
        if not task.done and joiner is not None:
            task.joiners.append(joiner)
            try:
                await Wait(-1, 0, deadline_s, None, is_pokable)
            finally:
                # Left by a deadline or cancelled: the end must not disturb a later wait.
                if joiner in task.joiners:
                    task.joiners.remove(joiner)
        return task.done

    @property
    def current(self) -> Task | None:
        """The task that runs now; None outside of tasks."""
        return self._current

    # --- for everybody ---

    def watch(self, fd: int, callback: "Callable[[], None]") -> None:
        """Call `callback` whenever `fd` is readable, until unwatch()."""
        self._watchers[fd] = callback
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Stop watching `fd`; no harm when it is not watched."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def spawn(self, name: str, coro: "Coroutine[Any, Any, object]") -> Task:
        """Start a task; it runs to its first await before this returns."""
        task = Task(name, coro)
        self._tasks.append(task)
        self._step(task, 0)
        return task

    def cancel(self, task: Task) -> None:
        """Ask a task to end, once: later calls do not disturb its undoing."""
        if task.done or task.cancelled:
            return
        task.cancelled = True
        task.pending = Cancelled()
        self._forget_wait(task)

    def shield(self) -> None:
        """Let no cancel() reach the running task any more: it undoes what it did."""
        if self._current is not None:
            self._current.cancelled = True

    def poke(self, task: Task) -> None:
        """End the pump, doze or join that a task is in: it has something to look at."""
        if task.wait is not None and task.wait.is_pokable:
            self._resume(task, PUMP_WAKE)

    def run(self, task: Task) -> None:
        """Turn the loop until `task` is done, then raise what it ended with, if anything.

        When another task or a watcher fails, `task` is cancelled, so that it undoes what it
        did, and then the failure is raised.
        """
        self._failure = None
        while not task.done:
            self._turn()
            for other in self._tasks:
                if other is task or other.error is None or isinstance(other.error, Cancelled):
                    continue
                self._failure = self._failure or other.error
            if self._failure is not None:
                self.cancel(task)
            self._tasks = [t for t in self._tasks if not t.done]
        failure = self._failure or task.error
        if failure is not None and not isinstance(failure, Cancelled):
            raise failure

    # --- inside ---

    def _turn(self) -> None:
        for task in [t for t in self._tasks if t.pending is not None]:
            self._step(task, 0)
        if any(t.done or t.pending is not None for t in self._tasks):
            return
        for fd, mask in self._sleep():
            waiting = self._waiting.get(fd)
            if waiting is not None:
                self._resume(waiting, mask)
                continue
            callback = self._watchers.get(fd)
            if callback is not None:
                self._call(callback)
        current = now_s()
        for task in list(self._tasks):
            wait = task.wait
            if wait is not None and wait.deadline_s is not None and wait.deadline_s <= current:
                self._resume(task, 0)

    def _call(self, callback: "Callable[[], None]") -> None:
        """Call a watcher; what it raises ends the run as a failed task does."""
        try:
            callback()
        except Exception as error:
            self._failure = self._failure or error

    def _sleep(self) -> list[tuple[int, int]]:
        """Sleep until something is due, in the pump if a task has one; return the events."""
        waits = [t.wait for t in self._tasks if t.wait is not None]
        timeout_s = -1.0
        due = [w.deadline_s for w in waits if w.deadline_s is not None]
        if due:
            # A flag may ask for centuries; epoll counts milliseconds in an int.
            timeout_s = min(MAX_SLEEP_S, max(0.0, min(due) - now_s()))
        for task in self._tasks:
            if task.wait is not None and task.wait.pump is not None:
                return self._run_pump(task, task.wait.pump, timeout_s)
        return self._epoll.poll(timeout_s)

    def _run_pump(self, task: Task, pump: "Pump", timeout_s: float) -> list[tuple[int, int]]:
        timeout_ms = -1 if timeout_s < 0 else int(timeout_s * 1000) + 1
        reason = pump.run(self._epoll.fileno(), timeout_ms)
        events = self._epoll.poll(0) if reason & PUMP_WAKE else []
        if reason & ~PUMP_WAKE:
            self._resume(task, reason & ~PUMP_WAKE)
        return events

    def _resume(self, task: Task, result: int) -> None:
        self._forget_wait(task)
        self._step(task, result)

    def _forget_wait(self, task: Task) -> None:
        wait = task.wait
        task.wait = None
        if wait is not None and wait.fd >= 0:
            del self._waiting[wait.fd]
            try:
                self._epoll.unregister(wait.fd)
            except OSError:
                pass  # closed meanwhile: epoll has forgotten it already

    def _step(self, task: Task, result: int) -> None:
        outer, self._current = self._current, task
        try:
            if task.pending is not None:
                error, task.pending = task.pending, None
                wait = task.coro.throw(error)
            elif task.started:
                wait = task.coro.send(result)
            else:
                task.started = True
                wait = next(task.coro.__await__())
        except StopIteration:
            task.done = True
        except Cancelled as error:
            task.done = True
            task.error = error
        except BaseException as error:
            task.done = True
            task.error = error
        else:
            task.wait = wait
            if wait.fd >= 0:
                self._waiting[wait.fd] = task
                self._epoll.register(wait.fd, wait.mask)
        finally:
            self._current = outer
        if task.done:
            joiners, task.joiners = task.joiners, []
            for joiner in joiners:
                if not joiner.done and joiner.wait is not None:
                    self._resume(joiner, 1)


class Wakeup:
    """A pipe that makes the loop turn; signal handlers write to it (set_wakeup_fd)."""

    def __init__(self, loop: Loop, callback: "Callable[[], None]") -> None:
        self._loop = loop
        self.read_fd, self.write_fd = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        self._callback = callback
        loop.watch(self.read_fd, self._drain)

    def _drain(self) -> None:
        try:
            posix.read(self.read_fd, 256)
        except BlockingIOError:
            pass
        self._callback()

    def close(self) -> None:
        """Unwatch and close both ends."""
        self._loop.unwatch(self.read_fd)
        posix.close(self.read_fd)
        posix.close(self.write_fd)
