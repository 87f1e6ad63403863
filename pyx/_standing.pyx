# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""When to drop a segment that waits in the TAP, so that its sender slows down.

Layer 0, pure: times come as arguments, in microseconds. CoDel (RFC 8289), which judges a
queue by what a frame really waits in it (its sojourn), with four things of our own:

- The TAP's queue lies in the kernel and tells nobody its length. So a small question goes
  into it now and then, the host's own ARP answers, and that answer waits like any frame.
- The target is a part of the path's shortest round trip. A sender that was told by a drop
  sends 0.7 of what it had under way (cubic, RFC 9438); to fill the path all the same it must
  have had 1 / 0.7 of it, which is 0.43 of a round trip of queue. 0.6 leaves it room to grow.
- What waits at the path's bottleneck waits for us, too: the tunnel's TCP fills that queue for
  as long as there is something in ours. An empty queue of ours ends the dropping in any case,
  so where others fill the bottleneck we take our part of it.
- The tunnel's own TCP in its slow start is not full yet. What waits for it will be gone a
  round trip later, and a drop now would cost the sender tens of seconds over distance.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    ASK_EVERY_US = 10000
    TARGET_MIN_US = 10000       # a timer's tick or a busy host is no queue
    TARGET_PERCENT = 60         # of the shortest round trip, see above
    GROWING_PERCENT = 200       # while nothing waits at a bottleneck
    INTERVAL_MIN_US = 100000    # RFC 8289 4.3
    # A rate that has not grown by a twentieth for so long, or for some round trips more:
    OPENING_MIN_US = 300000     # a slow start (bbr's too) that has found its path
    FULL_MIN_US = 1000000       # a path that has no more to give
    DROP_COUNT_MAX = 16         # a drop in each quarter of the interval at most


cdef uint64_t _queue_us(const Standing* s) noexcept nogil:
    """Return what frames wait at the path's bottleneck, the tunnel's own and others'."""
    return s.rtt_us - s.min_rtt_us if s.rtt_us > s.min_rtt_us else 0


cdef uint64_t _target_us(const Standing* s) noexcept nogil:
    cdef uint64_t target_us = <uint64_t>s.min_rtt_us * TARGET_PERCENT // 100
    cdef uint64_t growing_us = <uint64_t>s.min_rtt_us * GROWING_PERCENT // 100
    cdef uint64_t known_us = 4 * _queue_us(s)
    if not s.is_full and growing_us > target_us + known_us:
        target_us = growing_us - known_us
    return max(target_us, <uint64_t>TARGET_MIN_US)


cdef uint64_t _interval_us(const Standing* s) noexcept nogil:
    # Long enough for a sender to hear of a drop, and for its answer to be seen here.
    return max(s.rtt_us + 2 * s.min_rtt_us, <uint64_t>INTERVAL_MIN_US)


cdef uint32_t _root16(uint32_t number) noexcept nogil:
    """Return four times the square root of a small number, rounded down."""
    cdef uint32_t root = 4
    while (root + 1) * (root + 1) <= 16 * number:
        root += 1
    return root


cdef void standing_reset(Standing* s) noexcept nogil:
    """Forget everything: another connection."""
    memset(s, 0, sizeof(Standing))


cdef void standing_path(
    Standing* s, uint64_t now_us, uint32_t rtt_us, uint32_t min_rtt_us, bint is_below_threshold,
    uint64_t rate,
) noexcept nogil:
    """Learn what the tunnel's TCP knows: round trips in us, its rate in bytes a second."""
    s.rtt_us = rtt_us
    s.min_rtt_us = min_rtt_us
    if rate > s.best_rate + s.best_rate // 20:
        s.best_rate = rate
        s.grown_us = now_us
    s.in_slow_start = (
        is_below_threshold and now_us - s.grown_us < max(4 * rtt_us, <uint32_t>OPENING_MIN_US)
    )
    s.is_full = now_us - s.grown_us > max(8 * rtt_us, <uint32_t>FULL_MIN_US)


cdef bint standing_wants_to_ask(const Standing* s, uint64_t now_us) noexcept nogil:
    """Tell whether it is time for a question."""
    return s.asked_us == 0 and now_us >= s.ask_next_us


cdef void standing_asked(Standing* s, uint64_t now_us) noexcept nogil:
    """Note that a question went into the queue."""
    s.asked_us = now_us
    s.ask_next_us = now_us + ASK_EVERY_US


cdef void standing_answered(Standing* s, uint64_t now_us) noexcept nogil:
    """Note that the answer came out of the queue."""
    if s.asked_us:
        s.sojourn_us = now_us - s.asked_us
        s.asked_us = 0


cdef void standing_empty(Standing* s) noexcept nogil:
    """Note that nothing waits: an answer that has not come by now never will."""
    s.asked_us = 0
    s.sojourn_us = 0
    s.above_us = 0
    s.dropping = False


cdef bint standing_is_overdue(Standing* s, uint64_t now_us) noexcept nogil:
    """Tell whether the segment at hand must be dropped."""
    cdef uint64_t sojourn_us = s.sojourn_us
    cdef uint64_t interval_us = _interval_us(s)
    if s.asked_us and now_us - s.asked_us > sojourn_us:
        sojourn_us = now_us - s.asked_us  # so long at least
    sojourn_us += _queue_us(s)
    if sojourn_us < _target_us(s) or s.in_slow_start or s.rtt_us == 0:
        s.above_us = 0
        s.dropping = False
        return False
    if s.above_us == 0:
        s.above_us = now_us
    if now_us - s.above_us < interval_us:
        return False
    if not s.dropping:
        s.dropping = True
        # A queue that is soon back needs about the rate that emptied it before.
        if s.drop_count > 2 and now_us - s.drop_next_us < 8 * interval_us:
            s.drop_count -= 2
        else:
            s.drop_count = 1
    elif now_us < s.drop_next_us:
        return False
    elif s.drop_count < DROP_COUNT_MAX:
        s.drop_count += 1
    s.drop_next_us = now_us + 4 * interval_us // _root16(s.drop_count)
    return True


cdef class StandingQueue:
    """The same for tests and simulations; times and round trips in microseconds."""

    cdef Standing s

    def path(self, uint64_t now_us, uint32_t rtt_us, uint32_t min_rtt_us,
             bint is_below_threshold, uint64_t rate) -> None:
        """Learn the path, as from TCP_INFO."""
        standing_path(&self.s, now_us, rtt_us, min_rtt_us, is_below_threshold, rate)

    def wants_to_ask(self, uint64_t now_us) -> bool:
        """Tell whether a question is due."""
        return standing_wants_to_ask(&self.s, now_us)

    def asked(self, uint64_t now_us) -> None:
        """Note a question."""
        standing_asked(&self.s, now_us)

    def answered(self, uint64_t now_us) -> None:
        """Note its answer."""
        standing_answered(&self.s, now_us)

    def empty(self) -> None:
        """Note that nothing waits."""
        standing_empty(&self.s)

    def is_overdue(self, uint64_t now_us) -> bool:
        """Tell whether the segment at hand must be dropped."""
        return standing_is_overdue(&self.s, now_us)
