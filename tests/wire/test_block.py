"""Vectors of protocol.md 6.2 and 6.3."""

from __future__ import annotations

from sevpn._block import Parser, encode_group, encode_keepalive

FRAME = bytes.fromhex("ffffffffffff5e000000010188b56869")
GROUP = bytes.fromhex("00000001 00000010 ffffffffffff 5e0000000101 88b5 6869")
KEEPALIVE = bytes.fromhex("ffffffff 00000003 010203")
NATT_KEEPALIVE = bytes.fromhex(
    "ffffffff 00000028 4e4154545f4d595f504f5254 9c41 4e4154545f4d595f4950"
    "00000000000000000000ffffcb007109"
)


def test_group() -> None:
    assert encode_group([FRAME]) == GROUP
    assert Parser().feed(GROUP) == [FRAME]


def test_keepalive() -> None:
    assert encode_keepalive(b"\1\2\3") == KEEPALIVE
    parser = Parser()
    assert parser.feed(KEEPALIVE + GROUP + NATT_KEEPALIVE + GROUP) == [FRAME, FRAME]
    assert parser.keepalives == 2
    assert parser.items == 4
