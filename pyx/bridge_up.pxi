# The TAP's side of the bridge upwards: reads become groups of blocks in the arena.
# Included by _bridge.pyx.

cdef enum:
    FILL_MIN_BYTES = 16384      # one record
    STANDING_MS = 100           # what waits so long is no burst (RFC 8289 4.3: the interval)
    DROP_COUNT_MAX = 10000      # one drop in each millisecond
    CROWD_READS = 4             # found at once
    CROWD_READS_PER_MS = 8      # found one by one, by a host that lets us come in between


cdef void uplink_woken(Uplink* up) noexcept nogil:
    """Note that the TAP, which was empty, has something now."""
    if not up.tap_ready:
        up.tap_ready = True
        up.busy_since_ms = now_ms()


cdef void uplink_sent(Uplink* up, bint all_of_it) noexcept nogil:
    """Learn from a send how much to hand over at once.

    A fast path is worth large sends; on a slow one they would be a queue of their own in
    front of everything that comes later.
    """
    if all_of_it:
        up.fill_bytes = min(up.fill_bytes * 2, <size_t>FILL_MAX_BYTES)
    else:
        up.fill_bytes = max(up.fill_bytes // 2, <size_t>FILL_MIN_BYTES)
        up.blocked_ms = now_ms()


cdef void uplink_judge(Uplink* up, uint32_t reads, size_t filled) noexcept nogil:
    """Judge whether the TAP, just found empty, should gather frames for a moment.

    Many small frames: a wake-up and a send for every few of them cost more than the frames
    do. A host that asks and waits never has as many on their way, so nothing it waits for
    is late.
    """
    if up.now_ms != up.crowd_ms:
        up.crowd_ms = up.now_ms
        up.crowd_reads = 0
    up.crowd_reads += reads
    up.crowded = (
        up.batch and not up.tap_ready and filled < FILL_MIN_BYTES
        and (reads >= CROWD_READS or up.crowd_reads >= CROWD_READS_PER_MS)
    )


cdef uint32_t _root(uint32_t number) noexcept nogil:
    """Return the square root, rounded down; for small numbers."""
    cdef uint32_t root = 1
    while (root + 1) * (root + 1) <= number:
        root += 1
    return root


cdef bint _is_overdue(Uplink* up) noexcept nogil:
    """Tell whether a segment must be dropped, so that TCP senders slow down.

    The TAP's queue counts packets, and a super-frame is one: it would hold seconds of a slow
    path. CoDel (RFC 8289) with what can be known here: the queue has a standing part when
    it was not found empty for STANDING_MS while the socket set the pace. Drops then follow
    each other faster and faster, by the square root of their number, until it empties.
    """
    if up.now_ms - up.busy_since_ms < STANDING_MS or up.now_ms - up.blocked_ms >= STANDING_MS:
        up.dropping = False
        return False
    if not up.dropping:
        up.dropping = True
        # A queue that is soon back needs about the rate that emptied it before.
        if up.drop_count > 2 and up.now_ms - up.drop_next_ms < 8 * STANDING_MS:
            up.drop_count -= 2
        else:
            up.drop_count = 1
    elif up.now_ms < up.drop_next_ms:
        return False
    elif up.drop_count < DROP_COUNT_MAX:
        up.drop_count += 1
    up.drop_next_ms = up.now_ms + 4 * STANDING_MS // _root(16 * up.drop_count)
    return True


cdef size_t uplink_fill(Uplink* up, size_t limit) noexcept nogil:
    """Read the TAP into the arena as groups of blocks; return their size in bytes.

    Group := u32 count (at most 128), count * (u32 size, frame)   (protocol.md 6.2)
    """
    cdef size_t at = 0          # where the next block goes
    cdef size_t group_at = 0    # the open group's count word
    cdef uint32_t group = 0     # its frames so far
    cdef bint is_open = False
    cdef uint32_t frames
    cdef Py_ssize_t got
    if limit > ARENA_BYTES:
        limit = ARENA_BYTES
    up.now_ms = now_ms()
    while at + 4 + FRAME_ROOM_BYTES <= limit:
        if not is_open:
            is_open = True
            group_at = at
            at += 4
        if up.vnet:
            got = _take_super(up, at, limit, GROUP_MAX_FRAMES - group, &frames)
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
    Uplink* up, size_t at, size_t limit, uint32_t max_frames, uint32_t* frames
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
        # Only of a TCP (or UDP) super-frame: never a ping, a question to DNS, a key press.
        if put > VNET_HDR_BYTES + BLOCK_FRAME_MAX_BYTES and _is_overdue(up):
            up.in_segment = 1
            up.drops_standing += 1
    put = offload_split(
        up.tap_in, up.in_size, up.arena + at, limit - at, max_frames,
        &up.in_segment, frames,
    )
    if put >= 0:
        return put
    up.in_segment = 0
    if put == SPLIT_MALFORMED:
        up.drops_up += 1
    return 0
