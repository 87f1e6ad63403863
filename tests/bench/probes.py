"""What is measured of one connected client: throughput, CPU, latency, small packets, calls."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from lab import iperf
from lab.compiled import compiled
from lab.process import LabError, cpu_s
from lab.server import LAN_IP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.clients import Run
    from lab.topology import Namespace

UDPLOAD = "tests/bench/udpload.c"
SMALL_BYTES = 64
UDP_PORT = 5300
# Offered in turn; what counts is the most that ever came through. 0 = as fast as it goes.
SMALL_RATES = (140_000, 200_000, 260_000, 0)
PINGS = 1000


class Transfer(NamedTuple):
    """One bulk transfer: rate at the receiver, and what the client's process paid for it."""

    mbit_per_s: float
    cpu_s_per_gb: float


def transfer(
    run: Run, *, seconds: int, down: bool, further: str = "", target: str = LAN_IP
) -> Transfer:
    """Move data by iperf3 for whole seconds. A GB is 10^9 bytes of payload."""
    before_s = cpu_s(run.pid)
    result = iperf.measure(run.namespace, target, seconds=seconds, down=down, further=further)
    spent_s = cpu_s(run.pid) - before_s
    return Transfer(result.mbit_per_s, spent_s / max(result.bytes_moved, 1) * 1e9)


@contextlib.contextmanager
def bulk(run: Run, *, down: bool, target: str = LAN_IP, warm_up_s: float = 0.4) -> Iterator[None]:
    """Load the tunnel with one TCP stream for as long as the block lasts."""
    client = run.namespace.start(*iperf.command(target, seconds=60, down=down))
    try:
        time.sleep(warm_up_s)
        if client.exit_code is not None:
            raise LabError(client.describe())
        yield
    finally:
        client.signal(signal.SIGINT)
        with contextlib.suppress(LabError):
            client.wait(3.0)
        client.kill()


class Latency(NamedTuple):
    """Round-trip times in milliseconds, and the pings without an answer in percent."""

    median_ms: float
    p99_ms: float
    lost_percent: float


def ping(run: Run, target: str = LAN_IP, count: int = PINGS) -> Latency:
    """Ping once a millisecond."""
    done = run.namespace.run(
        *("ping", "-n", "-i", "0.001", "-c", str(count), "-W", "1", target), check=False
    )
    return latency_of(done.stdout, count)


def latency_of(output: str, count: int) -> Latency:
    """Return the figures of ping's output; raises LabError when nothing came back."""
    times_ms = sorted(float(x) for x in re.findall(r"time=([\d.]+)", output))
    if not times_ms:
        raise LabError(f"no ping came back: {output[-300:]}")
    return Latency(
        times_ms[len(times_ms) // 2],
        times_ms[min(len(times_ms) - 1, len(times_ms) * 99 // 100)],
        100 * (1 - len(times_ms) / count),
    )


class Datagrams(NamedTuple):
    """UDP: how many datagrams came through each second, and the client's CPU for each."""

    per_s: float
    cpu_us: float


def small_packets(run: Run, server: Namespace, *, down: bool, seconds: float) -> Datagrams:
    """Return the most 64-byte datagrams a second that came through at any offered rate."""
    return max(
        datagrams(run, server, rate, SMALL_BYTES, down=down, seconds=seconds)
        for rate in SMALL_RATES
    )


def datagrams(
    run: Run, server: Namespace, rate: int, size: int, *, down: bool, seconds: float
) -> Datagrams:
    """Offer `rate` datagrams of `size` bytes each second (0 = as fast as it goes)."""
    program = compiled(UDPLOAD)
    source, sink = (server, run.namespace) if down else (run.namespace, server)
    target = run.address if down else LAN_IP
    before_s = cpu_s(run.pid)
    with sink.start(program, "recv", str(UDP_PORT), str(seconds + 2)) as receiver:
        receiver.wait_line("^ready$", 5.0)
        source.run(program, "send", target, str(UDP_PORT), str(size), str(rate), str(seconds))
        found = receiver.wait_line(r"^(\d+) ([\d.]+)$", seconds + 5)
    count, took_ms = int(found[1]), max(float(found[2]), seconds * 1e3)
    return Datagrams(count / took_ms * 1e3, (cpu_s(run.pid) - before_s) / max(count, 1) * 1e6)


def drops(run: Run) -> int:
    """Return how many frames the TAP's queue has dropped so far (tx_dropped)."""
    path = f"/sys/class/net/{run.tap}/statistics/tx_dropped"
    return int(run.namespace.run("cat", path).stdout)


def calls_per_mb(run: Run, *, down: bool, seconds: int) -> float | None:
    """Return the client's system calls for each MB of payload; None without `perf`.

    Counted apart from the timed runs, because counting costs time.
    """
    if shutil.which("perf") is None:
        return None
    counter = subprocess.Popen(
        [*("perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", str(run.pid))],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        time.sleep(0.2)
        moved = iperf.measure(run.namespace, LAN_IP, seconds=seconds, down=down).bytes_moved
    finally:
        counter.send_signal(signal.SIGINT)
        _, text = counter.communicate(timeout=10)
    found = re.search(r"^(\d+),", text, re.MULTILINE)
    return int(found[1]) / moved * 1e6 if found else None


class Watch:
    """The highest memory of a process while something runs: `.rss_kb`, `.anon_kb`."""

    def __init__(self, run: Run, interval_s: float = 0.25) -> None:
        self.run = run
        self.interval_s = interval_s
        self.rss_kb = self.anon_kb = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while True:
            with contextlib.suppress(OSError, KeyError):
                rss_kb, anon_kb = self.run.memory_kb()
                self.rss_kb, self.anon_kb = max(rss_kb, self.rss_kb), max(anon_kb, self.anon_kb)
            if self._end.wait(self.interval_s):
                return

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
