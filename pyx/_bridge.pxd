# cython: language_level=3
"""The bridge's parts, see _bridge.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sevpn._block cimport BlockParser, FrameRef
from sevpn._offload cimport Merger
from sevpn._standing cimport Standing
from sevpn._tls cimport Stream


cdef enum:
    QUESTION_MAX_BYTES = 64


cdef struct BridgeCounters:
    uint64_t frames_down        # server -> TAP, of the streams before this one
    uint64_t bytes_down
    uint64_t drops_invalid      # blocks no frame can be, of the streams before this one
    uint64_t heard              # blocks and keepalives that came
    uint64_t blocked            # times the socket took no more: the TAP waits meanwhile
    uint64_t waits              # epoll_wait() calls
    uint64_t rests              # pauses in which the TAP gathered small frames


cdef struct Uplink:
    # From TAP reads to the arena, see bridge_up.pxi.
    int tap_fd
    bint vnet                   # reads and writes carry a virtio header
    bint batch                  # False: one frame per read, record and write
    bint tap_ready              # a read may bring something
    bint crowded                # it had many small frames, and more may be on their way
    uint64_t crowd_ms           # in this millisecond
    uint32_t crowd_reads        # there were so many reads
    uint8_t* tap_in             # one read with a virtio header
    uint8_t* arena              # groups of blocks, to be encrypted
    size_t in_size              # of the read in tap_in
    uint32_t in_segment         # its first segment not sent yet; 0 = none is open
    uint64_t frames_up          # TAP -> server, as cut into frames
    uint64_t bytes_up
    uint64_t tap_reads          # read() calls that brought something
    uint64_t drops_up           # frames read that could not be sent
    # How much is handed over at once, and what must not wait too long, see bridge_up.pxi.
    size_t fill_bytes
    uint64_t now_us             # of the current fill
    uint64_t blocked_us         # when the socket last took no more
    Standing standing           # the TAP's queue
    uint64_t drops_standing
    uint8_t question[QUESTION_MAX_BYTES]    # a virtio header, and what the host answers
    size_t question_bytes       # 0 = there is none, and no queue is judged


cdef struct Downlink:
    # From parsed frames to TAP writes, see bridge_down.pxi.
    int tap_fd
    bint vnet
    int merge_flags             # what may be merged, for _offload
    FrameRef* refs              # the frames of one turn
    Merger* merger
    uint64_t tap_writes
    uint64_t drops              # frames the TAP did not take


cdef struct Captured:
    # Frames copied for the session, see bridge_captured.pxi.
    uint32_t mask               # CAPTURE_DHCP | CAPTURE_ARP
    uint32_t count              # slots in use
    uint8_t* slots
    uint64_t drops              # wanted, but there was no slot


cdef class Bridge:
    cdef Uplink up
    cdef Downlink down
    cdef int epoll_fd
    cdef int rest_fd            # the same without the TAP, see _rest()
    cdef int wake_fd
    cdef Stream stream
    cdef BlockParser parser
    cdef BridgeCounters counters
    cdef bint tls_ready
    cdef bint blocked
    cdef bint hung_up           # the peer's end or an error is behind what can be read
    cdef int reason
    cdef uint64_t last_received_ms
    cdef uint64_t last_sent_ms
    cdef uint8_t* plain
    cdef size_t plain_start
    cdef size_t plain_end
    cdef Captured captured

    cdef int _loop(self, int64_t deadline_ms) noexcept nogil
    cdef void _rest(self) noexcept nogil
    cdef void _pull(self) noexcept nogil
    cdef int _deliver(self) noexcept nogil
    cdef void _push(self) noexcept nogil
    cdef bint _gather(self) noexcept nogil
    cdef int _flush(self) noexcept nogil
    cdef bint _send_small(self, const uint8_t* data, size_t size) noexcept nogil
