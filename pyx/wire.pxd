# Big-endian loads and stores: the only place where bytes become numbers.
#
# Layer 1, header only: `from sevpn.wire cimport load_u32`. Nothing here checks a bound;
# the caller has compared the length first. Any alignment will do. Compilers turn each
# of these into one load or store and a byte swap.

from libc.stdint cimport uint16_t, uint32_t, uint64_t


cdef inline uint16_t load_u16(const unsigned char* p) noexcept nogil:
    return <uint16_t>((<uint32_t>p[0] << 8) | <uint32_t>p[1])


cdef inline uint32_t load_u32(const unsigned char* p) noexcept nogil:
    return (
        (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16)
        | (<uint32_t>p[2] << 8) | <uint32_t>p[3]
    )


cdef inline uint64_t load_u64(const unsigned char* p) noexcept nogil:
    return (<uint64_t>load_u32(p) << 32) | <uint64_t>load_u32(p + 4)


cdef inline void store_u16(unsigned char* p, uint16_t value) noexcept nogil:
    p[0] = <unsigned char>(value >> 8)
    p[1] = <unsigned char>value


cdef inline void store_u32(unsigned char* p, uint32_t value) noexcept nogil:
    p[0] = <unsigned char>(value >> 24)
    p[1] = <unsigned char>(value >> 16)
    p[2] = <unsigned char>(value >> 8)
    p[3] = <unsigned char>value


cdef inline void store_u64(unsigned char* p, uint64_t value) noexcept nogil:
    store_u32(p, <uint32_t>(value >> 32))
    store_u32(p + 4, <uint32_t>value)


cdef inline void put_u32(unsigned char* p, uint32_t value) noexcept nogil:
    # The bridge's name for it: it puts length words in front of frames.
    store_u32(p, value)
