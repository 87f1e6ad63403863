"""When to send a keepalive, how large, and when a silent peer is dead.

Layer 1, pure: the clock and the dice are arguments. T is the timeout of the Welcome.
Source: protocol.md 6.3. The reference draws from T/5 to T/2 and the peer closes after T;
we stay near T/4, so that one keepalive that is lost on the way to the wire costs nothing.
"""

KEEPALIVE_SIZES = 512  # 0..511 bytes, as the reference


def next_keepalive_s(now_s: float, timeout_ms: int, random_byte: int) -> float:
    """Return when to send the next keepalive: T/4 from now, 20 % more or less."""
    timeout_s = timeout_ms / 1000
    return now_s + timeout_s * (0.2 + 0.1 * random_byte / 255)


def dead_at_s(last_item_s: float, timeout_ms: int) -> float:
    """Return when a connection is dead whose last complete item came at `last_item_s`."""
    return last_item_s + timeout_ms / 1000


def keepalive_size_bytes(random: int) -> int:
    """Return the body's size, 0..511, from any random number."""
    return random % KEEPALIVE_SIZES
