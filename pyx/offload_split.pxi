# Up: cut one read of the TAP into finished frames. Part of _offload.pyx, which explains.

cdef struct SuperFrame:
    size_t size
    size_t l3_offset
    size_t l4_offset
    size_t payload_offset
    size_t segment_bytes            # gso_size
    uint32_t segments               # at least 1
    int version                     # 4 or 6
    uint8_t protocol
    bint keeps_pseudo               # routing header: only the kernel's sum knows the target


cdef inline uint16_t vnet_u16(const unsigned char* field) noexcept nogil:
    cdef uint16_t value             # host byte order, no alignment
    memcpy(&value, field, 2)
    return value


cdef size_t transport_offset_v6(
    const unsigned char* frame, size_t size, size_t offset, uint8_t* protocol, bint* has_routing,
) noexcept nogil:
    # Walks the extension headers that Linux leaves in front of a super-frame's transport
    # header; 0 = others, or too short.
    cdef uint8_t next_header = frame[offset + 6]
    offset += 40
    while (next_header == PROTOCOL_HOP_BY_HOP or next_header == PROTOCOL_DESTINATION
            or next_header == PROTOCOL_ROUTING):
        if size < offset + 8:
            return 0
        if next_header == PROTOCOL_ROUTING:
            has_routing[0] = True
        next_header = frame[offset]
        offset += (<size_t>frame[offset + 1] + 1) * 8
    protocol[0] = next_header
    return offset


cdef bint parse_super_frame(
    const unsigned char* vnet_frame, size_t size, SuperFrame* sf,
) noexcept nogil:
    # False = malformed. Afterwards every offset in `sf` lies inside the frame.
    cdef const unsigned char* frame = vnet_frame + VNET_HDR_BYTES
    cdef uint8_t gso = vnet_frame[1] & <uint8_t>~VNET_GSO_ECN
    cdef uint16_t ethertype = 0
    cdef size_t header_bytes, payload_bytes
    cdef bint has_routing = False

    sf.size = size - VNET_HDR_BYTES
    sf.l3_offset = network_offset(frame, sf.size, &ethertype)
    if sf.l3_offset == 0:
        return False
    if ethertype == ETHERTYPE_IPV4 and gso != VNET_GSO_TCPV6:
        if sf.size < sf.l3_offset + 20 or frame[sf.l3_offset] >> 4 != 4:
            return False
        header_bytes = <size_t>(frame[sf.l3_offset] & 15) * 4
        if header_bytes < 20 or load_u16(frame + sf.l3_offset + 6) & IPV4_FRAGMENT_BITS:
            return False
        sf.version = 4
        sf.protocol = frame[sf.l3_offset + 9]
        sf.l4_offset = sf.l3_offset + header_bytes
    elif ethertype == ETHERTYPE_IPV6 and gso != VNET_GSO_TCPV4:
        if sf.size < sf.l3_offset + 40 or frame[sf.l3_offset] >> 4 != 6:
            return False
        sf.version = 6
        sf.l4_offset = transport_offset_v6(
            frame, sf.size, sf.l3_offset, &sf.protocol, &has_routing)
        if sf.l4_offset == 0:
            return False
    else:
        return False

    if gso == VNET_GSO_UDP_L4:
        if sf.protocol != PROTOCOL_UDP or sf.size < sf.l4_offset + 8:
            return False
        sf.payload_offset = sf.l4_offset + 8
        header_bytes = 6            # where the checksum stands
    elif gso == VNET_GSO_TCPV4 or gso == VNET_GSO_TCPV6:
        if sf.protocol != PROTOCOL_TCP or sf.size < sf.l4_offset + 20:
            return False
        header_bytes = <size_t>(frame[sf.l4_offset + 12] >> 4) * 4
        if header_bytes < 20 or sf.size < sf.l4_offset + header_bytes:
            return False
        sf.payload_offset = sf.l4_offset + header_bytes
        header_bytes = 16
    else:
        return False                # UFO and types of later kernels were not asked for

    sf.keeps_pseudo = has_routing
    if vnet_frame[0] & VNET_F_NEEDS_CSUM:
        # Not needed, but if the kernel means another place we have misread the headers.
        if (vnet_u16(vnet_frame + 6) != sf.l4_offset
                or vnet_u16(vnet_frame + 8) != header_bytes):
            return False
    elif has_routing:
        return False

    sf.segment_bytes = vnet_u16(vnet_frame + 4)
    payload_bytes = sf.size - sf.payload_offset
    if sf.segment_bytes == 0 or sf.size - sf.l4_offset > 65535:
        return False
    if payload_bytes <= sf.segment_bytes:
        sf.segments = 1
    else:
        sf.segments = <uint32_t>((payload_bytes + sf.segment_bytes - 1) // sf.segment_bytes)
        payload_bytes = sf.segment_bytes
    return sf.payload_offset + payload_bytes <= BLOCK_FRAME_MAX_BYTES


cdef inline size_t cut_segment(
    const SuperFrame* sf, const unsigned char* frame, uint32_t index, unsigned char* out,
) noexcept nogil:
    # Writes segment `index` as one block; returns its size with the size word.
    cdef size_t start = sf.payload_offset + <size_t>index * sf.segment_bytes
    cdef size_t payload_bytes = sf.size - start
    cdef bint is_last = index + 1 == sf.segments
    cdef unsigned char* cut = out + 4
    cdef unsigned char* ip = cut + sf.l3_offset
    cdef unsigned char* l4 = cut + sf.l4_offset
    cdef unsigned char* field
    cdef size_t transport_bytes
    cdef uint64_t total
    cdef uint16_t folded, partial

    if not is_last:
        payload_bytes = sf.segment_bytes
    transport_bytes = sf.payload_offset - sf.l4_offset + payload_bytes
    store_u32(out, <uint32_t>(sf.l4_offset + transport_bytes))
    memcpy(cut, frame, sf.payload_offset)

    if sf.version == 4:
        store_u16(ip + 2, <uint16_t>(sf.l4_offset - sf.l3_offset + transport_bytes))
        store_u16(ip + 4, <uint16_t>(load_u16(ip + 4) + index))
        finish_ipv4(ip, sf.l4_offset - sf.l3_offset)
    else:
        store_u16(ip + 4, <uint16_t>(sf.l4_offset - sf.l3_offset - 40 + transport_bytes))

    if sf.protocol == PROTOCOL_TCP:
        field = l4 + 16
        store_u32(l4 + 4, load_u32(l4 + 4) + index * <uint32_t>sf.segment_bytes)
        if not is_last:
            l4[13] &= <unsigned char>~(TCP_FIN | TCP_PSH)
        if index:
            l4[13] &= <unsigned char>~TCP_CWR
    else:
        field = l4 + 6
        store_u16(l4 + 4, <uint16_t>transport_bytes)

    if sf.keeps_pseudo:
        # The kernel's partial sum holds the length of the whole; take it out again.
        memcpy(&partial, field, 2)
        total = partial + checksum_u16(<uint16_t>~<uint16_t>(sf.size - sf.l4_offset))
        total += checksum_u16(<uint16_t>transport_bytes)
    else:
        total = pseudo_sum(ip, sf.version, sf.protocol, transport_bytes)
    field[0] = 0
    field[1] = 0
    total = checksum_add(l4, sf.payload_offset - sf.l4_offset, total)
    total = checksum_copy(cut + sf.payload_offset, frame + start, payload_bytes, total)
    folded = <uint16_t>~checksum_fold(total)
    if folded == 0 and sf.protocol == PROTOCOL_UDP:
        folded = 0xFFFF             # 0 would mean "no checksum" (RFC 768)
    checksum_store(field, folded)
    return 4 + sf.l4_offset + transport_bytes


cdef Py_ssize_t copy_frame(
    const unsigned char* vnet_frame, size_t size, unsigned char* out, size_t out_cap,
) noexcept nogil:
    # A read that is one frame: copy it, and finish its checksum if the kernel asks.
    cdef const unsigned char* frame = vnet_frame + VNET_HDR_BYTES
    cdef size_t start, offset
    cdef uint64_t total
    cdef uint16_t folded

    size -= VNET_HDR_BYTES
    if size < BLOCK_FRAME_MIN_BYTES or size > BLOCK_FRAME_MAX_BYTES:
        return SPLIT_MALFORMED
    if out_cap < 4 + size:
        return SPLIT_NO_ROOM
    store_u32(out, <uint32_t>size)
    if not vnet_frame[0] & VNET_F_NEEDS_CSUM:
        memcpy(out + 4, frame, size)
        return <Py_ssize_t>(4 + size)

    start = vnet_u16(vnet_frame + 6)
    offset = vnet_u16(vnet_frame + 8)
    if start < ETHERNET_BYTES or start + offset + 2 > size:
        return SPLIT_MALFORMED
    memcpy(out + 4, frame, start)
    # The field holds the pseudo header's sum and is part of what is added.
    total = checksum_copy(out + 4 + start, frame + start, size - start, 0)
    folded = <uint16_t>~checksum_fold(total)
    if folded == 0 and offset == 6:
        folded = 0xFFFF             # UDP: 0 would mean "no checksum" (RFC 768)
    checksum_store(out + 4 + start + offset, folded)
    return <Py_ssize_t>(4 + size)


cdef size_t offload_split_bound(const unsigned char* vnet_frame, size_t size) noexcept nogil:
    cdef SuperFrame sf
    if size < VNET_HDR_BYTES:
        return 0
    if vnet_frame[1] & <uint8_t>~VNET_GSO_ECN == VNET_GSO_NONE:
        return size - VNET_HDR_BYTES + 4
    if not parse_super_frame(vnet_frame, size, &sf):
        return 0
    return sf.size - sf.payload_offset + <size_t>sf.segments * (sf.payload_offset + 4)


cdef Py_ssize_t offload_split(
    const unsigned char* vnet_frame, size_t size,
    unsigned char* out, size_t out_cap, uint32_t max_frames,
    uint32_t* next_segment, uint32_t* out_frames,
) noexcept nogil:
    cdef SuperFrame sf
    cdef uint32_t index = next_segment[0]
    cdef size_t written = 0
    cdef size_t block_bytes
    cdef Py_ssize_t result

    out_frames[0] = 0
    if size < VNET_HDR_BYTES:
        return SPLIT_MALFORMED
    if vnet_frame[1] & <uint8_t>~VNET_GSO_ECN == VNET_GSO_NONE:
        if max_frames == 0:
            return SPLIT_NO_ROOM
        result = copy_frame(vnet_frame, size, out, out_cap)
        out_frames[0] = result > 0
        return result

    if not parse_super_frame(vnet_frame, size, &sf) or index >= sf.segments:
        return SPLIT_MALFORMED
    block_bytes = 4 + sf.payload_offset + sf.segment_bytes
    while index < sf.segments and out_frames[0] < max_frames:
        if index + 1 == sf.segments:
            block_bytes = 4 + sf.size - <size_t>index * sf.segment_bytes
        if out_cap - written < block_bytes:
            break
        written += cut_segment(&sf, vnet_frame + VNET_HDR_BYTES, index, out + written)
        out_frames[0] += 1
        index += 1
    if out_frames[0] == 0:
        return SPLIT_NO_ROOM
    next_segment[0] = 0 if index == sf.segments else index
    return <Py_ssize_t>written
