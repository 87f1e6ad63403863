# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The loops of bench_offload.py: the C functions without any Python object in the way."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from sevpn._block cimport FrameRef
from sevpn._offload cimport Merger, offload_checksum, offload_merge, offload_split


cdef double now_ns() noexcept nogil:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return at.tv_sec * 1e9 + at.tv_nsec


def checksum_ns(bytes data, int rounds) -> tuple[float, int]:
    """Return the nanoseconds of one sum over `data`, and something of the sums."""
    cdef const unsigned char* start = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef size_t size = len(data)
    cdef unsigned int total = 0
    cdef int turn
    cdef double began = now_ns()
    for turn in range(rounds):
        total += offload_checksum(start, size)
    return (now_ns() - began) / rounds, total


def split_ns(bytes vnet_frame, int rounds) -> tuple[float, int]:
    """Return the nanoseconds of cutting one read, and how many frames it gives."""
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(vnet_frame)
    cdef size_t size = len(vnet_frame)
    cdef unsigned char* out = <unsigned char*>malloc(1 << 18)
    cdef uint32_t count = 0
    cdef uint32_t next_segment
    cdef int turn
    cdef double began = now_ns()
    for turn in range(rounds):
        next_segment = 0
        offload_split(data, size, out, 1 << 18, 128, &next_segment, &count)
    began = (now_ns() - began) / rounds
    free(out)
    return began, count


def merge_ns(list frames, int rounds) -> tuple[float, int]:
    """Return the nanoseconds of merging these frames (at most 256), and the writes."""
    cdef bytes joined = b"\0\0\0\0".join([b"", *frames])
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(joined)
    cdef FrameRef* refs = <FrameRef*>malloc(len(frames) * sizeof(FrameRef))
    cdef Merger* m = <Merger*>calloc(1, sizeof(Merger))
    cdef uint32_t at = 0
    cdef uint32_t n = len(frames)
    cdef uint32_t index
    cdef int turn
    cdef double began
    for index in range(n):
        refs[index].offset = at + 4
        refs[index].size = len(frames[index])
        at += 4 + refs[index].size
    began = now_ns()
    for turn in range(rounds):
        offload_merge(m, data, refs, n, 3)
    began = (now_ns() - began) / rounds
    index = m.item_count
    free(m)
    free(refs)
    return began, index
