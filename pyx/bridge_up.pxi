# The TAP's side of the bridge upwards: reads become groups of blocks in the arena.
# Included by _bridge.pyx.

cdef enum:
    FILL_MIN_BYTES = 16384      # one record
    PACED_US = 500000           # the socket has set the pace lately
    CROWD_READS = 4             # found at once
    CROWD_READS_PER_MS = 8      # found one by one, by a host that lets us come in between


cdef void uplink_sent(Uplink* up, bint all_of_it) noexcept nogil:
    """Learn from a send how much to hand over at once.

    A fast path is worth large sends; on a slow one they would be a queue of their own in
    front of everything that comes later.
    """
    if all_of_it:
        up.fill_bytes = min(up.fill_bytes * 2, <size_t>FILL_MAX_BYTES)
    else:
        up.fill_bytes = max(up.fill_bytes // 2, <size_t>FILL_MIN_BYTES)
        up.blocked_us = now_us()


cdef void uplink_judge(Uplink* up, uint32_t reads, size_t filled) noexcept nogil:
    """Judge whether the TAP, just found empty, should gather frames for a moment.

    Many small frames: a wake-up and a send for every few of them cost more than the frames
    do. A host that asks and waits never has as many on their way, so nothing it waits for
    is late.
    """
    if up.now_us // 1000 != up.crowd_ms:
        up.crowd_ms = up.now_us // 1000
        up.crowd_reads = 0
    up.crowd_reads += reads
    up.crowded = (
        up.batch and not up.tap_ready and filled < FILL_MIN_BYTES
        and (reads >= CROWD_READS or up.crowd_reads >= CROWD_READS_PER_MS)
    )


cdef void uplink_reset(Uplink* up) noexcept nogil:
    """Begin with another stream: what was learned of the old one says nothing of it."""
    up.in_segment = 0
    up.blocked_us = 0
    up.fill_bytes = FILL_MAX_BYTES
    standing_reset(&up.standing)


cdef int uplink_ask_with(Uplink* up, bytes frame) except -1:
    """Take a question of the session's; b"" = ask none. Raises ValueError."""
    cdef size_t head = VNET_HDR_BYTES if up.vnet else 0
    if head + len(frame) > QUESTION_MAX_BYTES:
        raise ValueError("the question is too long")
    memset(up.question, 0, head)
    memcpy(up.question + head, <const char*>frame, len(frame))
    up.question_bytes = head + len(frame) if frame else 0
    standing_reset(&up.standing)
    return 0


cdef void uplink_measure(Uplink* up, int socket_fd) noexcept nogil:
    """Put a question into the TAP's queue now and then while the socket sets the pace.

    A path that takes everything has no queue in front of it, and no question is asked there.
    """
    cdef path known
    if up.question_bytes == 0 or not up.tap_ready:
        return
    up.now_us = now_us()
    if up.now_us - up.blocked_us >= PACED_US or not standing_wants_to_ask(&up.standing, up.now_us):
        return
    if tcp_path(socket_fd, &known) == 0:
        standing_path(
            &up.standing, up.now_us, known.rtt_us, known.min_rtt_us,
            known.cwnd < known.ssthresh, known.rate,
        )
    if c_write(up.tap_fd, up.question, up.question_bytes) == <ssize_t>up.question_bytes:
        standing_asked(&up.standing, up.now_us)


cdef bint _is_answer(Uplink* up, const uint8_t* read, size_t size) noexcept nogil:
    """Tell whether a read is the host's answer to the question."""
    cdef size_t head = VNET_HDR_BYTES if up.vnet else 0
    if size > QUESTION_MAX_BYTES or up.question_bytes == 0 or size < up.question_bytes:
        return False
    return memcmp(read + head, up.question + head + 6, 6) == 0


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
    up.now_us = now_us()
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
    if _is_answer(up, up.arena + at + 4, <size_t>got):
        standing_answered(&up.standing, now_us())
        return 0
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
        if _is_answer(up, up.tap_in, <size_t>put):
            standing_answered(&up.standing, now_us())
            return 0
        up.in_size = <size_t>put
        # Only of a TCP (or UDP) super-frame: never a ping, a question to DNS, a key press.
        if (put > VNET_HDR_BYTES + BLOCK_FRAME_MAX_BYTES
                and standing_is_overdue(&up.standing, up.now_us)):
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
