"""Against a peer that is not the bottleneck: build/loadpeer, which also counts exactly."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import probes
from lab.compiled import compiled
from lab.process import cpu_s
from lab.topology import SERVER_IP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench import clients
    from lab.process import Process
    from lab.topology import Topology

ROOT = Path(__file__).resolve().parents[2]
LAN_HOST, LAN_MAC = "10.99.0.1", "5e:99:00:00:00:01"
OFFICIAL_IP = "10.99.0.3"  # beside the address that DHCP gives there
DISCARD, CHARGEN = 9, 19

# Runs in the client's namespace: one TCP stream for some seconds; prints the bytes moved.
_STREAM = """
import socket, sys, time
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
s = socket.create_connection((address, port), 5)
moved, buffer, end = 0, bytearray(1 << 18), time.monotonic() + seconds
began = time.monotonic()
while time.monotonic() < end:
    moved += s.send(buffer) if port == 9 else s.recv_into(buffer)
print(moved, time.monotonic() - began)
"""


class Load(NamedTuple):
    """One transfer: rate, the client's CPU, TLS records and frames for each MB of payload."""

    mbit_per_s: float
    cpu_s_per_gb: float
    records_per_mb: float
    peer_cpu_share: float


class Peer:
    """The running load generator."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def counts(self) -> dict[str, Any]:
        """Return its counters as of now."""
        mark = self.process.mark()
        # nsenter and setpriv execute it in their place, so the signal reaches it.
        self.process.signal(signal.SIGUSR1)
        found = self.process.wait_line(r"^\{.*\}$", 3.0, mark)
        counts: dict[str, Any] = json.loads(found[0])
        return counts


@contextlib.contextmanager
def peer(topology: Topology, *, single: bool = False) -> Iterator[Peer]:
    """Compile and start the load generator in the server's place.

    `single`: it sends each frame as a TLS record of its own.
    """
    program = subprocess.run(
        [str(ROOT / "build/loadpeer/make")], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    key, certificate = topology.scratch / "load.key", topology.scratch / "load.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=load"),
        ],
        check=True,
        capture_output=True,
    )
    with topology.server.start(
        *(program, "-cert", str(certificate), "-key", str(key)),
        *("-listen", SERVER_IP, "-port", "443", *(["-single"] if single else [])),
    ) as process:
        process.wait_line("^ready$", 5.0)
        yield Peer(process)


def transfer(load: Peer, run: clients.Run, *, down: bool, seconds: float) -> Load:
    """Move data as fast as it goes; the peer's TCP has no sockets and no copies."""
    before, before_s = load.counts(), cpu_s(run.pid)
    port = CHARGEN if down else DISCARD
    done = run.namespace.run("python3", "-c", _STREAM, LAN_HOST, str(port), str(seconds))
    spent_s, after = cpu_s(run.pid) - before_s, load.counts()
    moved, took_s = float(done.stdout.split()[0]), float(done.stdout.split()[1])
    way = "out" if down else "in"
    return Load(
        moved * 8 / took_s / 1e6,
        spent_s / moved * 1e9,
        (after[f"records_{way}"] - before[f"records_{way}"]) / moved * 1e6,
        (after["cpu_s"] - before["cpu_s"]) / took_s,
    )


# Offered in turn, datagrams a second; 0 = as fast as it goes. What counts is the most that
# came through: who is offered more than he can take may deliver less.
SMALL_RATES = (200_000, 300_000, 400_000, 600_000, 900_000, 0)


# The same of a sender that hands the kernel many datagrams at once: it is no limit.
SEGMENT_RATES = (600_000, 1_200_000, 2_400_000, 5_000_000)


def segmented_packets(load: Peer, run: clients.Run, *, seconds: float) -> probes.Datagrams:
    """Return the most 64-byte datagrams a second upwards from a sender with UDP_SEGMENT."""
    words = (LAN_HOST, str(DISCARD), str(probes.SMALL_BYTES))
    return max(
        _sent(load, run, ("segments", *words, str(rate), str(seconds)), seconds)
        for rate in SEGMENT_RATES
    )


def small_packets(load: Peer, run: clients.Run, *, down: bool, seconds: float) -> probes.Datagrams:
    """Return the most 64-byte datagrams a second that came through."""
    once = _small_down if down else _small_up
    return max(once(load, run, rate, seconds) for rate in SMALL_RATES)


def _small_up(load: Peer, run: clients.Run, rate: int, seconds: float) -> probes.Datagrams:
    # From below the host's IP, which would take a core for 500,000 datagrams a second.
    words = (run.tap, LAN_MAC, LAN_HOST, DISCARD, probes.SMALL_BYTES, rate, seconds)
    return _sent(load, run, ("frames", *map(str, words)), seconds)


def _sent(load: Peer, run: clients.Run, words: tuple[str, ...], seconds: float) -> probes.Datagrams:
    before, before_s = load.counts()["udp_in"], cpu_s(run.pid)
    run.namespace.run(compiled(probes.UDPLOAD), *words)
    count = load.counts()["udp_in"] - before
    return _figures(count, seconds, cpu_s(run.pid) - before_s)


def _small_down(load: Peer, run: clients.Run, rate: int, seconds: float) -> probes.Datagrams:
    del load
    before_s = cpu_s(run.pid)
    words = (LAN_HOST, str(CHARGEN), str(probes.SMALL_BYTES), str(rate), str(seconds))
    done = run.namespace.run(compiled(probes.UDPLOAD), "ask", *words)
    found = re.search(r"^(\d+) ([\d.]+)$", done.stdout, re.MULTILINE)
    count, took_ms = (int(found[1]), float(found[2])) if found else (0, 0.0)
    return _figures(count, max(took_ms / 1e3, seconds), cpu_s(run.pid) - before_s)


def _figures(count: int, seconds: float, spent_s: float) -> probes.Datagrams:
    return probes.Datagrams(count / seconds, spent_s / max(count, 1) * 1e6)
