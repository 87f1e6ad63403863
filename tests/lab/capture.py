"""What really goes over a wire: tcpdump into a file and tshark to ask it questions, or live."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from lab.process import LabError, wait_for

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from lab.process import Process
    from lab.topology import Namespace


_CHECKSUMS = [
    part for protocol in ("ip", "tcp", "udp") for part in ("-o", f"{protocol}.check_checksum:TRUE")
]


class Capture:
    """tcpdump on an interface for the time of a `with` block; `file` is there afterwards."""

    def __init__(self, namespace: Namespace, interface: str, file: Path, filter_: str = "") -> None:
        self.namespace = namespace
        self.interface = interface
        self.file = file
        self.filter = filter_
        self.process: Process

    def __enter__(self) -> Self:
        self.process = self.namespace.start(
            *(
                "tcpdump",
                "-n",
                "-U",
                "--immediate-mode",
                "-B",
                "65536",
                "-Z",
                "root",
                "-i",
                self.interface,
            ),
            *("-w", str(self.file), *self.filter.split()),
        )
        self.process.wait_line("listening on", 5.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.signal(signal.SIGINT)
        self.process.wait(5.0)

    def rows(self, filter_: str, *fields: str) -> list[list[str]]:
        """Return the named fields of every packet that tshark's display filter lets through."""
        columns = [part for field in fields for part in ("-e", field)]
        done = subprocess.run(
            [
                "tshark",
                "-n",
                *_CHECKSUMS,
                "-r",
                str(self.file),
                "-Y",
                filter_,
                "-T",
                "fields",
                *columns,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and "cut short" not in done.stderr:
            raise LabError(f"tshark: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def wait_rows(self, filter_: str, *fields: str, timeout_s: float = 5.0) -> list[list[str]]:
        """Return the rows as soon as there are any, also while capturing."""
        return wait_for(
            lambda: self.rows(filter_, *fields), timeout_s, f"packets of {filter_}", 0.3
        )


class Watch:
    """tcpdump on an interface that prints: wait for a packet while something runs."""

    def __init__(self, namespace: Namespace, interface: str, filter_: str = "") -> None:
        self.namespace = namespace
        self.interface = interface
        self.filter = filter_
        self.process: Process

    def __enter__(self) -> Self:
        self.process = self.namespace.start(
            *("tcpdump", "-n", "-l", "--immediate-mode", "-Z", "root", "-i", self.interface),
            *self.filter.split(),
        )
        self.process.wait_line("listening on", 5.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()

    def wait(self, pattern: str = r"^\d\d:", timeout_s: float = 10.0) -> str:
        """Return the first printed packet with `pattern` in it."""
        return self.process.wait_line(pattern, timeout_s).string

    def count(self) -> int:
        """Return how many packets were printed so far."""
        return len(self.process.text("out").splitlines())
