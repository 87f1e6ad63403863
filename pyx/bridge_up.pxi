# The TAP's side of the bridge upwards: reads become groups of blocks in the arena.
# Included by _bridge.pyx.

cdef size_t uplink_fill(Uplink* up) noexcept nogil:
    """Read the TAP into the arena as groups of blocks; return their size in bytes.

    Group := u32 count (at most 128), count * (u32 size, frame)   (protocol.md 6.2)
    """
    cdef size_t at = 0          # where the next block goes
    cdef size_t group_at = 0    # the open group's count word
    cdef uint32_t group = 0     # its frames so far
    cdef bint is_open = False
    cdef uint32_t frames
    cdef Py_ssize_t got
    while at + 4 + FRAME_ROOM_BYTES <= ARENA_BYTES:
        if not is_open:
            is_open = True
            group_at = at
            at += 4
        if up.vnet:
            got = _take_super(up, at, GROUP_MAX_FRAMES - group, &frames)
        else:
            got = _take_plain(up, at, &frames)
        if got < 0:
            break
        at += <size_t>got
        group += frames
        up.frames_up += frames
        up.bytes_up += <uint64_t>got - 4 * frames
        if group == GROUP_MAX_FRAMES or (group and not up.batch):
            store_u32(up.arena + group_at, group)
            group = 0
            is_open = False
            if not up.batch:
                break
    if group:
        store_u32(up.arena + group_at, group)
    elif is_open:
        at = group_at  # a count word for which no frame came
    return at


cdef Py_ssize_t _take_plain(Uplink* up, size_t at, uint32_t* frames) noexcept nogil:
    """Read one frame in place, behind its size word; -1 = the TAP has none."""
    cdef ssize_t got = c_read(up.tap_fd, up.arena + at + 4, BLOCK_FRAME_MAX_BYTES + 1)
    frames[0] = 0
    if got <= 0:
        if got < 0 and errno == EINTR:
            return 0
        up.tap_ready = False
        return -1
    up.tap_reads += 1
    if got > BLOCK_FRAME_MAX_BYTES:
        up.drops_up += 1
        return 0
    store_u32(up.arena + at, <uint32_t>got)
    frames[0] = 1
    return 4 + got


cdef Py_ssize_t _take_super(
    Uplink* up, size_t at, uint32_t max_frames, uint32_t* frames
) noexcept nogil:
    """Cut (the rest of) a super-frame into the arena; -1 = the TAP has none.

    What finds no room in this arena or group goes into the next one.
    """
    cdef Py_ssize_t put
    frames[0] = 0
    if up.in_segment == 0:
        put = c_read(up.tap_fd, up.tap_in, OFFLOAD_READ_BYTES)
        if put <= 0:
            if put < 0 and errno == EINTR:
                return 0
            up.tap_ready = False
            return -1
        up.tap_reads += 1
        up.in_size = <size_t>put
    put = offload_split(
        up.tap_in, up.in_size, up.arena + at, ARENA_BYTES - at, max_frames,
        &up.in_segment, frames,
    )
    if put >= 0:
        return put
    up.in_segment = 0
    if put == SPLIT_MALFORMED:
        up.drops_up += 1
    return 0
