# The tunnel stream's parser as plain C, for the bridge (protocol.md 6.2).
#
# Group     := u32 count, count * (u32 size, size bytes)
# KeepAlive := u32 0xFFFFFFFF, u32 size, size bytes      only where a count may stand

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    BLOCK_KEEPALIVE_MAGIC = 0xFFFFFFFF
    BLOCK_KEEPALIVE_MAX_BYTES = 512
    BLOCK_MAX_BYTES = 3200          # a larger size word breaks the framing
    BLOCK_FRAME_MIN_BYTES = 14      # a smaller block is skipped
    BLOCK_FRAME_MAX_BYTES = 1600    # a larger one, up to BLOCK_MAX_BYTES, is skipped
    # What a caller's buffer must at least hold: one size word and one whole frame.
    BLOCK_TAIL_MAX_BYTES = 1604

cdef enum:
    BLOCK_ERROR_SIZE = -1           # a block larger than BLOCK_MAX_BYTES
    BLOCK_ERROR_KEEPALIVE = -2      # a keepalive larger than BLOCK_KEEPALIVE_MAX_BYTES

cdef struct BlockParser:
    uint32_t blocks_left            # blocks of the open group still to come
    uint32_t skip_bytes             # rest of a body that nobody wants
    int error                       # 0, or the error that ended this stream for good
    uint64_t frames                 # handed out
    uint64_t frame_bytes            # their sizes added up
    uint64_t keepalives
    uint64_t dropped_oversize       # blocks of 1601..3200 bytes
    uint64_t dropped_short          # blocks of 0..13 bytes

cdef struct FrameRef:
    uint32_t offset                 # from the start of the buffer passed in
    uint32_t size                   # 14..1600

cdef Py_ssize_t block_parse(
    BlockParser* p, const unsigned char* buf, size_t size,
    FrameRef* out, size_t out_cap, size_t* out_count, int* items,
) noexcept nogil
