"""What rtnetlink says: only changes that are not ours count, and any bytes are survived."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevpn.io.loop import Loop, now_s
from sevpn.io.netwatch import OUR_ROUTE_PROTOCOL, NetWatch, is_foreign_change
from support.private_netns import ip, run_inside

OWN = 7
NEW_LINK, NEW_ADDRESS, NEW_ROUTE, NEW_NEIGH = 16, 20, 24, 28


def message(kind: int, body: bytes) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return whole + bytes(-len(whole) % 4)


def link(index: int, kind: int = NEW_LINK) -> bytes:
    return message(kind, struct.pack("=BBHiII", 0, 0, 1, index, 0, 0))


def address(index: int) -> bytes:
    return message(NEW_ADDRESS, struct.pack("=BBBBI", 2, 24, 0, 0, index))


def route(index: int | None, protocol: int = 4) -> bytes:
    body = struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, protocol, 0, 1, 0)
    body += struct.pack("=HH4s", 8, 1, bytes([10, 0, 0, 0]))
    if index is not None:
        body += struct.pack("=HHI", 8, 4, index)
    return message(NEW_ROUTE, body)


@pytest.mark.parametrize(
    ("data", "foreign"),
    [
        (b"", False),
        (link(OWN), False),
        (link(2), True),
        (link(2, 17), True),
        (address(OWN), False),
        (address(2), True),
        (route(OWN), False),
        (route(2), True),
        (route(None), True),
        (route(2, OUR_ROUTE_PROTOCOL), False),
        (message(NEW_NEIGH, bytes(12)), False),
        (link(OWN) + address(OWN) + route(2), True),
        (link(OWN) + route(OWN), False),
        (link(2)[:10], False),
        (struct.pack("=IHHII", 8, NEW_LINK, 0, 0, 0), True),
        (struct.pack("=IHHII", 4000, NEW_LINK, 0, 0, 0), True),
        (message(NEW_LINK, b"\0\0"), True),
        (message(NEW_ROUTE, b"\0\0"), False),
    ],
)
def test_is_foreign_change(data: bytes, foreign: bool) -> None:
    assert is_foreign_change(data, OWN) == foreign


@given(st.binary(max_size=300), st.integers(0, 2**31 - 1))
def test_any_bytes(data: bytes, own: int) -> None:
    assert is_foreign_change(data, own) in (True, False)


@given(st.sampled_from([NEW_LINK, NEW_ADDRESS, NEW_ROUTE]), st.binary(max_size=100))
def test_any_body(kind: int, body: bytes) -> None:
    assert is_foreign_change(message(kind, body), OWN) in (True, False)


def _watch() -> None:
    ip("link", "add", "svw0", "type", "veth", "peer", "name", "svw1")
    loop = Loop()
    calls = []
    with open("/proc/net/dev", encoding="ascii") as file:
        assert "svw0" in file.read()
    import socket

    watch = NetWatch(loop, socket.if_nametoindex("svw0"), lambda: calls.append(now_s()))
    assert watch.is_active

    async def main() -> None:
        ip("addr", "add", "10.3.0.1/24", "dev", "svw0")
        await loop.sleep(0.05)
        assert not calls  # it happened on our own interface
        ip("link", "set", "svw1", "mtu", "1400")
        await loop.sleep(0.05)
        assert calls
        watch.close()
        watch.close()
        assert not watch.is_active
        before = len(calls)
        ip("link", "set", "svw1", "mtu", "1300")
        await loop.sleep(0.05)
        assert len(calls) == before

    loop.run(loop.spawn("main", main()))


@pytest.mark.e2e
def test_real_changes() -> None:
    run_inside(_watch)
