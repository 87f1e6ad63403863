# Down: join the frames of one read of the tunnel. Part of _offload.pyx, which explains.

cdef enum:
    KIND_OTHER = 0                  # belongs to no TCP or UDP flow: passes, disturbs nobody
    KIND_BARRIER = 1                # may belong to any flow: nothing may overtake it
    KIND_FLOW = 2                   # has ports


cdef struct Segment:                # what merging must know of one frame
    const unsigned char* frame
    uint32_t hash
    uint16_t l3_offset
    uint16_t l4_offset
    uint16_t payload_offset
    uint16_t payload_bytes
    uint8_t protocol
    uint8_t ip_version
    bint is_candidate               # has the plain form that may be merged
    bint is_last                    # nothing may be appended behind it (PSH)
    bint is_pure_ack                # acknowledges, and says nothing else


cdef inline bint is_extension(uint8_t protocol) noexcept nogil:
    # IPv6: something in front of a transport header that is not looked for.
    return (
        protocol == PROTOCOL_HOP_BY_HOP or protocol == PROTOCOL_ROUTING
        or protocol == PROTOCOL_FRAGMENT or protocol == PROTOCOL_AUTHENTICATION
        or protocol == PROTOCOL_DESTINATION or protocol == PROTOCOL_MOBILITY
        or protocol == PROTOCOL_HIP or protocol == PROTOCOL_SHIM6
    )


cdef inline uint32_t flow_hash(const unsigned char* addresses, size_t size,
                               uint32_t ports, uint8_t protocol) noexcept nogil:
    cdef uint32_t mixed = (ports + protocol) * <uint32_t>0x9E3779B1
    cdef size_t offset = 0
    while offset < size:            # 8 or 32 bytes
        mixed = (mixed ^ load_u32(addresses + offset)) * <uint32_t>0x85EBCA6B
        mixed ^= mixed >> 15
        offset += 4
    return mixed


cdef int classify(
    const unsigned char* frame, size_t size, int flags, Segment* seg,
) noexcept nogil:
    cdef uint16_t ethertype = 0
    cdef size_t l3 = network_offset(frame, size, &ethertype)
    cdef size_t l4, end, transport_bytes, header_bytes
    cdef const unsigned char* ip = frame + l3
    cdef const unsigned char* l4_header
    cdef uint8_t flag_bits

    if l3 == 0:
        return KIND_OTHER
    if ethertype == ETHERTYPE_IPV4:
        if size < l3 + 20 or ip[0] >> 4 != 4:
            return KIND_BARRIER
        seg.protocol = ip[9]
        if seg.protocol != PROTOCOL_TCP and seg.protocol != PROTOCOL_UDP:
            return KIND_OTHER
        if ip[0] != 0x45 or load_u16(ip + 6) & IPV4_FRAGMENT_BITS:
            return KIND_BARRIER
        seg.ip_version = 4
        l4 = l3 + 20
        end = l3 + load_u16(ip + 2)
        seg.is_candidate = not ip[6] & 0x80
    elif ethertype == ETHERTYPE_IPV6:
        if size < l3 + 40 or ip[0] >> 4 != 6:
            return KIND_BARRIER
        seg.protocol = ip[6]
        if seg.protocol != PROTOCOL_TCP and seg.protocol != PROTOCOL_UDP:
            return KIND_BARRIER if is_extension(seg.protocol) else KIND_OTHER
        seg.ip_version = 6
        l4 = l3 + 40
        end = l4 + load_u16(ip + 4)
        seg.is_candidate = True
    else:
        return KIND_OTHER

    if end > size or end < l4 + 8:
        return KIND_BARRIER
    if end < size:
        seg.is_candidate = False    # padding has no place in a merged frame
    transport_bytes = end - l4
    l4_header = frame + l4
    seg.is_last = False
    seg.is_pure_ack = False
    if seg.protocol == PROTOCOL_TCP:
        if transport_bytes < 20:
            return KIND_BARRIER
        seg.is_pure_ack = flags & MERGE_ACKS != 0 and is_pure_ack(l4_header, transport_bytes)
        header_bytes = <size_t>(l4_header[12] >> 4) * 4
        flag_bits = l4_header[13]
        if (not flags & MERGE_TCP or flag_bits & <uint8_t>~TCP_PSH != TCP_ACK
                or l4_header[12] & 15 or load_u16(l4_header + 18)
                or header_bytes < 20 or header_bytes >= transport_bytes):
            seg.is_candidate = False
            header_bytes = transport_bytes if seg.is_pure_ack else 20
        seg.is_last = flag_bits & TCP_PSH != 0
    else:
        header_bytes = 8
        if (not flags & MERGE_UDP or load_u16(l4_header + 4) != transport_bytes
                or transport_bytes == 8 or load_u16(l4_header + 6) == 0):
            seg.is_candidate = False

    seg.frame = frame
    seg.l3_offset = <uint16_t>l3
    seg.l4_offset = <uint16_t>l4
    seg.payload_offset = <uint16_t>(l4 + header_bytes)
    seg.payload_bytes = <uint16_t>(transport_bytes - header_bytes)
    if seg.ip_version == 4:
        seg.hash = flow_hash(ip + 12, 8, load_u32(l4_header), seg.protocol)
    else:
        seg.hash = flow_hash(ip + 8, 32, load_u32(l4_header), seg.protocol)
    return KIND_FLOW


cdef inline bint same_flow(
    const MergeItem* item, const unsigned char* head, const Segment* seg,
) noexcept nogil:
    # Addresses, ports and protocol; link-layer differences do not make another flow.
    if item.protocol != seg.protocol or item.ip_version != seg.ip_version:
        return False
    if memcmp(head + item.l4_offset, seg.frame + seg.l4_offset, 4) != 0:
        return False
    if item.ip_version == 4:
        return memcmp(head + item.l3_offset + 12, seg.frame + seg.l3_offset + 12, 8) == 0
    return memcmp(head + item.l3_offset + 8, seg.frame + seg.l3_offset + 8, 32) == 0


cdef MergeSlot* find_slot(
    Merger* m, const unsigned char* buf, const FrameRef* frames, const Segment* seg, bint* found,
) noexcept nogil:
    # The slot of this flow in this window, or the one it may take (an empty one, else one
    # whose flow is thereby closed: its next frame will open another item).
    cdef MergeSlot* slot
    cdef MergeItem* item
    cdef uint32_t probe
    found[0] = False
    for probe in range(MERGE_PROBES):
        slot = &m.slots[(seg.hash + probe) & (MERGE_SLOTS - 1)]
        if slot.window != m.window:
            return slot
        if slot.hash == seg.hash:
            item = &m.items[slot.item]
            if same_flow(item, buf + frames[item.first_frame].offset, seg):
                found[0] = True
                return slot
    return &m.slots[seg.hash & (MERGE_SLOTS - 1)]


cdef inline bint headers_match(
    const MergeItem* item, const unsigned char* head, const Segment* seg,
) noexcept nogil:
    # Everything that a merged frame can hold only once must be the same in both.
    cdef const unsigned char* ip = seg.frame + seg.l3_offset
    cdef const unsigned char* head_ip = head + item.l3_offset
    cdef const unsigned char* l4 = seg.frame + seg.l4_offset
    cdef const unsigned char* head_l4 = head + item.l4_offset
    cdef uint16_t fragment_word

    if (seg.l3_offset != item.l3_offset or seg.payload_offset != item.payload_offset
            or memcmp(seg.frame, head, item.l3_offset) != 0):
        return False
    if item.ip_version == 4:
        fragment_word = load_u16(ip + 6)
        if (ip[1] != head_ip[1] or ip[8] != head_ip[8]
                or fragment_word != load_u16(head_ip + 6)):
            return False
        # RFC 6864: the ID of a datagram that must not be fragmented has no meaning, and
        # stacks fill it in many ways. Otherwise it must be what splitting would write.
        if (not fragment_word & IPV4_DONT_FRAGMENT
                and load_u16(ip + 4) != <uint16_t>(load_u16(head_ip + 4) + item.frames)):
            return False
    elif memcmp(ip, head_ip, 4) != 0 or ip[7] != head_ip[7]:
        return False
    if item.protocol == PROTOCOL_UDP:
        return True
    # Acknowledgement and header length, window, options. A new acknowledgement or window
    # is news for the sender inside the kernel that must not be lost or come early.
    return (
        load_u32(l4 + 4) == item.next_seq
        and memcmp(l4 + 8, head_l4 + 8, 5) == 0
        and memcmp(l4 + 14, head_l4 + 14, 2) == 0
        and memcmp(l4 + 20, head_l4 + 20, item.payload_offset - item.l4_offset
                   - <size_t>20) == 0
    )


cdef bint checksums_are_right(
    const unsigned char* frame, const MergeItem* item, size_t transport_bytes,
) noexcept nogil:
    cdef const unsigned char* ip = frame + item.l3_offset
    cdef uint64_t total
    if item.ip_version == 4 and checksum_fold(checksum_add(ip, 20, 0)) != 0xFFFF:
        return False
    total = pseudo_sum(ip, item.ip_version, item.protocol, transport_bytes)
    total = checksum_add(frame + item.l4_offset, transport_bytes, total)
    return checksum_fold(total) == 0xFFFF


cdef bint try_append(
    Merger* m, MergeItem* item, const unsigned char* buf, const FrameRef* frames,
    uint32_t index, const Segment* seg, bint* is_bad,
) noexcept nogil:
    # Appends frame `index` to the open item, or says no. `is_bad` = a wrong checksum.
    cdef const unsigned char* head = buf + frames[item.first_frame].offset
    cdef size_t header_bytes = item.payload_offset - item.l4_offset
    cdef uint32_t limit = MERGE_MAX_TCP_SEGMENTS
    if item.protocol == PROTOCOL_UDP:
        limit = MERGE_MAX_UDP_SEGMENTS
    if (not item.is_open or item.frames >= limit
            or seg.payload_bytes > item.segment_bytes
            or item.frame_bytes + seg.payload_bytes > MERGE_MAX_BYTES
            or not headers_match(item, head, seg)):
        return False
    if not item.is_verified:
        if not checksums_are_right(head, item, header_bytes + item.segment_bytes):
            m.bad_checksums += 1
            return False
        item.is_verified = True
    if not checksums_are_right(seg.frame, item, header_bytes + seg.payload_bytes):
        m.bad_checksums += 1
        is_bad[0] = True
        return False
    m.next_frame[item.last_frame] = <uint16_t>index
    item.last_frame = <uint16_t>index
    item.frames += 1
    item.frame_bytes += seg.payload_bytes
    item.next_seq += seg.payload_bytes
    item.ends_with_push = seg.is_last
    if seg.is_last or seg.payload_bytes < item.segment_bytes:
        item.is_open = False
    return True


cdef inline void start_item(Merger* m, uint32_t index, uint32_t size) noexcept nogil:
    cdef MergeItem* item = &m.items[m.item_count]
    m.item_count += 1
    item.frames = 1
    item.frame_bytes = size
    item.first_frame = <uint16_t>index
    item.last_frame = <uint16_t>index
    item.is_open = False
    item.is_pure_ack = False


cdef inline void open_item(MergeItem* item, const Segment* seg) noexcept nogil:
    # Makes the item just started one that may grow, or give way to a later acknowledgement.
    item.is_open = not seg.is_last and not seg.is_pure_ack
    item.is_pure_ack = seg.is_pure_ack
    item.is_verified = False
    item.ends_with_push = seg.is_last
    item.segment_bytes = seg.payload_bytes
    item.next_seq = load_u32(seg.frame + seg.l4_offset + 4) + seg.payload_bytes
    item.l3_offset = seg.l3_offset
    item.l4_offset = seg.l4_offset
    item.payload_offset = seg.payload_offset
    item.protocol = seg.protocol
    item.ip_version = seg.ip_version


cdef void write_merged_header(
    const MergeItem* item, const unsigned char* head, unsigned char* header,
) noexcept nogil:
    # The first frame's headers for the whole, behind the virtio header that explains them.
    cdef unsigned char* frame = header + VNET_HDR_BYTES
    cdef unsigned char* ip = frame + item.l3_offset
    cdef unsigned char* l4 = frame + item.l4_offset
    cdef uint32_t transport_bytes = item.frame_bytes - item.l4_offset
    cdef uint16_t fields[4]         # hdr_len, gso_size, csum_start, csum_offset
    cdef uint16_t folded

    memcpy(frame, head, item.payload_offset)
    if item.ip_version == 4:
        store_u16(ip + 2, <uint16_t>(transport_bytes + 20))
        finish_ipv4(ip, 20)
    else:
        store_u16(ip + 4, <uint16_t>transport_bytes)
    # A partial checksum: the pseudo header's sum, not complemented; the kernel adds the rest
    # when a segment leaves this host and trusts it when it stays.
    folded = checksum_fold(pseudo_sum(ip, item.ip_version, item.protocol, transport_bytes))
    header[0] = VNET_F_NEEDS_CSUM
    if item.protocol == PROTOCOL_TCP:
        header[1] = VNET_GSO_TCPV4 if item.ip_version == 4 else VNET_GSO_TCPV6
        fields[3] = 16
        if item.ends_with_push:
            l4[13] |= TCP_PSH
    else:
        header[1] = VNET_GSO_UDP_L4
        fields[3] = 6
        store_u16(l4 + 4, <uint16_t>transport_bytes)
    checksum_store(l4 + fields[3], folded)
    fields[0] = item.payload_offset
    fields[1] = item.segment_bytes
    fields[2] = item.l4_offset
    memcpy(header + 2, fields, 8)


cdef void lay_out_writes(
    Merger* m, const unsigned char* buf, const FrameRef* frames,
) noexcept nogil:
    # Fills iov for each item: two entries for a single frame, one for each segment and one
    # for the header of a merged one, so never more than two for each frame.
    cdef uint32_t iov_at = 0
    cdef uint32_t headers_used = 0
    cdef uint32_t index, segment, frame_index
    cdef MergeItem* item
    cdef const unsigned char* frame
    cdef unsigned char* header

    for index in range(m.item_count):
        item = &m.items[index]
        frame_index = item.first_frame
        frame = buf + frames[frame_index].offset
        item.iov_first = iov_at
        item.size = VNET_HDR_BYTES + item.frame_bytes
        if item.frames == 1:
            item.iov_count = 2
            m.iov[iov_at].iov_base = m.zero_header
            m.iov[iov_at].iov_len = VNET_HDR_BYTES
            m.iov[iov_at + 1].iov_base = <void*>frame
            m.iov[iov_at + 1].iov_len = item.frame_bytes
            iov_at += 2
            continue
        header = m.headers[headers_used]
        headers_used += 1
        write_merged_header(item, frame, header)
        item.iov_count = item.frames + 1
        m.iov[iov_at].iov_base = header
        m.iov[iov_at].iov_len = <size_t>VNET_HDR_BYTES + item.payload_offset
        iov_at += 1
        for segment in range(item.frames):
            m.iov[iov_at].iov_base = <void*>(
                buf + frames[frame_index].offset + item.payload_offset)
            m.iov[iov_at].iov_len = frames[frame_index].size - item.payload_offset
            iov_at += 1
            frame_index = m.next_frame[frame_index]
        m.merged_items += 1
        m.merged_frames += item.frames


cdef inline void take_slot(Merger* m, MergeSlot* slot, const Segment* seg) noexcept nogil:
    # The item just started is the flow's newest.
    slot.window = m.window
    slot.hash = seg.hash
    slot.item = m.item_count - 1


cdef inline void new_window(Merger* m) noexcept nogil:
    # Forgets every open item without touching the table.
    m.window += 1
    if m.window == 0:
        memset(m.slots, 0, sizeof(m.slots))
        m.window = 1


cdef uint32_t offload_merge(
    Merger* m, const unsigned char* buf, const FrameRef* frames, uint32_t n, int flags,
) noexcept nogil:
    cdef uint32_t index
    cdef int kind
    cdef Segment seg
    cdef MergeSlot* slot
    cdef bint found = False
    cdef bint is_bad

    if n > MERGE_MAX_FRAMES:
        n = MERGE_MAX_FRAMES
    m.item_count = 0
    new_window(m)
    memset(&seg, 0, sizeof(seg))
    for index in range(n):
        kind = classify(buf + frames[index].offset, frames[index].size, flags, &seg)
        if kind != KIND_FLOW:
            if kind == KIND_BARRIER:
                new_window(m)
            start_item(m, index, frames[index].size)
            continue
        slot = find_slot(m, buf, frames, &seg, &found)
        is_bad = False
        if seg.is_candidate:
            if found and try_append(
                    m, &m.items[slot.item], buf, frames, index, &seg, &is_bad):
                continue
            start_item(m, index, frames[index].size)
            if not is_bad:
                open_item(&m.items[m.item_count - 1], &seg)
                take_slot(m, slot, &seg)
                continue
        elif seg.is_pure_ack:
            if not found or not replace_ack(m, &m.items[slot.item], buf, frames, index, &seg):
                start_item(m, index, frames[index].size)
                open_item(&m.items[m.item_count - 1], &seg)
                check_ack(m, &m.items[m.item_count - 1], &seg)
                take_slot(m, slot, &seg)
            continue
        else:
            start_item(m, index, frames[index].size)
        if found:
            m.items[slot.item].is_open = m.items[slot.item].is_pure_ack = False
    lay_out_writes(m, buf, frames)
    return n
