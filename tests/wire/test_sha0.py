"""Vectors of protocol.md 4.1."""

from __future__ import annotations

import pytest

from sevpn._sha0 import digest


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "f96cea198ad1dd5617ac084a3d92c6107708c0ef"),
        (b"abc", "0164b8a914cd2a5e74c4f7ff082c4d97f1edf880"),
        (b"secretADMIN", "e42fd00c3851b20799272935805af344ffab5d59"),
        (b"pwXUSERX", "e771fdec7862098ddf374ebbeb7ea749d2d9102d"),
        (
            bytes.fromhex("e771fdec7862098ddf374ebbeb7ea749d2d9102d") + bytes(range(20)),
            "c34b4cc6c15e00451f74c2ba3f8905abd6dc2e2f",
        ),
    ],
)
def test_vectors(data: bytes, expected: str) -> None:
    assert digest(data).hex() == expected
