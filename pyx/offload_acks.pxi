# Down: of a row of acknowledgements only the last. Part of _offload.pyx, which explains.

cdef enum:
    TIMESTAMPS_ALONE = 0x0101080A   # two NOPs, kind 8, 10 bytes (RFC 7323 appendix A)


cdef inline bint is_pure_ack(const unsigned char* tcp, size_t transport_bytes) noexcept nogil:
    # No data, no flag but ACK, no urgent pointer, no options or only timestamps: not SACK.
    if tcp[13] != TCP_ACK or tcp[12] & 15 or load_u16(tcp + 18):
        return False
    if transport_bytes == 20:
        return tcp[12] == 0x50
    return transport_bytes == 32 and tcp[12] == 0x80 and load_u32(tcp + 20) == TIMESTAMPS_ALONE


cdef bint supersedes(
    const MergeItem* item, const unsigned char* head, const Segment* seg,
) noexcept nogil:
    # Tells whether this acknowledgement says all that the item's says, and later: then the
    # kernel needs only this one, as acknowledgements are cumulative (RFC 9293 3.4). One does not
    # give up one with its own number, since duplicates mean a loss (RFC 5681 3.2); of a row of
    # duplicates before a later number, the last one goes: that number fills what was missing.
    cdef const unsigned char* ip = seg.frame + seg.l3_offset
    cdef const unsigned char* head_ip = head + item.l3_offset
    cdef const unsigned char* l4 = seg.frame + seg.l4_offset
    cdef const unsigned char* head_l4 = head + item.l4_offset

    if (not item.is_pure_ack or seg.l3_offset != item.l3_offset
            or memcmp(seg.frame, head, item.l3_offset) != 0
            or l4[12] != head_l4[12] or load_u32(l4 + 4) != load_u32(head_l4 + 4)
            or <int32_t>(load_u32(l4 + 8) - load_u32(head_l4 + 8)) <= 0):
        return False
    if item.ip_version == 4:
        if (ip[1] != head_ip[1] or ip[8] != head_ip[8]
                or load_u16(ip + 6) != load_u16(head_ip + 6)):
            return False
    elif memcmp(ip, head_ip, 4) != 0 or ip[7] != head_ip[7]:
        return False
    # An older time stamp could be refused (RFC 7323 5.3), and the item's would be missing.
    if l4[12] == 0x80 and <int32_t>(load_u32(l4 + 24) - load_u32(head_l4 + 24)) < 0:
        return False
    return checksums_are_right(seg.frame, item, seg.payload_offset - seg.l4_offset)


cdef bint replace_ack(
    Merger* m, MergeItem* item, const unsigned char* buf, const FrameRef* frames,
    uint32_t index, const Segment* seg,
) noexcept nogil:
    # Puts acknowledgement `index` in the place of the item's, or says no.
    if not supersedes(item, buf + frames[item.first_frame].offset, seg):
        return False
    item.first_frame = item.last_frame = <uint16_t>index
    item.frame_bytes = frames[index].size
    m.superseded_acks += 1
    return True


cdef void check_ack(Merger* m, MergeItem* item, const Segment* seg) noexcept nogil:
    # An acknowledgement that is damaged stays for the kernel to judge.
    if not checksums_are_right(seg.frame, item, item.payload_offset - item.l4_offset):
        m.bad_checksums += 1
        item.is_pure_ack = False
