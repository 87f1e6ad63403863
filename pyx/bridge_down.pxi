# The TAP's side of the bridge downwards: received frames become as few writes as may be.
# Included by _bridge.pyx.


cdef void downlink_write(Downlink* down, const uint8_t* base, uint32_t count) noexcept nogil:
    """Write the frames of `refs` to the TAP, merged as far as that is allowed."""
    cdef uint32_t done = 0
    cdef uint32_t i
    cdef Merger* merger = down.merger
    if not down.vnet:
        for i in range(count):
            _count_write(
                down, c_write(down.tap_fd, base + down.refs[i].offset, down.refs[i].size), 1
            )
        return
    while done < count:
        done += offload_merge(merger, base, down.refs + done, count - done, down.merge_flags)
        for i in range(merger.item_count):
            _count_write(
                down,
                writev(
                    down.tap_fd,
                    &merger.iov[merger.items[i].iov_first],
                    <int>merger.items[i].iov_count,
                ),
                merger.items[i].frames,
            )


cdef inline void _count_write(Downlink* down, ssize_t put, uint32_t frames) noexcept nogil:
    down.tap_writes += 1
    if put < 0:
        down.drops += frames
