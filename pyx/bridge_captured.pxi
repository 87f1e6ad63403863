# Copies of the few frames the session wants to see: DHCP, and ARP while an address is tried.
# Included by _bridge.pyx.

cdef enum:
    CAPTURE_SLOTS = 16
    CAPTURE_SLOT_BYTES = 2 + BLOCK_FRAME_MAX_BYTES  # u16 size in network order, the frame


cdef bint captured_take(Captured* captured, uint8_t* frame, size_t size) noexcept nogil:
    """Copy a frame for the session if it asked for it; True = the TAP must not see it.

    A DHCP answer sent to us alone would make the kernel complain to the server by ICMP.
    """
    cdef uint8_t* slot
    if not is_wanted(frame, size, captured.mask):
        return False
    if captured.count == CAPTURE_SLOTS:
        captured.drops += 1
        return False
    slot = captured.slots + captured.count * CAPTURE_SLOT_BYTES
    store_u16(slot, <uint16_t>size)
    memcpy(slot + 2, frame, size)
    captured.count += 1
    return frame[13] == 0x00 and not frame[0] & 1


cdef list captured_list(Captured* captured):
    """Return the frames, and forget them."""
    cdef uint32_t slot
    cdef uint8_t* at
    frames: list = []
    for slot in range(captured.count):
        at = captured.slots + slot * CAPTURE_SLOT_BYTES
        frames.append((<char*>(at + 2))[:load_u16(at)])
    captured.count = 0
    return frames
