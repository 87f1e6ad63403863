# cython: language_level=3
"""The time since boot, suspended time included. Inline, no module of its own."""

from libc.stdint cimport uint64_t

from sevpn.linux cimport CLOCK_BOOTTIME, clock_gettime, timespec


cdef inline uint64_t now_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_BOOTTIME, &now)
    return <uint64_t>now.tv_sec * 1000000 + <uint64_t>now.tv_nsec // 1000


cdef inline uint64_t now_ms() noexcept nogil:
    return now_us() // 1000
