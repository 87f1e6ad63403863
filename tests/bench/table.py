"""Medians, the table for the README, and how far the targets are."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

from bench.clients import OFFICIAL_TCP, OFFICIAL_UDP, PLAIN, SEVPN

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = "-"

# results[client][metric] = one number for each run in which it was measured
Results = dict[str, dict[str, list[float]]]


class Row(NamedTuple):
    """One line of the table: its title, the metrics it shows, and their format."""

    title: str
    metrics: tuple[str, ...]
    form: str


def _both(title: str, metric: str, form: str) -> list[Row]:
    return [Row(f"{title}, {way}", (f"{metric}_{way}",), form) for way in ("up", "down")]


ROWS = (
    *_both("TCP, Mbit/s", "tcp1_mbit", "{:,.0f}"),
    *_both("… CPU-s per GB", "tcp1_cpu", "{:.2f}"),
    *_both("4 TCP streams, Mbit/s", "tcp4_mbit", "{:,.0f}"),
    *_both("… CPU-s per GB", "tcp4_cpu", "{:.2f}"),
    *_both("UDP, 1400 bytes, 1 Gbit/s offered: Mbit/s delivered", "udp_mbit", "{:,.0f}"),
    *_both("… CPU-s per GB", "udp_cpu", "{:.2f}"),
    *_both("UDP, 64 bytes: thousand packets/s delivered", "small_k", "{:,.0f}"),
    *_both("… CPU-µs per packet", "small_us", "{:.1f}"),
    Row("ping, idle: median / 99 % (ms)", ("idle_median", "idle_p99"), "{:.2f} / {:.2f}"),
    *(
        Row(
            f"ping during a TCP {what}: median / 99 % (ms)",
            (f"loaded_{way}_median", f"loaded_{way}_p99"),
            "{:.2f} / {:.2f}",
        )
        for way, what in (("up", "upload"), ("down", "download"))
    ),
    Row("memory under load: RSS / anonymous (MB)", ("rss_mb", "anon_mb"), "{:.1f} / {:.1f}"),
    *_both("TLS records per MB", "records", "{:,.0f}"),
    *_both("system calls per MB", "calls", "{:,.0f}"),
    Row("wake-ups per minute, idle", ("wakeups",), "{:,.0f}"),
)


def median(results: Results, client: str, metric: str) -> float | None:
    """Return the median of a metric's runs, None when there are none."""
    values = results.get(client, {}).get(metric)
    return statistics.median(values) if values else None


def _cell(results: Results, client: str, row: Row) -> str:
    values = [median(results, client, metric) for metric in row.metrics]
    found = [value for value in values if value is not None]
    return row.form.format(*found) if len(found) == len(values) else NOTHING


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table with the first column left and the others right."""
    widths = [max(len(line[n]) for line in [header, *lines]) for n in range(len(header))]

    def row(cells: Sequence[str]) -> str:
        rest = (c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))
        return "| " + " | ".join([cells[0].ljust(widths[0]), *rest]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([row(header), row(rule), *map(row, lines)])


def main_table(results: Results) -> str:
    """Return the table of all clients."""
    names = [OFFICIAL_UDP, OFFICIAL_TCP, SEVPN, PLAIN]
    names = [name for name in names if name in results]
    lines = [[row.title, *(_cell(results, name, row) for name in names)] for row in ROWS]
    return markdown(["", *names], [line for line in lines if set(line[1:]) != {NOTHING}])


def load_table(results: Results) -> str:
    """Return the table of the runs against the load generator."""
    names = [name for name in (OFFICIAL_TCP, SEVPN, PLAIN) if name in results]
    rows = (
        *_both("TCP, Mbit/s", "load_mbit", "{:,.0f}"),
        *_both("… CPU-s per GB", "load_cpu", "{:.2f}"),
        *_both("… TLS records per MB", "load_records", "{:,.0f}"),
        *_both("… the load generator's own CPU, %", "load_peer", "{:.0f}"),
        *_both("UDP, 64 bytes: thousand packets/s delivered", "load_small_k", "{:,.0f}"),
        *_both("… CPU-µs per packet", "load_small_us", "{:.1f}"),
        Row("… up, from a sender with UDP_SEGMENT", ("load_many_k",), "{:,.0f}"),
        Row("… CPU-µs per packet", ("load_many_us",), "{:.1f}"),
    )
    lines = [[row.title, *(_cell(results, name, row) for name in names)] for row in rows]
    return markdown(["against the load generator", *names], lines)


class Target(NamedTuple):
    """One target: what it is called, what came out, and its limit."""

    title: str
    value: float | None
    limit: float
    at_most: bool
    unit: str

    def line(self) -> str:
        """Return it as a line of text."""
        if self.value is None:
            return f"- not measured: {self.title}"
        reached = self.value <= self.limit if self.at_most else self.value >= self.limit
        sign = "≤" if self.at_most else "≥"
        verdict = "reached" if reached else "MISSED"
        return f"- {verdict}: {self.title}: {self.value:.2f}{self.unit} ({sign} {self.limit:.2f})"


def _ratio(results: Results, metric: str, base: str, client: str = SEVPN) -> float | None:
    ours, theirs = median(results, client, metric), median(results, base, metric)
    return None if ours is None or not theirs else ours / theirs


def _difference(results: Results, ours: str, base: str, base_client: str) -> float | None:
    one, other = median(results, SEVPN, ours), median(results, base_client, base)
    return None if one is None or other is None else one - other


def targets(results: Results, send_buffer_ms: float) -> list[Target]:
    """Return the targets; `send_buffer_ms` is what the TCP send buffer holds, as time."""
    found = []
    for way, limit in (("up", 0.40), ("down", 0.60)):
        title = f"CPU {way} against the official client's best mode"
        found.append(
            Target(title, _ratio(results, f"tcp1_cpu_{way}", OFFICIAL_TCP), limit, True, "")
        )
    for metric, what in (("tcp1_mbit", "throughput"), ("tcp4_mbit", "throughput of 4 streams")):
        for way in ("up", "down"):
            ratio = _ratio(results, f"{metric}_{way}", OFFICIAL_TCP)
            found.append(Target(f"{what} {way}, as a ratio to it", ratio, 1.0, False, ""))
    for way in ("up", "down"):
        ratio = _ratio(results, f"small_k_{way}", OFFICIAL_TCP)
        found.append(Target(f"small packets {way}, as a ratio to it", ratio, 1.5, False, ""))
    # How many there can be at most is soon the server's limit, or the sender's.
    for metric, where in (("small_us", ""), ("load_small_us", " against the load generator")):
        for way in ("up", "down"):
            cost = _ratio(results, f"{metric}_{way}", OFFICIAL_TCP)
            title = f"small packets {way}{where} for a CPU-second of the client, as a ratio to it"
            found.append(Target(title, 1 / cost if cost else None, 1.5, False, ""))
    for way in ("up", "down"):
        ratio = _ratio(results, f"load_small_k_{way}", OFFICIAL_TCP)
        title = f"small packets {way} against the load generator, as a ratio to it"
        found.append(Target(title, ratio, 1.5, False, ""))
    ratio = _ratio(results, "load_many_k", OFFICIAL_TCP)
    found.append(Target("… up, from a sender that is no limit", ratio, 1.5, False, ""))
    for part in ("median", "p99"):
        more = _difference(results, f"idle_{part}", f"idle_{part}", OFFICIAL_TCP)
        title = f"idle ping, {part}, more than its"
        found.append(Target(title, more, 0.0, True, " ms"))
    more = _difference(results, "loaded_up_median", "idle_median", SEVPN)
    title = "ping during an upload, median, more than idle"
    title += f" (5 ms and {send_buffer_ms:.1f} of the send buffer)"
    found.append(Target(title, more, 5.0 + send_buffer_ms, True, " ms"))
    for way in ("up", "down"):
        ratio = _ratio(results, f"load_mbit_{way}", PLAIN)
        title = f"throughput {way} against the load generator, as a ratio to -no-offload"
        found.append(Target(title, ratio, 2.5, False, ""))
    return found
