# Segmentation and receive offload as plain C, for the bridge: no I/O, no allocation.
#
# A TAP opened with IFF_VNET_HDR puts a 10-byte struct virtio_net_hdr in host byte order
# in front of each frame:
#
#   u8 flags, u8 gso_type, u16 hdr_len, u16 gso_size, u16 csum_start, u16 csum_offset
#
# Up: offload_split() cuts one such read into finished frames in tunnel-block form.
# Down: offload_merge() joins the frames of one read of the tunnel into a few writes.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

from sevpn._block cimport FrameRef

cdef enum:
    VNET_HDR_BYTES = 10
    VNET_F_NEEDS_CSUM = 1
    VNET_GSO_NONE = 0
    VNET_GSO_TCPV4 = 1
    VNET_GSO_TCPV6 = 4
    VNET_GSO_UDP_L4 = 5
    VNET_GSO_ECN = 0x80             # a flag beside the type

cdef enum:
    # What a TAP read buffer must hold: the header, and a frame of 64 KB with two VLAN tags.
    OFFLOAD_READ_BYTES = 65600

# ---- up: one TAP read -> tunnel blocks ------------------------------------------------

cdef enum:
    SPLIT_MALFORMED = -1            # count it and drop the whole read
    SPLIT_NO_ROOM = -2              # nothing written: empty `out` and call again

# An upper bound of what offload_split() writes for this read, so that a caller can
# empty its arena before and get everything in one call. Cheap: reads a few header bytes.
cdef size_t offload_split_bound(const unsigned char* vnet_frame, size_t size) noexcept nogil

# Writes `u32 big-endian size, frame` for each frame cut from one TAP read (vnet_frame, size:
# virtio header and frame). Stops when `out` is full or max_frames were written.
#
# *next_segment must be 0 at the first call for a read. It is 0 again when everything is
# written; otherwise call again with the same bytes and a fresh `out`.
# *out_frames is set to the number of frames of this call.
# Returns the bytes written, or SPLIT_MALFORMED / SPLIT_NO_ROOM (*next_segment unchanged).
# No frame is larger than BLOCK_FRAME_MAX_BYTES; `out` must not overlap the read.
cdef Py_ssize_t offload_split(
    const unsigned char* vnet_frame, size_t size,
    unsigned char* out, size_t out_cap, uint32_t max_frames,
    uint32_t* next_segment, uint32_t* out_frames,
) noexcept nogil

# ---- down: frames of one read -> TAP writes -------------------------------------------

cdef enum:
    MERGE_TCP = 1                   # TCPv4 and TCPv6
    MERGE_UDP = 2                   # the kernel must know VNET_GSO_UDP_L4 (USO, Linux 6.2)
    MERGE_ACKS = 4                  # of a row of bare TCP acknowledgements, only the last

cdef enum:
    MERGE_MAX_FRAMES = 256          # frames of one call: 380 KB of full frames
    MERGE_MAX_TCP_SEGMENTS = 128
    MERGE_MAX_UDP_SEGMENTS = 64     # UDP_MAX_SEGMENTS of kernels before 6.9
    MERGE_MAX_BYTES = 65535         # of one merged frame with its Ethernet header
    MERGE_HEADER_BYTES = 136        # virtio 10, Ethernet 14, two tags 8, IPv6 40, TCP 60
    MERGE_SLOTS = 128               # flow table, power of two
    MERGE_PROBES = 8

cdef struct MergeItem:              # one write to the TAP
    # For the caller:
    uint32_t iov_first              # writev(tap, &m.iov[iov_first], iov_count)
    uint32_t iov_count
    uint32_t size                   # bytes of this write, with the virtio header
    uint32_t frames                 # frames inside; 1 = unchanged, with a header of zeros
    # While the item is being built:
    uint32_t next_seq               # TCP: what the next segment must start with
    uint32_t frame_bytes            # of the merged Ethernet frame
    uint16_t first_frame            # chain through Merger.next_frame
    uint16_t last_frame
    uint16_t segment_bytes          # payload of the first frame = gso_size
    uint16_t l3_offset
    uint16_t l4_offset
    uint16_t payload_offset
    uint8_t protocol                # 6 or 17
    uint8_t ip_version
    bint is_open                    # may grow
    bint is_verified                # the first frame's checksums were right
    bint ends_with_push
    bint is_pure_ack                # one frame, which a later acknowledgement may replace

cdef struct MergeSlot:
    uint32_t window                 # holds only in the window of this number
    uint32_t hash
    uint32_t item

cdef struct Merger:                 # 45 KB; zeroed = start state; keep one for each bridge
    uint32_t item_count
    MergeItem items[256]            # MERGE_MAX_FRAMES
    iovec iov[512]                  # never more than two for each frame
    uint16_t next_frame[256]
    MergeSlot slots[128]            # MERGE_SLOTS
    uint32_t window
    unsigned char zero_header[10]   # VNET_HDR_BYTES
    unsigned char headers[128][136]  # rewritten headers of items of two frames and more
    # Counters, never reset:
    uint64_t merged_items
    uint64_t merged_frames
    uint64_t bad_checksums          # candidates that pass alone for the kernel to judge
    uint64_t superseded_acks        # never written, as a later one said all they did

# Joins frames[0:min(n, MERGE_MAX_FRAMES)], which point into buf, into m.items[0:item_count].
# Returns how many frames it took; call again with the rest AFTER writing these items.
# m.iov points into buf and m: both must stay as they are until written. Payload is not copied.
# The items are in the order of their first frames; frames of one flow never change order.
# A frame outside buf's valid range must not be given: the offsets are trusted.
cdef uint32_t offload_merge(
    Merger* m, const unsigned char* buf, const FrameRef* frames, uint32_t n, int flags,
) noexcept nogil

# One's complement sum of RFC 1071 over the bytes, folded, in network order, not complemented.
cdef uint16_t offload_checksum(const unsigned char* data, size_t size) noexcept nogil
