"""build/bench: measure the clients in alternating runs and print the tables."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench import clients, loadrun, probes, records, table
from bench.clients import CONTESTANTS, OFFICIAL_TCP, OFFICIAL_UDP, PLAIN, SEVPN
from lab import iperf
from lab.client import program
from lab.dhcp import GATEWAY, Dnsmasq
from lab.process import LabError
from lab.server import LAN_IP, SoftEther
from lab.topology import Topology
from sevpn.io.connect import NOTSENT_LOWAT_BYTES

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from lab.topology import Namespace

RUNS = 5
BULK_S = 2
FURTHER_S = 1
SMALL_S = 0.4
UDP_BYTES = 1400
UDP_RATE = 90_000  # datagrams a second: 1 Gbit/s
LOADED_PINGS = 400  # they take longer than a millisecond each
IDLE_S = {SEVPN: 25.0, OFFICIAL_TCP: 5.0}
BEGAN_S = time.monotonic()


def say(text: str) -> None:
    """Tell on stderr how far it is."""
    print(f"== {time.monotonic() - BEGAN_S:4.0f} s: {text}", file=sys.stderr, flush=True)


class Notes:
    """Collects one client's numbers: notes(metric=value, ...)."""

    def __init__(self, results: table.Results, client: str) -> None:
        self._metrics = results.setdefault(client, {})

    def __call__(self, **values: float | None) -> None:
        for metric, value in values.items():
            if value is not None:
                self._metrics.setdefault(metric, []).append(value)


def measure(run: clients.Run, server: Namespace, note: Notes) -> None:
    """Measure one connected client once."""
    idle = probes.ping(run)
    note(idle_median=idle.median_ms, idle_p99=idle.p99_ms)
    with probes.Watch(run) as memory:
        for way, down in (("up", False), ("down", True)):
            for kind, further, seconds in (("tcp1", "", BULK_S), ("tcp4", "-P 4", FURTHER_S)):
                moved = probes.transfer(run, seconds=seconds, down=down, further=further)
                note(**{f"{kind}_mbit_{way}": moved.mbit_per_s})
                note(**{f"{kind}_cpu_{way}": moved.cpu_s_per_gb})
            udp = probes.datagrams(run, server, UDP_RATE, UDP_BYTES, down=down, seconds=FURTHER_S)
            note(**{f"udp_mbit_{way}": udp.per_s * UDP_BYTES * 8 / 1e6})
            note(**{f"udp_cpu_{way}": udp.cpu_us / UDP_BYTES * 1e3})
            with probes.bulk(run, down=down):
                loaded = probes.ping(run, count=LOADED_PINGS)
            note(**{f"loaded_{way}_median": loaded.median_ms, f"loaded_{way}_p99": loaded.p99_ms})
            small = probes.small_packets(run, server, down=down, seconds=SMALL_S)
            note(**{f"small_k_{way}": small.per_s / 1e3, f"small_us_{way}": small.cpu_us})
    note(rss_mb=memory.rss_kb / 1e3, anon_mb=memory.anon_kb / 1e3)


def count(run: clients.Run, topology: Topology, note: Notes) -> None:
    """Count system calls and records: apart, since counting costs time."""
    for way, down in (("up", False), ("down", True)):
        note(**{f"calls_{way}": probes.calls_per_mb(run, down=down, seconds=FURTHER_S)})
        with probes.bulk(run, down=down):
            file = topology.scratch / "records.pcap"
            note(**{f"records_{way}": records.per_mb(topology.server, file, down=down)})
            file.unlink(missing_ok=True)


def compare(topology: Topology, results: table.Results, runs: int) -> None:
    """Measure all clients through the real server, in alternating order."""
    names = list(CONTESTANTS)
    with ExitStack() as stack:
        server = stack.enter_context(SoftEther(topology.server))
        stack.enter_context(Dnsmasq(topology.server, options=GATEWAY))
        stack.enter_context(iperf.IperfServer(topology.server, LAN_IP))
        for number in range(runs):
            # To and fro, so that what changes with time touches all of them alike.
            for name in names if number % 2 == 0 else reversed(names):
                if name in {PLAIN, OFFICIAL_UDP} and number % 2:
                    continue  # only to show: every second run is enough
                say(f"run {number + 1} of {runs}: {name}")
                note = Notes(results, name)
                with CONTESTANTS[name](topology.client) as run:
                    measure(run, server.namespace, note)
                    if number == 0:
                        count(run, topology, note)
                    if number == 0 and name == OFFICIAL_UDP:
                        # Its data goes by UDP: what records there are say nothing.
                        for way in ("up", "down"):
                            results[name].pop(f"records_{way}", None)


def load(topology: Topology, results: table.Results, runs: int) -> None:
    """Measure the clients against a peer that costs next to nothing.

    The yardstick is our client in the same set-up without what the fast path does: a TAP
    read or write and a TLS record for each frame, both ways.
    """
    names = (SEVPN, OFFICIAL_TCP, PLAIN)
    for number in range(runs):
        for name in names if number % 2 == 0 else reversed(names):
            say(f"load generator, run {number + 1} of {runs}: {name}")
            with loadrun.peer(topology, single=name == PLAIN) as peer:
                with _load_client(topology.client, name) as run:
                    _load_one(peer, run, Notes(results, name))


def _load_client(namespace: Namespace, name: str) -> contextlib.AbstractContextManager[clients.Run]:
    if name == OFFICIAL_TCP:
        return clients.official_client(
            namespace, udp=False, address=loadrun.OFFICIAL_IP, reach=loadrun.LAN_HOST
        )
    further = ["-no-offload"] if name == PLAIN else []
    return clients.sevpn(namespace, *further, reach=loadrun.LAN_HOST)


def _load_one(peer: loadrun.Peer, run: clients.Run, note: Notes) -> None:
    for way, down in (("up", False), ("down", True)):
        moved = loadrun.transfer(peer, run, down=down, seconds=FURTHER_S)
        note(**{f"load_mbit_{way}": moved.mbit_per_s})
        note(**{f"load_cpu_{way}": moved.cpu_s_per_gb})
        note(**{f"load_records_{way}": moved.records_per_mb})
        note(**{f"load_peer_{way}": moved.peer_cpu_share * 100})
    for way, down in (("up", False), ("down", True)):
        small = loadrun.small_packets(peer, run, down=down, seconds=SMALL_S)
        note(**{f"load_small_k_{way}": small.per_s / 1e3, f"load_small_us_{way}": small.cpu_us})
    many = loadrun.segmented_packets(peer, run, seconds=SMALL_S)
    note(load_many_k=many.per_s / 1e3, load_many_us=many.cpu_us)


def idle(topology: Topology, results: table.Results, quick: bool) -> None:
    """Count the wake-ups of sessions that have nothing to do."""
    with ExitStack() as stack:
        stack.enter_context(SoftEther(topology.server))
        stack.enter_context(Dnsmasq(topology.server, options=GATEWAY))
        for name, seconds in IDLE_S.items():
            say(f"idle: {name}")
            with CONTESTANTS[name](topology.client) as run:
                time.sleep(1.0)  # what follows a login is over
                found = clients.wakeups_per_minute(run.pid, seconds / 3 if quick else seconds)
                Notes(results, name)(wakeups=found)


def report(results: table.Results, runs: int) -> None:
    """Print the tables and the targets."""
    cores = os.cpu_count()
    words = f"{platform.machine()}, {cores} cores, Linux {platform.release().split('-')[0]}"
    words += f"; load at the end: {os.getloadavg()[0]:.1f}"
    print(f"\nMedians of {runs} alternating runs ({words})\n")
    if any("idle_median" in metrics for metrics in results.values()):
        print(table.main_table(results))
    if "load_mbit_up" in results.get(SEVPN, {}):
        print(f"\n{table.load_table(results)}")
    rate = table.median(results, SEVPN, "tcp1_mbit_up")
    # What may wait in the socket unsent, at the rate at which it leaves.
    send_buffer_ms = NOTSENT_LOWAT_BYTES * 8 / (rate * 1e3) if rate else 0.0
    print("\nTargets:\n")
    for target in table.targets(results, send_buffer_ms):
        print(target.line())


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the options; build/bench explains them."""
    parser = argparse.ArgumentParser(prog="build/bench", allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--binary", default="")
    parser.add_argument("--only", action="append", choices=["table", "load", "idle", "distance"])
    parser.add_argument("--correctness", type=float, metavar="GB", default=0.0)
    return parser.parse_args(argv)


def main() -> int:
    """Run what was asked for; return the exit code."""
    options = parse(sys.argv[1:])
    if options.binary:
        os.environ["SEVPN_BINARY"] = os.path.abspath(options.binary)
    say(f"sevpn is {' '.join(program())}")
    if options.correctness:
        from bench import correctness

        return correctness.main(options.correctness)
    runs = options.runs or (1 if options.quick else RUNS)
    if options.only == ["distance"]:
        from bench import distance

        return distance.main(options.runs or 1)
    results: table.Results = {}
    parts: dict[str, Callable[[Topology], None]] = {
        "table": lambda topology: compare(topology, results, runs),
        "load": lambda topology: load(topology, results, runs),
        "idle": lambda topology: idle(topology, results, options.quick),
    }
    with Topology(direct=True) as topology:
        for name in (one for one in options.only or parts if one in parts):
            parts[name](topology)
    say("done")
    report(results, runs)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as failure:
        print(f"error: {failure}", file=sys.stderr)
        for line in getattr(failure, "__notes__", []):
            print(line, file=sys.stderr)
        sys.exit(1)
