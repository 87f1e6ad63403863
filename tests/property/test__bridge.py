"""Whatever the cuts, the order and the sizes: frames come out as they went in."""

from __future__ import annotations

import atexit
import functools
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from sevpn._block import encode_group, encode_keepalive
from sevpn._bridge import BROKEN, CLOSED, FRAMING
from support.bridge_rig import Rig, frame
from support.oracle_block import walk

TURNS_MAX = 200

sizes = st.integers(14, 1600)
groups = st.lists(sizes, min_size=0, max_size=12)
items = st.lists(st.one_of(groups, st.binary(max_size=512)), max_size=8)
cuts = st.lists(st.integers(1, 4000), min_size=1, max_size=12)


@functools.cache
def shared_rig(vnet: bool) -> Rig:
    """One bridge for all examples: each leaves it at a border between items."""
    rig = Rig(vnet=vnet)
    atexit.register(rig.close)
    return rig


def encode(parts: list[list[int] | bytes]) -> tuple[bytes, list[bytes]]:
    """Return the tunnel bytes of groups (sizes) and keepalives, and the frames in them."""
    plain = b""
    frames: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            plain += encode_keepalive(part)
        elif part:
            made = [frame(len(frames) + n, size) for n, size in enumerate(part)]
            frames += made
            plain += encode_group(made)
    return plain, frames


@given(items, cuts, st.booleans(), st.booleans())
def test_down_with_any_cuts(
    parts: list[list[int] | bytes], sizes: list[int], as_records: bool, vnet: bool
) -> None:
    """Records cut anywhere, or their ciphertext cut anywhere."""
    rig = shared_rig(vnet)
    plain, frames = encode(parts)
    got, at, turn = [], 0, 0
    if not as_records and plain:
        rig.link.peer.tls.write(plain)
    while at < len(plain) or rig.link.peer.outgoing.pending:
        size = sizes[turn % len(sizes)]
        if as_records:
            rig.send(plain[at : at + size])
        else:
            rig.link.peer.give(size)
        at += size
        turn += 1
        assert rig.run(0) == 0
        got += rig.host_reads()
    for _ in range(TURNS_MAX):
        if len(got) >= len(frames):
            break
        assert rig.run(2) == 0
        got += rig.host_reads()
    assert got == frames


@given(st.lists(sizes, max_size=300), st.booleans())
@settings(max_examples=60)
def test_up_in_order(wanted: list[int], vnet: bool) -> None:
    rig = shared_rig(vnet)
    frames = [frame(n, size) for n, size in enumerate(wanted)]
    got = []
    for at in range(0, len(frames), 50):
        for one in frames[at : at + 50]:
            assert rig.host_sends(one)
        assert rig.run(2) == 0
        got += rig.received()
    for _ in range(TURNS_MAX):
        if len(got) >= len(frames):
            break
        assert rig.run(2) == 0
        got += rig.received()
    assert got == frames


@given(st.binary(max_size=3000), st.integers(1, 500))
@settings(max_examples=60)
def test_any_bytes_as_the_slow_parser_reads_them(plain: bytes, cut: int) -> None:
    with Rig() as rig:
        wanted = walk(plain)
        reason, got = 0, []
        for at in range(0, len(plain), cut):
            rig.send(plain[at : at + cut])
            reason |= rig.run(0)
            got += rig.host_reads()
        for _ in range(TURNS_MAX):
            if reason & FRAMING or (len(got) >= len(wanted.frames) and not wanted.error):
                break
            reason |= rig.run(2)
            got += rig.host_reads()
        rig.bridge.captured_frames()
        assert not reason & (CLOSED | BROKEN)
        assert bool(reason & FRAMING) == bool(wanted.error)
        if not wanted.error:
            assert got == wanted.frames


@given(st.binary(min_size=1, max_size=400))
@settings(max_examples=60)
def test_any_ciphertext_ends_in_a_reason(noise: bytes) -> None:
    with Rig() as rig:
        rig.link.peer.sock.send(noise + os.urandom(20_000))
        reason = 0
        for _ in range(5):
            reason |= rig.run(1)
        rig.link.peer.sock.close()
        for _ in range(TURNS_MAX):
            reason |= rig.run(2)
            if reason:
                break
        assert reason & (CLOSED | BROKEN)
        assert rig.host_reads() == []
