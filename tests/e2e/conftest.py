"""One lab for all end-to-end tests: a topology and a server per run, dnsmasq per test.

Every test leaves the client's host as it was: `unchanged` compares before and after.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import certs
from lab.client import Snapshot, snapshot
from lab.dhcp import GATEWAY, Dnsmasq
from lab.server import SoftEther
from lab.topology import Namespace, Topology
from support.require import require

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED = (
    *("vpnserver", "vpncmd", "dnsmasq", "iperf3", "tcpdump", "tshark", "nft", "openssl"),
    *("ip", "nsenter", "unshare", "setpriv", "ss", "ping"),
)


@pytest.fixture(scope="session")
def topology() -> Iterator[Topology]:
    require(os.geteuid() == 0, "needs root for network namespaces")
    require(Path("/dev/net/tun").exists(), "needs /dev/net/tun")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    require(not missing, f"build/test installs what is missing: {' '.join(missing)}")
    with Topology() as made:
        yield made


@pytest.fixture(scope="session")
def server(topology: Topology) -> Iterator[SoftEther]:
    with SoftEther(topology.server) as running:
        yield running


@pytest.fixture(scope="session")
def certificates(topology: Topology) -> certs.Certificates:
    return certs.make(topology.scratch)


@pytest.fixture
def host(topology: Topology) -> Namespace:
    """The client's namespace: the host that sevpn changes and must restore."""
    return topology.client


@pytest.fixture
def before(host: Namespace) -> Snapshot:
    """What the host looks like before the test."""
    return snapshot(host)


@pytest.fixture(autouse=True)
def unchanged(topology: Topology, before: Snapshot) -> Iterator[None]:
    """After every test the host is as before it."""
    yield
    differences = before.differences(snapshot(topology.client))
    if differences:  # one test's left-overs must not fail the next one too
        topology.restore_client()
    assert not differences, "\n".join(differences)


@pytest.fixture
def dhcp(server: SoftEther) -> Iterator[Dnsmasq]:
    """A plain dnsmasq on the LAN: a gateway and nothing more."""
    with Dnsmasq(server.namespace, options=GATEWAY) as running:
        yield running
