# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The tunnel stream's framing: an incremental parser, and the two encoders.

Layer 1, pure: no I/O. The bridge calls `block_parse` in C without the GIL; nothing in it
allocates, and no Python object exists per frame. `Parser` is the same thing with a
Python face, for tests and for the fake server. Source: protocol.md 6.2 and 9.1.

    expect count --count n--> expect n blocks --last block--> expect count
         |  ^
         +--+ keepalive, or a count of 0
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.limits cimport INT_MAX
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from sevpn.wire cimport load_u32, store_u32

from sevpn.errors import BlockError

cdef enum:
    FEED_FRAMES = 64                # frames Parser takes per call of block_parse
    WALK_MAX_BYTES = 0x7FFFFFFF     # so that offsets fit FrameRef.offset


cdef Py_ssize_t block_parse(
    BlockParser* p, const unsigned char* buf, size_t size,
    FrameRef* out, size_t out_cap, size_t* out_count, int* items,
) noexcept nogil:
    """Walk `buf[0:size]`, fill `out` with whole frames, return the bytes done with.

    The bytes behind the returned position are at most BLOCK_TAIL_MAX_BYTES - 1 unless
    `out` became full: the caller moves them to the start of its buffer and reads more
    behind them. A full `out` (`out_count[0] == out_cap`) may have stopped the walk: the
    caller takes the frames, then calls again with the rest before it reads more.

    `out_count[0]` is set; `items[0]` is incremented for each complete block, skipped
    ones included, and each complete keepalive: the signs of life of protocol.md 6.3.
    A negative result is a framing error; it is final, and the frames in front of it are
    in `out` all the same.
    """
    cdef size_t pos = 0
    cdef size_t n = 0
    cdef size_t step
    cdef uint32_t word
    cdef int complete = 0           # at most size / 4

    out_count[0] = 0
    if p.error != 0:
        return p.error
    if size > WALK_MAX_BYTES:
        size = WALK_MAX_BYTES

    while True:
        if p.skip_bytes != 0:
            step = size - pos
            if step == 0:
                break
            if step < p.skip_bytes:
                p.skip_bytes -= <uint32_t>step
                pos = size
                break
            pos += p.skip_bytes
            p.skip_bytes = 0
            complete += 1

        if size - pos < 4:
            break
        word = load_u32(buf + pos)

        if p.blocks_left == 0:
            if word != <uint32_t>BLOCK_KEEPALIVE_MAGIC:
                p.blocks_left = word
                pos += 4
                continue
            # Magic and size are taken together, so that neither needs a state.
            if size - pos < 8:
                break
            word = load_u32(buf + pos + 4)
            if word > BLOCK_KEEPALIVE_MAX_BYTES:
                p.error = BLOCK_ERROR_KEEPALIVE
                break
            pos += 8
            p.keepalives += 1
            if word == 0:
                complete += 1
            else:
                p.skip_bytes = word
            continue

        if word > BLOCK_MAX_BYTES:
            p.error = BLOCK_ERROR_SIZE
            break
        if word < BLOCK_FRAME_MIN_BYTES or word > BLOCK_FRAME_MAX_BYTES:
            if word < BLOCK_FRAME_MIN_BYTES:
                p.dropped_short += 1
            else:
                p.dropped_oversize += 1
            pos += 4
            p.blocks_left -= 1
            if word == 0:
                complete += 1
            else:
                p.skip_bytes = word
            continue

        if n == out_cap or size - pos - 4 < word:
            break
        out[n].offset = <uint32_t>(pos + 4)
        out[n].size = word
        n += 1
        pos += 4 + <size_t>word
        p.blocks_left -= 1
        p.frames += 1
        p.frame_bytes += word
        complete += 1

    out_count[0] = n
    if items[0] <= INT_MAX - complete:      # a caller may never reset it
        items[0] += complete
    if p.error != 0:
        return p.error
    return <Py_ssize_t>pos


cdef class Parser:
    """One tunnel stream, read by Python.

    Holds at most 1603 bytes between two calls, whatever it is fed.
    """

    cdef BlockParser _state
    cdef bytes _tail
    cdef int _items

    def __cinit__(self):
        memset(&self._state, 0, sizeof(BlockParser))
        self._tail = b""
        self._items = 0

    def feed(self, bytes data not None):
        """Return the whole frames that `data` completes, in order.

        Raises BlockError when the framing is broken, and again on every later call;
        frames in front of the broken place in the same call are lost, but counted.
        """
        cdef FrameRef refs[FEED_FRAMES]
        cdef size_t count = FEED_FRAMES
        cdef size_t i
        cdef Py_ssize_t done
        cdef bytes buffer = self._tail + data
        cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(buffer)
        cdef size_t size = <size_t>PyBytes_GET_SIZE(buffer)
        cdef list frames = []

        while count == FEED_FRAMES:
            done = block_parse(&self._state, at, size, refs, FEED_FRAMES, &count, &self._items)
            if done < 0:
                self._tail = b""
                raise BlockError(
                    f"a block of the tunnel is larger than {BLOCK_MAX_BYTES} bytes"
                    if done == BLOCK_ERROR_SIZE else
                    f"a keepalive is larger than {BLOCK_KEEPALIVE_MAX_BYTES} bytes"
                )
            for i in range(count):
                frames.append(
                    PyBytes_FromStringAndSize(
                        <const char*>at + refs[i].offset, <Py_ssize_t>refs[i].size
                    )
                )
            at += done
            size -= <size_t>done
        self._tail = PyBytes_FromStringAndSize(<const char*>at, <Py_ssize_t>size)
        return frames

    @property
    def pending_bytes(self):
        """Bytes of an incomplete head or frame kept for the next call."""
        return PyBytes_GET_SIZE(self._tail)

    @property
    def items(self):
        """Complete blocks and keepalives so far."""
        return self._items

    @property
    def frames(self):
        return self._state.frames

    @property
    def frame_bytes(self):
        return self._state.frame_bytes

    @property
    def keepalives(self):
        return self._state.keepalives

    @property
    def dropped_oversize(self):
        return self._state.dropped_oversize

    @property
    def dropped_short(self):
        return self._state.dropped_short


def encode_group(list frames not None):
    """Return one group: u32 count, then u32 size and the bytes of each frame.

    Any block of 0..3200 bytes is taken, so that tests can build the odd ones too.
    Raises BlockError for a larger one.
    """
    cdef Py_ssize_t size = 4
    cdef Py_ssize_t length
    cdef bytes frame
    cdef bytes group
    cdef unsigned char* at

    for frame in frames:
        length = len(frame)
        if length > BLOCK_MAX_BYTES:
            raise BlockError(f"a block of {length} bytes is larger than {BLOCK_MAX_BYTES}")
        size += 4 + length
    group = PyBytes_FromStringAndSize(NULL, size)
    at = <unsigned char*>PyBytes_AS_STRING(group)
    store_u32(at, <uint32_t>len(frames))
    at += 4
    for frame in frames:
        length = PyBytes_GET_SIZE(frame)
        store_u32(at, <uint32_t>length)
        memcpy(at + 4, PyBytes_AS_STRING(frame), <size_t>length)
        at += 4 + length
    return group


def encode_keepalive(bytes body not None):
    """Return one keepalive: the magic, u32 size, the body (0..512 bytes).

    Raises BlockError for a larger body.
    """
    cdef unsigned char head[8]

    if len(body) > BLOCK_KEEPALIVE_MAX_BYTES:
        raise BlockError(
            f"a keepalive of {len(body)} bytes is larger than {BLOCK_KEEPALIVE_MAX_BYTES}"
        )
    store_u32(head, <uint32_t>BLOCK_KEEPALIVE_MAGIC)
    store_u32(head + 4, <uint32_t>len(body))
    return PyBytes_FromStringAndSize(<const char*>head, 8) + body
