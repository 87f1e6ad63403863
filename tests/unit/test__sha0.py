"""SHA-0: padding edges against the slow twin."""

from __future__ import annotations

import hashlib

import pytest

from sevpn._sha0 import digest
from support import oracle_sha0 as oracle


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000])
def test_padding_edges(size: int) -> None:
    data = bytes(i & 0xFF for i in range(size))
    assert digest(data) == oracle.digest(data)


def test_it_is_not_sha1() -> None:
    assert digest(b"abc") != hashlib.sha1(b"abc").digest()


def test_a_wrong_type_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        digest("abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        digest(None)  # type: ignore[arg-type]
