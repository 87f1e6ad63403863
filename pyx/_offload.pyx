# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Segmentation and receive offload for the TAP: cut what is too large, join what was cut.

Layer 1: no I/O, no allocation in the C functions, no state but what the caller owns. The
interface is explained in _offload.pxd; the Python functions at the end are for tests.

Splitting follows what Linux does in software (net/ipv4/tcp_offload.c and udp_offload.c of
the kernel): every cut frame gets its own lengths, IPv4 ID, sequence number and checksums;
FIN and PSH stay on the last, CWR on the first. hdr_len of the virtio header is not used:
for forwarded packets the kernel writes there how much of them happens to be contiguous,
which may be everything. The headers themselves are parsed.

Merging follows what Linux' GRO accepts, and is never laxer. A merged frame is given to the
kernel as "checksum not finished", which the kernel believes, so each checksum inside was
verified here before; what fails passes alone and unchanged for the kernel to judge.

A bare acknowledgement that a later one of the same read outdoes is not written at all: at
2 Gbit/s up, a server's TCP sends 13,000 of them a second, each would be a write of its own,
and the stack needs the last one only (RFC 3449 5.2.2 describes it; it suits a host that
counts bytes and not acknowledgements, RFC 3465, as Linux does).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from posix.uio cimport iovec

from sevpn._block cimport BLOCK_FRAME_MAX_BYTES, BLOCK_FRAME_MIN_BYTES, FrameRef
from sevpn.wire cimport load_u16, load_u32, store_u16, store_u32

cdef extern from "checksum.h" nogil:
    uint64_t checksum_u16(uint16_t value) noexcept
    uint64_t checksum_add(const unsigned char* data, size_t size, uint64_t total) noexcept
    uint64_t checksum_copy(
        unsigned char* out, const unsigned char* data, size_t size, uint64_t total,
    ) noexcept
    uint16_t checksum_fold(uint64_t total) noexcept
    void checksum_store(unsigned char* field, uint16_t folded) noexcept

cdef enum:
    ETHERNET_BYTES = 14
    ETHERTYPE_IPV4 = 0x0800
    ETHERTYPE_IPV6 = 0x86DD
    ETHERTYPE_VLAN = 0x8100         # 802.1Q
    ETHERTYPE_SERVICE_VLAN = 0x88A8  # 802.1ad
    MAX_TAGS = 2

    PROTOCOL_HOP_BY_HOP = 0
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17
    PROTOCOL_ROUTING = 43
    PROTOCOL_FRAGMENT = 44
    PROTOCOL_AUTHENTICATION = 51
    PROTOCOL_DESTINATION = 60
    PROTOCOL_MOBILITY = 135
    PROTOCOL_HIP = 139
    PROTOCOL_SHIM6 = 140

    IPV4_DONT_FRAGMENT = 0x4000
    IPV4_FRAGMENT_BITS = 0x3FFF     # more fragments, and the offset

    TCP_FIN = 0x01
    TCP_PSH = 0x08
    TCP_ACK = 0x10
    TCP_CWR = 0x80


# ---- what both directions share --------------------------------------------------------

cdef inline size_t network_offset(
    const unsigned char* frame, size_t size, uint16_t* ethertype,
) noexcept nogil:
    # Where the payload of Ethernet starts behind up to two tags; 0 = too short.
    cdef size_t offset = ETHERNET_BYTES
    cdef int tags = 0
    if size < offset:
        return 0
    ethertype[0] = load_u16(frame + 12)
    while ethertype[0] == ETHERTYPE_VLAN or ethertype[0] == ETHERTYPE_SERVICE_VLAN:
        tags += 1
        if tags > MAX_TAGS or size < offset + 4:
            return 0
        ethertype[0] = load_u16(frame + offset + 2)
        offset += 4
    return offset


cdef inline uint64_t pseudo_sum(
    const unsigned char* ip, int version, uint8_t protocol, size_t transport_bytes,
) noexcept nogil:
    # The unfolded sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1).
    cdef uint64_t total
    if version == 4:
        total = checksum_add(ip + 12, 8, 0)
    else:
        total = checksum_add(ip + 8, 32, 0)
    return total + checksum_u16(protocol) + checksum_u16(<uint16_t>transport_bytes)


cdef inline void finish_ipv4(unsigned char* ip, size_t header_bytes) noexcept nogil:
    ip[10] = 0
    ip[11] = 0
    checksum_store(ip + 10, <uint16_t>~checksum_fold(checksum_add(ip, header_bytes, 0)))


include "offload_split.pxi"
include "offload_merge.pxi"
include "offload_acks.pxi"


cdef uint16_t offload_checksum(const unsigned char* data, size_t size) noexcept nogil:
    cdef uint16_t folded = checksum_fold(checksum_add(data, size, 0))
    return load_u16(<unsigned char*>&folded)


# ---- Python faces, for tests -----------------------------------------------------------

def checksum(bytes data) -> int:
    """Return the folded one's complement sum of `data` (RFC 1071), not complemented.

    A packet part with a right checksum in it gives 0xFFFF.
    """
    return offload_checksum(<const unsigned char*>PyBytes_AS_STRING(data), len(data))


def split_bound(bytes vnet_frame) -> int:
    """Return at most how many bytes of tunnel blocks this TAP read becomes; 0 = malformed."""
    return offload_split_bound(
        <const unsigned char*>PyBytes_AS_STRING(vnet_frame), len(vnet_frame))


def split(bytes vnet_frame, size_t out_cap=1 << 17, uint32_t max_frames=128) -> list:
    """Return the finished Ethernet frames of one TAP read (virtio header and frame).

    out_cap and max_frames are the limits of each inner call, to test continuing.

    Raises:
        ValueError: malformed, or not even one frame fits.
    """
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(vnet_frame)
    cdef unsigned char* out = <unsigned char*>PyMem_Malloc(out_cap or 1)
    cdef uint32_t next_segment = 0
    cdef uint32_t count = 0
    cdef Py_ssize_t written, at
    cdef uint32_t size
    if out == NULL:
        raise MemoryError
    frames: list = []
    try:
        while True:
            written = offload_split(
                data, len(vnet_frame), out, out_cap, max_frames, &next_segment, &count)
            if written < 0:
                raise ValueError("malformed" if written == SPLIT_MALFORMED else "no room")
            at = 0
            for _ in range(count):
                size = load_u32(out + at)
                frames.append(PyBytes_FromStringAndSize(<char*>out + at + 4, size))
                at += 4 + size
            if at != written:
                raise AssertionError("blocks do not fill what was written")
            if next_segment == 0:
                return frames
    finally:
        PyMem_Free(out)


cdef bytes gather(const iovec* iov, uint32_t count):
    pieces: list = []
    cdef uint32_t index
    for index in range(count):
        pieces.append(PyBytes_FromStringAndSize(<char*>iov[index].iov_base, iov[index].iov_len))
    return b"".join(pieces)


def merge(list frames, bint udp=True, bint tcp=True, bint acks=True) -> list:
    """Return the TAP writes for these received frames: (virtio header, frame) each.

    Takes any number of frames of 0..65535 bytes, MERGE_MAX_FRAMES in one window.
    """
    cdef bytes joined = b"\xee\xee\xee\xee".join([b"", *frames])
    cdef const unsigned char* buf = <const unsigned char*>PyBytes_AS_STRING(joined)
    cdef Py_ssize_t total = len(frames)
    cdef FrameRef* refs = <FrameRef*>PyMem_Malloc((total or 1) * sizeof(FrameRef))
    cdef Merger* m = <Merger*>PyMem_Calloc(1, sizeof(Merger))
    cdef int flags = (
        (MERGE_UDP if udp else 0) | (MERGE_TCP if tcp else 0) | (MERGE_ACKS if acks else 0)
    )
    cdef Py_ssize_t index, done
    cdef uint32_t at
    cdef MergeItem* item
    writes: list = []
    try:
        if refs == NULL or m == NULL:
            raise MemoryError
        at = 0
        for index in range(total):
            refs[index].offset = at + 4
            refs[index].size = len(frames[index])
            at += 4 + refs[index].size
        done = 0
        while done < total:
            done += offload_merge(m, buf, refs + done, total - done, flags)
            for index in range(m.item_count):
                item = &m.items[index]
                whole = gather(&m.iov[item.iov_first], item.iov_count)
                if len(whole) != item.size:
                    raise AssertionError("the pieces do not add up")
                writes.append((whole[:VNET_HDR_BYTES], whole[VNET_HDR_BYTES:]))
        return writes
    finally:
        PyMem_Free(m)
        PyMem_Free(refs)
