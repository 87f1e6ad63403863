# cython: language_level=3
"""Which received frames the session wants copies of: DHCP answers and ARP. Inline."""

from libc.stdint cimport uint8_t, uint32_t

from sevpn.wire cimport load_u16


cdef enum:
    CAPTURE_DHCP = 1    # IPv4, no fragment, UDP to port 68 (RFC 2131 4.1)
    CAPTURE_ARP = 2


cdef inline bint is_wanted(const uint8_t* frame, size_t size, uint32_t mask) noexcept nogil:
    """Tell whether a frame of at least 14 bytes is one that `mask` asks for."""
    cdef size_t udp
    if frame[12] != 0x08 or size < 42:
        return False
    if frame[13] == 0x06:
        return mask & CAPTURE_ARP != 0
    if frame[13] != 0x00 or frame[23] != 17 or mask & CAPTURE_DHCP == 0:
        return False
    if load_u16(frame + 20) & 0x3FFF or frame[14] & 0xF0 != 0x40:
        return False
    udp = 14 + <size_t>(frame[14] & 0x0F) * 4
    return udp + 4 <= size and load_u16(frame + udp + 2) == 68
