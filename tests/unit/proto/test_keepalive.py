"""When keepalives are due, for the shortest and the longest timeout."""

from __future__ import annotations

import pytest

from sevpn.constants import KEEPALIVE_MAX_BYTES
from sevpn.proto.keepalive import dead_at_s, keepalive_size_bytes, next_keepalive_s


@pytest.mark.parametrize("timeout_ms", [5_000, 20_000, 60_000])
def test_within_the_references_window(timeout_ms: int) -> None:
    timeout_s = timeout_ms / 1000
    times = [next_keepalive_s(100.0, timeout_ms, byte) - 100.0 for byte in range(256)]
    assert min(times) >= timeout_s / 5 - 1e-6
    assert max(times) < timeout_s / 2
    assert sum(times) / 256 == pytest.approx(timeout_s / 4)
    assert dead_at_s(100.0, timeout_ms) == 100.0 + timeout_s


def test_sizes() -> None:
    sizes = {keepalive_size_bytes(n) for n in range(65_536)}
    assert sizes == set(range(512))
    assert max(sizes) <= KEEPALIVE_MAX_BYTES
