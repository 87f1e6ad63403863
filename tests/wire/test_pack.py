"""Vectors of protocol.md 2.1: examples A to D, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sevpn._pack import DATA, INT, INT64, STR, UNISTR, decode, encode
from sevpn.proto.pack import Pack

if TYPE_CHECKING:
    from support import oracle_pack as oracle

A = bytes.fromhex(
    "00000001000000076d6574686f640000"
    "00020000000100000008656e756d5f68"
    "7562"
)  # fmt: skip
B = bytes.fromhex(
    "00000006000000076d6574686f640000"
    "00020000000100000008656e756d5f68"
    "7562000000026e000000000000000200"
    "000001fffffffe000000026400000001"
    "000000010000000200ff000000027500"
    "0000030000000100000003c3a9000000"
    "00027100000004000000010102030405"
    "06070800000002650000000200000001"
    "00000000"
)  # fmt: skip
C = bytes.fromhex(
    "000000040000000d497040697076365f"
    "626f6f6c000000000000000100000000"
    "0000000e497040697076365f61727261"
    "79000000010000000100000010000000"
    "00000000000000000000000000000000"
    "11497040697076365f73636f70655f69"
    "64000000000000000100000000000000"
    "034970000000000000000101" "0200c0"
)  # fmt: skip
D = bytes.fromhex("00000001000000066572726f72000000000000000100000009")
"""protocol.md says 24 bytes; the dump it shows has 25, and 25 is what the layout gives."""

ELEMENTS: dict[str, tuple[bytes, int, list[oracle.Element]]] = {
    "A": (A, 34, [("method", STR, ["enum_hub"])]),
    "B": (
        B,
        132,
        [
            ("method", STR, ["enum_hub"]),
            ("n", INT, [1, 0xFFFFFFFE]),
            ("d", DATA, [b"\x00\xff"]),
            ("u", UNISTR, ["é"]),
            ("q", INT64, [0x0102030405060708]),
            ("e", STR, [""]),
        ],
    ),
    "D": (D, 25, [("error", INT, [9])]),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_examples(name: str) -> None:
    data, size, elements = ELEMENTS[name]
    assert len(data) == size
    assert encode(elements) == data
    assert decode(data) == elements


def test_example_c_is_an_address_group() -> None:
    pack = Pack()
    pack.add_ip("Ip", "192.0.2.1")
    assert len(C) == 127
    assert pack.to_bytes() == C
    assert Pack.from_bytes(C).ip("Ip") == "192.0.2.1"
