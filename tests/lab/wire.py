"""A wire with a length: delay, loss by a seed, a bottleneck with a bounded queue."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from lab.compiled import compiled
from lab.process import LabError

if TYPE_CHECKING:
    from pathlib import Path

MTU_BYTES = 1500


class Count(NamedTuple):
    """What one direction did with its frames."""

    passed: int
    lost: int
    full: int  # dropped by the bottleneck's queue


def bdp_bytes(rate_mbit: float, rtt_ms: float) -> int:
    """Return what is under way when a path is full: its rate times its round trip."""
    return round(rate_mbit * 1e6 / 8 * rtt_ms / 1e3)


class Wire:
    """The interface `name` in both namespaces, joined by wire.c; without delay at first."""

    def __init__(self, first: Path, second: Path, name: str) -> None:
        self._popen = subprocess.Popen(
            [compiled("tests/lab/wire.c"), str(first), str(second), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip
        self._expect("ready")

    def _line(self) -> str:
        assert self._popen.stdout
        line = self._popen.stdout.readline().strip()
        if not line:
            raise LabError(f"the wire ended with {self._popen.wait()}")
        return line

    def _expect(self, wanted: str) -> None:
        if (line := self._line()) != wanted:
            raise LabError(f"the wire says {line!r} instead of {wanted!r}")

    def _command(self, line: str) -> None:
        assert self._popen.stdin
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def set(
        self,
        *,
        rtt_ms: float = 0.0,
        loss: float = 0.0,
        rate_mbit: float = 0.0,
        buffer_bytes: int = 0,
    ) -> None:
        """Change both directions, also under traffic; a rate of 0 is no bottleneck."""
        numbers = (rtt_ms * 500, loss * 1e6, rate_mbit * 1000, buffer_bytes)
        self._command("set " + " ".join(str(round(number)) for number in numbers))
        self._expect("set")

    def counts(self) -> tuple[Count, Count]:
        """Return what went from the first to the second namespace, and back."""
        self._command("count")
        numbers = [int(word) for word in self._line().split()]
        return Count(*numbers[:3]), Count(*numbers[3:])

    def close(self) -> None:
        """Take the wire away, and the interfaces with it."""
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream:
                stream.close()
