"""The kernel's judgement: it takes our merged writes, and reads back what we cut.

    sv<pid>-77c tap0 === split, merge === tap0 sv<pid>-77s

Two namespaces whose TAPs are joined by support.tap_relay; no tunnel and no server. Several
megabytes go each way by TCP and UDP, IPv4 and IPv6, untagged and in a VLAN.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.topology import Namespace
from support.require import require
from support.traffic import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
TCP_BYTES = 8_000_000
UDP_BYTES = 1_400_000
ADDRESSES = {"ipv4": "10.99.0.", "ipv6": "fd00:99::"}  # the ends are ...1 and ...2
WIRE = """
link set lo up
link set tap0 mtu 1500 up
addr add 10.99.0.{end}/24 dev tap0
addr add fd00:99::{end}/64 dev tap0 nodad
"""
# Kernels may be built without 802.1Q; then no frame of this test has a tag.
HAS_VLAN = Path("/proc/net/vlan").exists()
if HAS_VLAN:
    ADDRESSES |= {"vlan-ipv4": "10.98.0.", "vlan-ipv6": "fd00:98::"}
    WIRE += """
link add link tap0 name tap0.5 type vlan id 5
link set tap0.5 up
addr add 10.98.0.{end}/24 dev tap0.5
addr add fd00:98::{end}/64 dev tap0.5 nodad
"""


@pytest.fixture(autouse=True)
def unchanged() -> None:
    """Nothing here touches the lab's client, so its lab is not even made."""


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What the relay counted; filled when the tests are over."""
    return {}


@pytest.fixture(scope="module")
def ends() -> Iterator[list[Namespace]]:
    require(os.geteuid() == 0, "needs root for network namespaces")
    require(Path("/dev/net/tun").exists(), "needs /dev/net/tun")
    made: list[Namespace] = []
    relay = None
    try:
        for letter in "cs":
            made.append(Namespace(f"sv{os.getpid()}-77{letter}"))
        relay = subprocess.Popen(
            [sys.executable, "-m", "support.tap_relay", *(end.name for end in made)],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert relay.stdout is not None
        assert relay.stdout.readline() == "ready\n"
        for number, end in enumerate(made, 1):
            end.ip_batch(WIRE.format(end=number))
        yield made
        out, _ = relay.communicate(timeout=10)
        check_report(json.loads(out), made)
    finally:
        if relay is not None:
            relay.kill()
            relay.communicate()
        for end in made:
            end.close()


def check_report(report: dict[str, Any], made: list[Namespace]) -> None:
    for way in report["ways"]:
        assert way["refused"] == way["malformed"] == way["bad"] == 0, report
        assert way["largest"] == {"untagged": 1514, "tagged": HAS_VLAN * 1518}, report
        assert way["supers"] > 100, report
        assert way["merged"] > 100, report
        assert way["writes"] < way["frames"] / 3, report
    for end in made:
        counters = end.run(
            "nstat", "-asz", "TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors"
        )
        values = [line.split()[1] for line in counters.stdout.splitlines()[1:]]
        assert values == ["0", "0", "0"], counters.stdout


def traffic(end: Namespace, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        end.wrap([sys.executable, "-m", "support.traffic", *arguments]),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_bytes_arrive(ends: list[Namespace], kind: str, path: str, way: str) -> None:
    sender, receiver = ends if way == "there" else ends[::-1]
    address = ADDRESSES[path] + ("2" if way == "there" else "1")
    size = TCP_BYTES if kind == "tcp" else UDP_BYTES
    arguments = (kind, address, "5001", str(size))
    with traffic(receiver, "receive", *arguments) as receiving:
        assert receiving.stdout is not None
        try:
            assert receiving.stdout.readline() == "ready\n"
            with traffic(sender, "send", *arguments) as sending:
                assert sending.wait(30) == 0
            assert receiving.stdout.readline().strip() == digest(size)
        finally:
            receiving.kill()
