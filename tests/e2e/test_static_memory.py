"""What a session of the static binary takes while iperf3 runs through it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lab import iperf
from lab.client import ROOT, Sevpn, flags
from lab.server import LAN_IP

if TYPE_CHECKING:
    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace

# Of the resident pages those of the file depend on how much of it the kernel maps at a fault (8.4
# to 9.1 MB were seen of one and the same file); the anonymous ones are ours.
MAX_RSS_KB = 9600
MAX_ANON_KB = 4200
SECONDS = 3.0


@pytest.mark.timeout(1800)  # the first build compiles OpenSSL and CPython
def test_memory_under_load(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both directions, one process, and the same after a reconnect."""
    done = subprocess.run(
        [sys.executable, ROOT / "build" / "static"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    monkeypatch.setenv("SEVPN_BINARY", str(ROOT / "dist" / "sevpn"))
    figures: dict[str, dict[str, int]] = {}
    with Sevpn(host, *flags()) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        figures["idle"] = run.memory_kb()
        with iperf.IperfServer(server.namespace, LAN_IP):
            for name, down in (("up", False), ("down", True)):
                client = host.start(*iperf.command(LAN_IP, seconds=SECONDS, down=down))
                time.sleep(SECONDS - 0.5)
                figures[name] = run.memory_kb()
                client.wait(SECONDS + 10)
        mark = dhcp.mark()
        server.disconnect(server.sessions()[0].name)
        dhcp.wait("DHCPACK", 6.0, mark)
        host.wait_ping(LAN_IP)
        figures["again"] = run.memory_kb()
        run.stop()
    for name, kb in figures.items():
        print(f"\n{name:6} RSS {kb['VmRSS']} kB, anonymous {kb['RssAnon']} kB", end="")
    assert max(kb["VmRSS"] for kb in figures.values()) <= MAX_RSS_KB
    assert max(kb["RssAnon"] for kb in figures.values()) <= MAX_ANON_KB
