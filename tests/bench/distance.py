"""The distance table: what is left of a wire that is long, narrow or lossy.

One cell is one wire (round trip, loss, bottleneck, its buffer) and one client on it: the rate
of one TCP stream each way, and the ping of the tunnel beside it. "no VPN" is the same stream
beside the tunnel. Congestion control is set for every socket of both ends by their routes
(outside) and by iperf3 (inside), since hosts differ.
"""

from __future__ import annotations

import contextlib
import statistics
from typing import TYPE_CHECKING, NamedTuple

from bench import clients, probes
from lab import iperf
from lab.dhcp import Dnsmasq
from lab.process import cpu_s
from lab.server import LAN_IP, SoftEther
from lab.topology import SERVER_IP, Namespace, Topology
from lab.wire import bdp_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_VPN = "no VPN"
PING_S = 0.02


class Line(NamedTuple):
    """A wire's properties; `buffer_bdp` is the bottleneck's queue in bandwidth-delay products."""

    rtt_ms: float = 0.0
    loss: float = 0.0
    rate_mbit: float = 0.0
    buffer_bdp: float = 1.0

    def buffer_bytes(self) -> int:
        """Return the bottleneck's queue; at least a few frames, also without any delay."""
        return max(15_000, round(self.buffer_bdp * bdp_bytes(self.rate_mbit, self.rtt_ms)))


class Cell(NamedTuple):
    """What one client made of one wire, in one direction."""

    mbit_per_s: float
    cpu_s_per_gb: float
    ping_median_ms: float
    ping_p99_ms: float
    retransmits: int
    full: int  # frames that the bottleneck's queue dropped


class Place:
    """A server behind a wire, with its LAN; a context manager."""

    def __init__(self, congestion: str = "cubic") -> None:
        self.congestion = congestion
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Place:
        enter = self._stack.enter_context
        try:
            self.topology = enter(Topology(wire=True))
            for namespace in (self.topology.client, self.topology.server):
                self._congestion(namespace)
            self.server = enter(SoftEther(self.topology.server))
            enter(Dnsmasq(self.topology.server))
            for address in (LAN_IP, SERVER_IP):
                enter(iperf.IperfServer(self.topology.server, address))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _congestion(self, namespace: Namespace) -> None:
        for route in namespace.ip("route", "show"):
            words = f"{route['dst']} dev {route['dev']} scope link"
            if "prefsrc" in route:
                words += f" src {route['prefsrc']}"
            namespace.run("ip", "route", "replace", *words.split(), "congctl", self.congestion)

    def set(self, line: Line) -> None:
        """Change the wire, also under a session."""
        self.topology.wire.set(
            rtt_ms=line.rtt_ms,
            loss=line.loss,
            rate_mbit=line.rate_mbit,
            buffer_bytes=line.buffer_bytes(),
        )

    @contextlib.contextmanager
    def client(self, name: str) -> Iterator[clients.Run | None]:
        """Connect one of the contestants; None for no VPN."""
        if name == NO_VPN:
            yield None
            return
        with clients.CONTESTANTS[name](self.topology.client) as run:
            yield run

    def measure(self, run: clients.Run | None, *, down: bool, seconds: float) -> Cell:
        """Move one stream and ping beside it, both through the tunnel or both beside it."""
        host = self.topology.client
        target = LAN_IP if run else SERVER_IP
        before = self.topology.wire.counts()
        spent_s = cpu_s(run.pid) if run else 0.0
        count = max(10, round((seconds - 1) / PING_S))
        words = ("ping", "-n", "-D", "-c", str(count), "-i", str(PING_S), "-W", "5", target)
        pings = host.start(*words)
        result = iperf.measure(
            host, target, seconds=seconds, down=down, further=f"-C {self.congestion}"
        )
        pings.wait(20.0)
        if run:
            spent_s = cpu_s(run.pid) - spent_s
        after = self.topology.wire.counts()
        latency = probes.latency_of(pings.text(), count)
        return Cell(
            result.mbit_per_s,
            spent_s / max(result.bytes_moved, 1) * 1e9,
            latency.median_ms,
            latency.p99_ms,
            result.retransmits,
            sum(one.full for one in after) - sum(one.full for one in before),
        )


LINES = (
    Line(20.0),
    Line(80.0),
    Line(20.0, loss=0.001),
    Line(20.0, loss=0.01),
    Line(30.0, rate_mbit=50.0, buffer_bdp=4.0),
    Line(20.0, rate_mbit=100.0),
)
NAMES = (NO_VPN, clients.OFFICIAL_TCP, clients.SEVPN)
SECONDS = 8.0


def described(line: Line) -> str:
    """Return a wire in words: "20 ms, 1 % loss"."""
    words = [f"{line.rtt_ms:g} ms"]
    if line.loss:
        words.append(f"{line.loss * 100:g} % loss")
    if line.rate_mbit:
        words.append(f"{line.rate_mbit:g} Mbit/s, buffer {line.buffer_bdp:g} BDP")
    return ", ".join(words)


def main(runs: int) -> int:
    """Print the table: medians of `runs` runs of each cell, each in a session of its own."""
    with Place() as place:
        print(f"congestion control of both ends, outside and inside: {place.congestion}\n")
        print("| wire | " + " | ".join(NAMES) + " |")
        print("|---|" + "--:|" * len(NAMES))
        for line in LINES:
            row = [described(line)]
            for name in NAMES:
                cells = {down: [_cell(place, line, name, down) for _ in range(runs)]
                         for down in (False, True)}  # fmt: skip
                up, down = (
                    statistics.median(cell.mbit_per_s for cell in cells[way])
                    for way in (False, True)
                )
                ping = statistics.median(cell.ping_median_ms for cell in cells[False])
                row.append(f"{up:.0f} / {down:.0f}, {ping:.0f} ms")
            print("| " + " | ".join(row) + " |", flush=True)
    print("\nMbit/s up / down of one TCP stream, and the ping's median beside the one up.")
    return 0


def _cell(place: Place, line: Line, name: str, down: bool) -> Cell:
    place.set(line)
    with place.client(name) as run:
        return place.measure(run, down=down, seconds=SECONDS)
