"""iperf3 between two namespaces, as numbers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from lab.process import LabError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from lab.process import Process
    from lab.topology import Namespace

PORT = 5201
FAREWELL_S = 0.2
BUSY_LIMIT_S = 10.0


class Result(NamedTuple):
    """What one run moved: at the receiver, without the first half second for TCP."""

    mbit_per_s: float
    bytes_moved: int
    lost_percent: float
    retransmits: int


class IperfServer:
    """iperf3 -s on an address of a namespace; a context manager."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        self.namespace = namespace
        self.address = address
        self.process: Process

    def __enter__(self) -> Self:
        self.process = self.namespace.start(
            "iperf3", "-s", "-B", self.address, "-p", str(PORT), "--forceflush"
        )
        self.process.wait_line("Server listening", 5.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()


def command(
    address: str, *, seconds: float, down: bool = False, amount: str = "", further: str = ""
) -> list[str]:
    """Return the client's command line; an `amount` ("8M") ends the run instead of the time."""
    end = f"-n {amount}" if amount else f"-t {seconds:g}"
    way = "-R" if down else ""
    return f"iperf3 -J -c {address} -p {PORT} {end} {way} {further}".split()


def parse(text: str) -> Result:
    """Return the numbers of `iperf3 -J` output; raises LabError with iperf3's complaint."""
    try:
        data: dict[str, Any] = json.loads(text)
    except ValueError:
        raise LabError(f"iperf3 printed: {text}") from None
    if "error" in data:
        raise LabError(f"iperf3: {data['error']}")
    end = data["end"]
    received = end.get("sum_received") or end["sum"]
    sent = end.get("sum_sent") or end["sum"]
    return Result(
        mbit_per_s=received["bits_per_second"] / 1e6,
        bytes_moved=int(received["bytes"]),
        lost_percent=float(end.get("sum", {}).get("lost_percent", 0.0)),
        retransmits=int(sent.get("retransmits", 0)),
    )


def measure(
    namespace: Namespace,
    address: str,
    *,
    seconds: float = 2.0,
    down: bool = False,
    amount: str = "",
    further: str = "",
) -> Result:
    """Run iperf3 in `namespace` against `address`; `down` = towards `namespace`."""
    argv = command(address, seconds=seconds, down=down, amount=amount, further=further)
    deadline_s = time.monotonic() + BUSY_LIMIT_S
    while True:
        done = namespace.run(*argv, check=False, timeout_s=seconds + 30)
        text = done.stdout or done.stderr
        # The server may still be at the end of the test before this one.
        if "server is busy" not in text or time.monotonic() > deadline_s:
            # The last words of its control connection are still on their way: a tunnel that
            # is taken down at once would leave the server waiting for them.
            time.sleep(FAREWELL_S)
            return parse(text)
        time.sleep(0.2)
