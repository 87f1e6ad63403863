"""Half a gigabyte each way through the tunnel arrives as it was sent, with offload and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import correctness
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.server import SoftEther
    from lab.topology import Topology


@pytest.fixture
def names(server: SoftEther) -> Iterator[Dnsmasq]:
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "gigabytes"),
    [
        pytest.param((), 0.35, id="offload"),
        pytest.param(("-no-offload",), 0.15, id="no-offload"),
    ],
)
def test_nothing_is_damaged(
    topology: Topology,
    server: SoftEther,
    names: Dnsmasq,
    flags: tuple[str, ...],
    gigabytes: float,
) -> None:
    """The whole run, `build/bench --correctness 10`, moves 10 GB each way."""
    found = correctness.exchange(topology, server, *flags, gigabytes=gigabytes)
    print(f"\n{found.gigabytes:g} GB in {found.seconds:.1f} s; {'; '.join(found.notes)}")
    assert not found.faults, "\n".join(found.faults)
