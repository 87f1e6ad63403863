# cython: language_level=3
"""The standing queue's parts, see _standing.pyx."""

from libc.stdint cimport uint32_t, uint64_t


cdef struct Standing:
    # What a frame waits: a question of our own goes through the TAP's queue and back.
    uint64_t asked_us           # when it was put there, 0 = none is under way
    uint64_t ask_next_us
    uint64_t sojourn_us         # what the last one waited
    # What the path is like, from TCP_INFO.
    uint32_t rtt_us
    uint32_t min_rtt_us
    uint64_t best_rate          # bytes a second
    uint64_t grown_us           # when it was last beaten
    bint in_slow_start
    bint is_full
    # The law of control.
    uint64_t above_us           # since when more than the target was waited, 0 = it was not
    bint dropping
    uint32_t drop_count
    uint64_t drop_next_us


cdef void standing_reset(Standing* s) noexcept nogil
cdef void standing_path(
    Standing* s, uint64_t now_us, uint32_t rtt_us, uint32_t min_rtt_us, bint is_below_threshold,
    uint64_t rate,
) noexcept nogil
cdef bint standing_wants_to_ask(const Standing* s, uint64_t now_us) noexcept nogil
cdef void standing_asked(Standing* s, uint64_t now_us) noexcept nogil
cdef void standing_answered(Standing* s, uint64_t now_us) noexcept nogil
cdef void standing_empty(Standing* s) noexcept nogil
cdef bint standing_is_overdue(Standing* s, uint64_t now_us) noexcept nogil
