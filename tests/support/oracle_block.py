"""The slow, obvious twin of sevpn._block: the oracle of its tests.

It keeps the whole stream and walks it from the start each time, so it has no state
that could be wrong. Source: protocol.md 6.2 and 9.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAGIC = 0xFFFFFFFF


@dataclass
class Walk:
    """All that a stream's bytes say so far."""

    frames: list[bytes] = field(default_factory=list)
    keepalives: int = 0
    items: int = 0
    dropped_short: int = 0
    dropped_oversize: int = 0
    error: str = ""  # "", "block" or "keepalive"


def walk(stream: bytes) -> Walk:
    """Read `stream` from its first byte as far as it goes."""
    result = Walk()
    position = 0
    blocks_left = 0

    def word_at(offset: int) -> int | None:
        word = stream[offset : offset + 4]
        return int.from_bytes(word, "big") if len(word) == 4 else None

    while True:
        word = word_at(position)
        if word is None:
            return result
        if blocks_left == 0 and word != MAGIC:
            blocks_left = word
            position += 4
            continue
        if blocks_left == 0:
            size = word_at(position + 4)
            if size is None:
                return result
            if size > 512:
                result.error = "keepalive"
                return result
            position += 8
            result.keepalives += 1
        else:
            size = word
            if size > 3200:
                result.error = "block"
                return result
            position += 4
            blocks_left -= 1
            if size < 14:
                result.dropped_short += 1
            elif size > 1600:
                result.dropped_oversize += 1
        body = stream[position : position + size]
        if len(body) < size:
            return result
        position += size
        result.items += 1
        if word != MAGIC and 14 <= size <= 1600:
            result.frames.append(body)


def group(blocks: list[bytes]) -> bytes:
    """Encode blocks of any size, allowed or not."""
    body = b"".join(len(block).to_bytes(4, "big") + block for block in blocks)
    return len(blocks).to_bytes(4, "big") + body


def keepalive(body: bytes) -> bytes:
    """Encode a keepalive of any size, allowed or not."""
    return MAGIC.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body
