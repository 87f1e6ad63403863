"""Programs that are watched: their output as lines with times, waits with a limit, sure ends.

No bare sleeps: whoever waits names the condition and how long it may take.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import IO, Self, TypeVar

    T = TypeVar("T")

POLL_S = 0.02
# A shorter limit than this is a wish: a busy machine is no failure. Whoever wants to hold a time
# measures it.
PATIENCE_S = 20.0


class LabError(Exception):
    """The lab itself, or what is tried in it, did not do what was waited for."""


def wait_for(
    condition: Callable[[], T | None], timeout_s: float, what: str, poll_s: float = POLL_S
) -> T:
    """Return the first true value of `condition()`; raise LabError after `timeout_s`.

    A condition that reads something another program is about to make may raise OSError.
    """
    timeout_s = max(timeout_s, PATIENCE_S)
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = None
        with contextlib.suppress(OSError):
            value = condition()
        if value:
            return value
        if time.monotonic() > deadline_s:
            raise LabError(f"waited {timeout_s:g} s for {what}")
        time.sleep(poll_s)


class Line(NamedTuple):
    """One line of output: when it was read (monotonic seconds), from which stream."""

    at_s: float
    stream: str
    text: str


class Process:
    """A running program in a process group of its own; all its output is kept as `lines`."""

    def __init__(self, argv: Sequence[str], env: dict[str, str] | None = None) -> None:
        self.argv = list(argv)
        self.started_s = time.monotonic()
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self._popen = subprocess.Popen(
            self.argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,
        )
        self.pid = self._popen.pid
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("out", self._popen.stdout), ("err", self._popen.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: IO[str]) -> None:
        with stream:
            for text in stream:
                line = Line(time.monotonic(), name, text.rstrip("\n"))
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def text(self, stream: str = "") -> str:
        """Return what was printed so far, by default on both streams."""
        with self._changed:
            return "\n".join(line.text for line in self.lines if stream in line.stream)

    def mark(self) -> int:
        """Return a place in the output, for `wait_line(after=...)`."""
        with self._changed:
            return len(self.lines)

    def wait_line(self, pattern: str, timeout_s: float = 10.0, after: int = 0) -> re.Match[str]:
        """Return the match of the first line (from place `after` on) that has `pattern`.

        Raises LabError when time is up or the program ended without such a line.
        """
        deadline_s = time.monotonic() + max(timeout_s, PATIENCE_S)
        position = after
        with self._changed:
            while True:
                while position < len(self.lines):
                    found = re.search(pattern, self.lines[position].text)
                    if found:
                        return found
                    position += 1
                left_s = deadline_s - time.monotonic()
                ended = not any(reader.is_alive() for reader in self._readers)
                if ended or left_s <= 0:
                    reason = "it ended" if ended else f"{timeout_s:g} s passed"
                    break
                self._changed.wait(min(left_s, 0.2))
        raise LabError(f"no line /{pattern}/ ({reason}) from {self.describe()}")

    def wait(self, timeout_s: float = 10.0) -> int:
        """Return the exit code once it has ended and all its output is read."""
        try:
            code = self._popen.wait(max(timeout_s, PATIENCE_S))
        except subprocess.TimeoutExpired:
            raise LabError(f"still running after {timeout_s:g} s: {self.describe()}") from None
        for reader in self._readers:
            reader.join(1.0)
        return code

    def signal(self, number: int) -> None:
        """Send a signal to the program itself."""
        self._popen.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the program and its children, as a terminal does."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """End the whole process group at once; fine when it is gone already."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5.0)

    def stop(self, timeout_s: float = 5.0) -> int:
        """Ask by SIGTERM, then make sure; return the exit code."""
        if self.exit_code is None:
            self.signal(signal.SIGTERM)
        with contextlib.suppress(LabError):
            self.wait(timeout_s)
        self.kill()
        return self.wait(5.0)

    def describe(self) -> str:
        """Return the command and the end of its output, for messages."""
        tail = "\n  ".join(line.text for line in self.lines[-40:])
        return f"{' '.join(self.argv)} (exit {self.exit_code}):\n  {tail}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def status_kb(pid: int | str, proc: Path | str = "/proc") -> dict[str, int]:
    """Return the kB figures of /proc/PID/status: VmRSS, RssAnon, VmHWM, ..."""
    with open(f"{proc}/{pid}/status", encoding="ascii", errors="replace") as file:
        found = re.findall(r"^(\w+):\s+(\d+) kB$", file.read(), re.MULTILINE)
    return {name: int(value) for name, value in found}


def cpu_s(pid: int | str) -> float:
    """Return the user and system time a process has used so far, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
