"""How long nothing came through: answers to pings, and a TCP stream at its receiver."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import time
from typing import TYPE_CHECKING, Any

from lab.iperf import PORT, command
from lab.process import wait_for
from lab.server import FAR_IP, LAN_IP

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lab.process import Process
    from lab.topology import Namespace, Topology

INTERVAL_S = 0.05


class Pings:
    """Echo requests through the tunnel for the time of a `with` block."""

    def __init__(self, host: Namespace, address: str = LAN_IP) -> None:
        self._host = host
        self._address = address
        self._process: Process

    def __enter__(self) -> Self:
        self._process = self._host.start("ping", "-n", "-D", "-i", str(INTERVAL_S), self._address)
        self._process.wait_line("icmp_seq=", 5.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.signal(signal.SIGINT)
        self._process.wait(5.0)

    def answers(self) -> list[float]:
        """Return when answers came."""
        found = re.findall(r"^\[([\d.]+)\] \d+ bytes", self._process.text("out"), re.MULTILINE)
        return [float(at) for at in found]

    def wait_answer(self, timeout_s: float = 30.0) -> float:
        """Wait until answers come again; return the seconds that took."""
        began_s = time.monotonic()
        count = len(self.answers())
        wait_for(lambda: len(self.answers()) > count + 1, timeout_s, "answers through the tunnel")
        return time.monotonic() - began_s

    def outage_s(self) -> float:
        """Return the longest time without an answer."""
        times = [*self.answers(), time.time()]
        return max(b - a for a, b in itertools.pairwise(times))


class Stream:
    """An iperf3 TCP stream over the tunnel, watched at its receiver."""

    def __init__(self, topology: Topology, *, down: bool, seconds: float) -> None:
        self._topology = topology
        self._down = down
        self._seconds = seconds
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        server = self._topology.server.start(
            *("iperf3", "-s", "-1", "-J", "-i", "0.1", "-B", FAR_IP, "-p", str(PORT))
        )
        self._stack.callback(server.kill)
        wait_for(
            lambda: f"{FAR_IP}:{PORT}" in self._topology.server.run("ss", "-Hltn").stdout,
            5.0,
            "iperf3",
        )
        client = self._topology.client.start(
            *command(FAR_IP, seconds=self._seconds, down=self._down, further="-i 0.1 -b 200M")
        )
        self._stack.callback(client.kill)
        self._client = client
        self._receiver = client if self._down else server
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def outage_s(self) -> float:
        """Wait for the end; return the longest time in which nothing was received."""
        self._client.wait(self._seconds + 30)
        self._receiver.wait(10.0)
        data: dict[str, Any] = json.loads(self._receiver.text("out"))
        assert "error" not in data, data["error"]
        longest_s = silent_s = 0.0
        for interval in data["intervals"]:
            seconds = float(interval["sum"]["seconds"])
            silent_s = 0.0 if interval["sum"]["bytes"] else silent_s + seconds
            longest_s = max(longest_s, silent_s)
        return longest_s
