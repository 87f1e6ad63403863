# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""SHA-0: SHA-1 without the rotation in its message schedule.

Layer 1, pure. No library has it any more; the protocol's password hashes need it
(protocol.md 4.1). It is broken as a hash and used for nothing else here.
Source: FIPS 180 (1993), section 7; vectors in protocol.md 4.1.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sevpn.wire cimport load_u32, store_u32, store_u64

cdef enum:
    BLOCK = 64          # bytes that one compression takes
    LENGTH_AT = 56      # where the last block holds the message length in bits


cdef inline uint32_t rotate(uint32_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (32 - bits))


cdef void compress(uint32_t* h, const unsigned char* block) noexcept nogil:
    cdef uint32_t w[80]
    cdef uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4]
    cdef uint32_t f, t
    cdef int i

    for i in range(16):
        w[i] = load_u32(block + 4 * i)
    for i in range(16, 80):
        # SHA-1 would rotate this by one bit: the whole difference.
        w[i] = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]

    for i in range(80):
        if i < 20:
            f = ((b & c) | (~b & d)) + <uint32_t>0x5A827999
        elif i < 40:
            f = (b ^ c ^ d) + <uint32_t>0x6ED9EBA1
        elif i < 60:
            f = ((b & c) | (b & d) | (c & d)) + <uint32_t>0x8F1BBCDC
        else:
            f = (b ^ c ^ d) + <uint32_t>0xCA62C1D6
        t = rotate(a, 5) + f + e + w[i]
        e = d
        d = c
        c = rotate(b, 30)
        b = a
        a = t

    h[0] += a
    h[1] += b
    h[2] += c
    h[3] += d
    h[4] += e


cdef void sha0(const unsigned char* data, size_t size, unsigned char* out) noexcept nogil:
    cdef uint32_t h[5]
    cdef unsigned char last[2 * BLOCK]
    cdef size_t pos = 0
    cdef size_t rest
    cdef size_t padded
    cdef int i

    h[0] = 0x67452301
    h[1] = 0xEFCDAB89
    h[2] = 0x98BADCFE
    h[3] = 0x10325476
    h[4] = 0xC3D2E1F0
    while size - pos >= BLOCK:
        compress(h, data + pos)
        pos += BLOCK

    # The rest, one 1 bit, zeros, and the length in bits at the end of a block.
    rest = size - pos
    padded = BLOCK if rest < LENGTH_AT else 2 * BLOCK
    memset(last, 0, sizeof(last))
    memcpy(last, data + pos, rest)
    last[rest] = 0x80
    store_u64(last + padded - 8, <uint64_t>size << 3)
    compress(h, last)
    if padded > BLOCK:
        compress(h, last + BLOCK)

    for i in range(5):
        store_u32(out + 4 * i, h[i])


def digest(bytes data not None):
    """Return the SHA-0 digest of `data`: 20 bytes."""
    cdef unsigned char out[20]

    sha0(
        <const unsigned char*>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), out
    )
    return PyBytes_FromStringAndSize(<const char*>out, 20)
