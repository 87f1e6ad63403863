"""SHA-0 of any bytes is what the slow twin says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sevpn._sha0 import digest
from support import oracle_sha0 as oracle


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert digest(data) == oracle.digest(data)
