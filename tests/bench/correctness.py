"""Nothing is damaged: streams compared by hash at both ends, and every frame on the LAN looked at.

While TCP streams over IPv4 and IPv6 run both ways at once, ping, DNS and UDP with sequence
numbers share the tunnel. At the far end of the LAN no frame from the client may be larger
than 1514 bytes (a filter sees them all), and no checksum may be wrong: the kernel of the LAN
host counts those of all frames, tshark looks at a sample of whole frames.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import clients
from lab.capture import Watch
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq
from lab.process import LabError
from lab.server import LAN_IP, LAN_TAP, SoftEther
from lab.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.process import Process
    from lab.topology import Namespace

PROGRAM = str(Path(__file__).with_name("exchange.py"))
PORT = 5400
LAN_IP6, CLIENT_IP6 = "fd00:77::1", "fd00:77::2"
STREAM_TARGETS = (LAN_IP, LAN_IP, LAN_IP6, LAN_IP6)  # as many each way
FRAME_MAX_BYTES = 1514
SAMPLE_FRAMES = 40_000
# Counters of the kernel that a damaged packet would move.
_BAD = (
    *("TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors", "IcmpInCsumErrors"),
    *("Icmp6InCsumErrors", "IpExtInCsumErrors", "IpInHdrErrors", "Ip6InHdrErrors", "TcpInErrs"),
)
_CHECKED = ("ip.checksum", "tcp.checksum", "udp.checksum", "icmp.checksum", "icmpv6.checksum")


class Verdict(NamedTuple):
    """What a run has shown; `faults` is empty when nothing was damaged."""

    gigabytes: float
    seconds: float
    faults: list[str]
    notes: list[str]


def _python(namespace: Namespace, *arguments: str) -> Process:
    return namespace.start(sys.executable, "-u", PROGRAM, *arguments)


def bad_packets(namespace: Namespace) -> dict[str, int]:
    """Return the kernel's counters of packets that were wrong."""
    text = namespace.run("nstat", "-asz").stdout
    counters = dict(re.findall(r"^(\w+)\s+(\d+)", text, re.MULTILINE))
    return {name: int(counters.get(name, 0)) for name in _BAD}


@contextlib.contextmanager
def ipv6(run: clients.Run, server: Namespace) -> Iterator[None]:
    """Give both ends of the tunnel an IPv6 address for a while."""
    server.ip_batch(f"addr replace {LAN_IP6}/64 dev {LAN_TAP} nodad\n")
    run.namespace.run("sysctl", "-qw", f"net.ipv6.conf.{run.tap}.disable_ipv6=0", check=False)
    run.namespace.ip_batch(f"addr replace {CLIENT_IP6}/64 dev {run.tap} nodad\n")
    try:
        run.namespace.wait_ping(LAN_IP6)
        yield
    finally:
        server.ip_batch(f"addr del {LAN_IP6}/64 dev {LAN_TAP}\n")


class SmallTraffic:
    """Ping, DNS and datagrams beside the streams; `faults` tells what was wrong."""

    def __init__(self, run: clients.Run, seconds: float) -> None:
        host = run.namespace
        self.ping = host.start("ping", "-n", "-i", "0.02", "-s", "1000", LAN_IP)
        self.datagrams = _python(host, "datagrams", LAN_IP, str(PORT), str(seconds))
        self.host = host
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.asked = 0

    def ask_dns(self) -> None:
        """Ask the LAN's DNS server once."""
        done = self.host.run("getent", "ahostsv4", "files.office.test", check=False)
        self.asked += 1
        if done.stdout.split()[:1] != [LAN_IP]:
            self.faults.append(f"DNS says {done.stdout!r}")

    def finish(self, limit_s: float) -> None:
        """End it and judge."""
        self.ping.signal(signal.SIGINT)
        self.ping.wait(3.0)
        text = self.ping.text()
        found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        if not found or int(found[2]) == 0:
            self.faults.append(f"ping: {self.ping.describe()}")
        else:
            self.notes.append(f"ping {found[2]} of {found[1]}")
        self.faults += re.findall(r".*(?:wrong data|DUP!|truncated).*", text)[:5]
        if self.datagrams.wait(limit_s):
            self.faults.append(self.datagrams.describe())
            return
        counts = json.loads(self.datagrams.text("out"))
        self.notes.append(f"UDP {counts['received']} of {counts['sent']}, DNS {self.asked}")
        if counts["wrong"] or counts["twice"] or not counts["received"]:
            self.faults.append(f"UDP: {counts}")


def _exchange(run: clients.Run, gigabytes: float, small: SmallTraffic) -> list[str]:
    """Move `gigabytes` each way in parallel streams; return what went wrong."""
    size = int(gigabytes * 1e9) // len(STREAM_TARGETS)
    streams = [
        _python(run.namespace, "stream", way, target, str(PORT), str(size), str(number))
        for number, target in enumerate(STREAM_TARGETS)
        for way in ("up", "down")
    ]
    asked_s = 0.0
    limit_s = time.monotonic() + 60 + gigabytes * 120
    while any(stream.exit_code is None for stream in streams):
        if time.monotonic() > limit_s:
            break
        if time.monotonic() - asked_s > 0.5:
            small.ask_dns()
            asked_s = time.monotonic()
        time.sleep(0.05)
    faults = []
    for stream in streams:
        if stream.exit_code is None:
            stream.kill()
            faults.append(f"did not end: {stream.describe()}")
        elif stream.wait(5.0):
            faults.append(stream.describe())
    return faults


def _wrong_checksums(file: Path) -> list[str]:
    """Return the packets of a capture that tshark finds a wrong checksum in."""
    options = [part for name in _CHECKED[:3] for part in ("-o", f"{name[:-9]}.check_checksum:TRUE")]
    wrong = " || ".join(f"{name}.status == 0" for name in _CHECKED)
    done = subprocess.run(
        ["tshark", "-n", "-r", str(file), *options, "-Y", wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "cut short" not in done.stderr:
        raise LabError(f"tshark: {done.stderr}")
    return done.stdout.splitlines()


def exchange(
    topology: Topology, server: SoftEther, *flags: str, gigabytes: float, seconds: float = 600.0
) -> Verdict:
    """Run one session through all of it; needs a DHCP server and DNS on the LAN."""
    lan = server.namespace
    file = topology.scratch / "sample.pcap"
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(clients.sevpn(topology.client, "-accept-dns", *flags))
        stack.enter_context(ipv6(run, lan))
        served = stack.enter_context(_python(lan, "serve", str(PORT)))
        served.wait_line("^ready$", 5.0)
        links = run.namespace.ip("link", "show", "dev", run.tap)
        mac = str(links[0]["address"])
        large = stack.enter_context(
            Watch(lan, LAN_TAP, f"greater {FRAME_MAX_BYTES + 1} and ether src {mac}")
        )
        large.process.wait_line("listening on", 5.0)
        sample = stack.enter_context(
            lan.start(
                *("tcpdump", "-n", "-Z", "root", "-i", LAN_TAP, "-s", "0", "-B", "32768"),
                *("-c", str(SAMPLE_FRAMES), "-w", str(file), "ether", "src", mac),
            )
        )
        sample.wait_line("listening on", 5.0)
        before, before_us = bad_packets(lan), bad_packets(run.namespace)
        began_s = time.monotonic()
        small = SmallTraffic(run, min(seconds, 3 + gigabytes * 8))
        faults = _exchange(run, gigabytes, small)
        took_s = time.monotonic() - began_s
        small.finish(seconds)
        faults += small.faults
        sample.signal(signal.SIGINT)
        sample.wait(10.0)
        for where, now, then in (
            ("LAN", bad_packets(lan), before),
            ("client", bad_packets(run.namespace), before_us),
        ):
            moved = {name: now[name] - then[name] for name in _BAD if now[name] != then[name]}
            if moved:
                faults.append(f"the {where}'s kernel counts {moved}")
        if large.count():
            faults.append(f"{large.count()} frames of more than {FRAME_MAX_BYTES} bytes")
        notes = small.notes
    faults += [f"wrong checksum: {line}" for line in _wrong_checksums(file)[:5]]
    size = file.stat().st_size
    notes.append(f"{size / 1e6:.0f} MB of frames looked at by tshark")
    if size < 1000:
        faults.append("the sample of frames is empty")
    file.unlink()
    return Verdict(2 * gigabytes, took_s, faults, notes)


def main(gigabytes: float) -> int:
    """Run it with and without offload; return the exit code."""
    failed = False
    with contextlib.ExitStack() as stack:
        topology = stack.enter_context(Topology(direct=True))
        server = stack.enter_context(SoftEther(topology.server))
        stack.enter_context(Dnsmasq(topology.server, options=[*GATEWAY, *NAME_SERVERS]))
        for flags in ((), ("-no-offload",)):
            found = exchange(topology, server, *flags, gigabytes=gigabytes)
            print(
                f"sevpn {' '.join(flags)}: {gigabytes:g} GB up and {gigabytes:g} GB down at once "
                f"in {found.seconds:.0f} s ({'; '.join(found.notes)}): "
                f"{'FAULTS' if found.faults else 'all equal, no frame too large, no bad checksum'}",
                flush=True,
            )
            for fault in found.faults:
                print(f"  {fault}")
            failed = failed or bool(found.faults)
    return 1 if failed else 0
