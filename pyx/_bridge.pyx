# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The bridge: frames between the TAP and the tunnel's TLS stream, on epoll.

Layer 2. No Python object exists per frame and nothing is allocated per batch. `run` sleeps
in its own epoll set, in which the event loop's descriptor is nested, and comes back to
Python only when somebody else has work: a deadline, a signal, a captured frame, the end.

Up    TAP --read--> tap_in --split--> arena --TLS records--> Wire.out --one send-->
Down  --one recv--> OpenSSL --decrypt--> plain --parse, merge--> TAP, straight from plain

Back-pressure: while the socket takes no more, the TAP is not read, so its queue drops as
Ethernet does; both descriptors are watched edge-triggered, so waiting costs nothing.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memmove, memset

from sevpn._block cimport (
    BLOCK_FRAME_MAX_BYTES,
    BLOCK_KEEPALIVE_MAGIC,
    BLOCK_KEEPALIVE_MAX_BYTES,
    BLOCK_TAIL_MAX_BYTES,
    BlockParser,
    FrameRef,
    block_parse,
)
from sevpn._offload cimport (
    MERGE_ACKS,
    MERGE_TCP,
    MERGE_UDP,
    OFFLOAD_READ_BYTES,
    SPLIT_MALFORMED,
    VNET_HDR_BYTES,
    Merger,
    offload_merge,
    offload_split,
)
from sevpn._standing cimport (
    standing_answered,
    standing_asked,
    standing_empty,
    standing_is_overdue,
    standing_path,
    standing_reset,
    standing_wants_to_ask,
)
from sevpn._tls cimport TLS_EOF, Stream
from sevpn.capture cimport CAPTURE_ARP as C_ARP, CAPTURE_DHCP as C_DHCP, is_wanted
from sevpn.clock cimport now_ms, now_us
from sevpn.linux cimport (
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLLERR,
    EPOLLET,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    c_close,
    c_read,
    c_write,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    epoll_wait_ns,
    path,
    tcp_path,
    writev,
)
from sevpn.wire cimport load_u16, store_u16, store_u32

WAKE = 1
CAPTURED = 2
CLOSED = 4
BROKEN = 8
FRAMING = 16
TAP_LOST = 32

CAPTURE_DHCP = C_DHCP
CAPTURE_ARP = C_ARP

cdef enum:
    R_WAKE = 1
    R_CAPTURED = 2
    R_CLOSED = 4
    R_BROKEN = 8
    R_FRAMING = 16
    R_TAP_LOST = 32
    WHO_TAP = 1
    WHO_TLS = 2
    WHO_WAKE = 3
    # A super-frame of 64 KB as blocks, and more: what one send() carries, the room of an
    # empty Wire.out (5 records). Twice as much was measured: no difference in CPU.
    FILL_MAX_BYTES = 81920
    # It is encrypted in parts of 21 full frames, which fill two records; see __cinit__ for
    # where they are put together.
    ARENA_BYTES = 32768
    FRAME_ROOM_BYTES = 2048     # a block and a group's count word
    READ_TURN_BYTES = 65536    # plaintext taken per turn; the merge window
    RECORD_BYTES = 16384
    REF_COUNT = 512
    GROUP_MAX_FRAMES = 128
    PUSH_ROUNDS = 4             # sends before the other direction gets its turn
    REST_NS = 50000             # how long a crowded TAP gathers frames, see uplink_judge()


cdef int _watch(int epoll_fd, int fd, uint32_t events, uint32_t who) except -1:
    cdef epoll_event event
    event.events = events
    event.data.u32 = who
    if epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0:
        raise OSError(errno, "epoll_ctl")
    return 0


include "bridge_up.pxi"
include "bridge_down.pxi"
include "bridge_captured.pxi"


cdef class Bridge:
    """The pump between one TAP and one TLS stream.

    `vnet`: the TAP was opened with virtio headers, so super-frames may be read and
    written. `udp`: also UDP ones may be written. `batch` False is the slow, plain way (one
    frame per read, record and send) that serves as a yardstick.

    Raises MemoryError, OSError.
    """

    def __cinit__(self, int tap_fd, bint vnet, bint udp, bint batch=True):
        self.down.tap_fd = self.up.tap_fd = tap_fd
        self.wake_fd = -1
        self.epoll_fd = self.rest_fd = -1
        self.down.vnet = self.up.vnet = vnet
        self.up.batch = batch
        if vnet and batch:
            self.down.merge_flags = MERGE_TCP | MERGE_ACKS | (MERGE_UDP if udp else 0)
        self.captured.mask = C_DHCP
        self.up.tap_in = <uint8_t*>malloc(OFFLOAD_READ_BYTES)
        self.plain = <uint8_t*>malloc(BLOCK_TAIL_MAX_BYTES + READ_TURN_BYTES + RECORD_BYTES)
        self.captured.slots = <uint8_t*>malloc(CAPTURE_SLOTS * CAPTURE_SLOT_BYTES)
        self.down.refs = <FrameRef*>calloc(REF_COUNT, sizeof(FrameRef))
        self.down.merger = <Merger*>calloc(1, sizeof(Merger))
        if (self.down.merger == NULL or self.up.tap_in == NULL
                or self.plain == NULL or self.captured.slots == NULL or self.down.refs == NULL):
            raise MemoryError
        # Both directions take turns, and what stays in `plain` between them is a tail at its
        # beginning: the way up may have the rest.
        self.up.arena = self.plain + BLOCK_TAIL_MAX_BYTES
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        self.rest_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0 or self.rest_fd < 0:
            raise OSError(errno, "epoll_create1")
        _watch(self.epoll_fd, tap_fd, EPOLLIN | EPOLLET, WHO_TAP)
        self.up.tap_ready = True
        self.up.fill_bytes = FILL_MAX_BYTES

    def __dealloc__(self):
        if self.epoll_fd >= 0:
            c_close(self.epoll_fd)
        if self.rest_fd >= 0:
            c_close(self.rest_fd)
        free(self.up.tap_in)
        free(self.plain)
        free(self.captured.slots)
        free(self.down.refs)
        free(self.down.merger)

    # --- Python face ---

    def attach(self, Stream stream not None, bytes rest not None) -> None:
        """Start to serve a stream in tunnel mode; `rest` is what came behind its Welcome.

        Raises ValueError when `rest` is larger than a read turn.
        """
        cdef size_t size = len(rest)
        if size > READ_TURN_BYTES:
            raise ValueError("too many bytes behind the welcome")
        self.detach()
        memset(&self.parser, 0, sizeof(BlockParser))
        memcpy(self.plain, <const char*>rest, size)
        self.plain_start = 0
        self.plain_end = size
        self.stream = stream
        self.tls_ready = self.up.tap_ready = True
        self.blocked = self.hung_up = False
        self.reason = 0
        self.last_received_ms = self.last_sent_ms = now_ms()
        uplink_reset(&self.up)
        _watch(
            self.epoll_fd, stream.wire.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, WHO_TLS
        )
        _watch(self.rest_fd, stream.wire.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, WHO_TLS)

    def detach(self) -> None:
        """Let go of the stream, before its socket is closed; the TAP stays."""
        cdef epoll_event event
        if self.stream is not None:
            epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, self.stream.wire.fd, &event)
            epoll_ctl(self.rest_fd, EPOLL_CTL_DEL, self.stream.wire.fd, &event)
            self.stream = None
            self.counters.frames_down += self.parser.frames
            self.counters.bytes_down += self.parser.frame_bytes
            self.counters.drops_invalid += (
                self.parser.dropped_oversize + self.parser.dropped_short
            )
            memset(&self.parser, 0, sizeof(BlockParser))

    def run(self, int wake_fd, int timeout_ms) -> int:
        """Move frames until somebody else has work; return why (0 = the time is over).

        WAKE: `wake_fd` (the event loop's epoll descriptor) is readable, or a signal came.
        CAPTURED: captured() has frames. CLOSED, BROKEN, FRAMING: the stream is over.
        TAP_LOST: the device is gone. A negative `timeout_ms` means no limit.
        """
        cdef int64_t deadline_ms = -1
        cdef int reason
        if self.wake_fd != wake_fd:
            _watch(self.epoll_fd, wake_fd, EPOLLIN, WHO_WAKE)
            _watch(self.rest_fd, wake_fd, EPOLLIN, WHO_WAKE)
            self.wake_fd = wake_fd
        if timeout_ms >= 0:
            deadline_ms = <int64_t>now_ms() + timeout_ms
        with nogil:
            reason = self._loop(deadline_ms)
        return reason

    def captured_frames(self) -> list[bytes]:
        """Return, and forget, the copies of frames the session asked for."""
        return captured_list(&self.captured)

    def capture(self, uint32_t mask) -> None:
        """Choose what is copied for the session: CAPTURE_DHCP | CAPTURE_ARP."""
        self.captured.mask = mask

    def ask_with(self, bytes frame not None) -> None:
        """Measure the TAP's queue by a frame whose answer goes to the MAC that it comes from;
        b"" = do not. Raises ValueError for one that is too long.
        """
        uplink_ask_with(&self.up, frame)

    def inject(self, bytes frame not None) -> bool:
        """Send one frame of the session's own; False when it had to be dropped."""
        cdef uint8_t block[8 + BLOCK_FRAME_MAX_BYTES]
        cdef size_t size = len(frame)
        if size > BLOCK_FRAME_MAX_BYTES or self.stream is None:
            return False
        store_u32(block, 1)
        store_u32(block + 4, <uint32_t>size)
        memcpy(block + 8, <const char*>frame, size)
        return self._send_small(block, 8 + size)

    def keepalive(self, bytes body not None) -> bool:
        """Send a keepalive with `body` (0-512 bytes); False when there was no room."""
        cdef uint8_t item[8 + BLOCK_KEEPALIVE_MAX_BYTES]
        cdef size_t size = len(body)
        if size > BLOCK_KEEPALIVE_MAX_BYTES or self.stream is None:
            return False
        store_u32(item, BLOCK_KEEPALIVE_MAGIC)
        store_u32(item + 4, <uint32_t>size)
        memcpy(item + 8, <const char*>body, size)
        return self._send_small(item, 8 + size)

    @property
    def last_received_s(self) -> float:
        """When the last complete block or keepalive came (seconds since boot)."""
        return self.last_received_ms / 1000.0

    @property
    def heard(self) -> int:
        """How many blocks and keepalives have come: it grows with each sign of life.

        Whoever asks "since then?" compares this and not the time: an answer may come in the
        very millisecond of the question.
        """
        return self.counters.heard

    @property
    def unparsed(self) -> bytes:
        """The first bytes that are no block, after FRAMING; 16 at most."""
        return self.plain[self.plain_start:min(self.plain_end, self.plain_start + 16)]

    @property
    def last_sent_s(self) -> float:
        """When something was last given to the socket (seconds since boot)."""
        return self.last_sent_ms / 1000.0

    @property
    def is_blocked(self) -> bool:
        """Tell whether the socket takes no more at the moment."""
        return self.blocked

    def statistics(self) -> dict[str, int]:
        """Return the counters of this bridge since it was made."""
        return _statistics(self)

    # --- the loop ---

    cdef int _loop(self, int64_t deadline_ms) noexcept nogil:
        cdef epoll_event events[4]
        cdef int count, i, reason, wait_ms
        cdef int64_t left_ms
        while True:
            if self.captured.count:
                self.reason |= R_CAPTURED
            if self.reason:
                reason = self.reason
                self.reason = 0
                return reason
            if self.tls_ready or ((self.up.tap_ready or self.up.in_segment) and not self.blocked):
                wait_ms = 0
            else:
                wait_ms = -1
            if deadline_ms >= 0:
                left_ms = deadline_ms - <int64_t>now_ms()
                if left_ms <= 0:
                    return 0
                if wait_ms < 0:
                    wait_ms = 0x7FFFFFFF if left_ms > 0x7FFFFFFF else <int>left_ms
            count = epoll_wait(self.epoll_fd, events, 4, wait_ms)
            self.counters.waits += 1
            if count < 0:
                return R_WAKE if errno == EINTR else R_BROKEN
            for i in range(count):
                if events[i].data.u32 == WHO_TAP:
                    self.up.tap_ready = True
                    if events[i].events & (EPOLLERR | EPOLLHUP):
                        self.reason |= R_TAP_LOST
                elif events[i].data.u32 == WHO_TLS:
                    if events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                        self.tls_ready = True
                    if events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                        self.hung_up = True
                    if events[i].events & EPOLLOUT and self.blocked:
                        self.blocked = False
                        self.up.blocked_us = now_us()
                else:
                    self.reason |= R_WAKE
            if self.stream is None:
                self.tls_ready = self.up.tap_ready = False
                continue
            if self.tls_ready:
                self._pull()
            if not self.blocked and not self.reason & ~(R_WAKE | R_CAPTURED):
                self._push()
                if self.up.crowded and not self.blocked and not self.reason:
                    self._rest()

    cdef void _rest(self) noexcept nogil:
        """Let the TAP gather frames for a moment; the socket and the event loop end it."""
        cdef epoll_event events[2]
        cdef int count = epoll_wait_ns(self.rest_fd, events, 2, REST_NS)
        cdef int i
        self.up.crowded = False
        self.counters.rests += 1
        for i in range(count):
            # Who else has work is found by the loop's own epoll_wait.
            if events[i].data.u32 == WHO_TLS:
                self.tls_ready = True

    # --- down: server to TAP ---

    cdef void _pull(self) noexcept nogil:
        """Take what one recv() brings, to the last whole record, and hand it to the TAP."""
        cdef Py_ssize_t got = 0
        cdef size_t limit = BLOCK_TAIL_MAX_BYTES + READ_TURN_BYTES
        self.stream.wire.recv_budget = 1
        self.stream.wire.recv_full = False
        while True:
            while self.plain_end <= limit:
                got = self.stream.read_into(self.plain + self.plain_end, RECORD_BYTES)
                if got <= 0:
                    break
                self.plain_end += <size_t>got
            if self._deliver() < 0:
                self.reason |= R_FRAMING
                return
            if got <= 0:
                break
        if got < 0:
            self.reason |= R_CLOSED if got == TLS_EOF else R_BROKEN
            self.tls_ready = False
        elif not self.stream.wire.recv_full and not self.hung_up:
            # A short read has emptied the socket: the next bytes make a new edge. The end
            # may have come with the last bytes, and then there is no further one.
            self.tls_ready = False
        if self.stream.wire.out_end:
            self._flush()  # an answer of TLS's own, such as a key update

    cdef int _deliver(self) noexcept nogil:
        """Write all whole frames of `plain` to the TAP, keep the tail; < 0 = bad framing."""
        cdef Py_ssize_t used
        cdef size_t count
        cdef int items = 0
        cdef uint32_t i, kept
        cdef uint8_t* base
        cdef FrameRef* refs = self.down.refs
        while self.plain_start < self.plain_end:
            base = self.plain + self.plain_start
            used = block_parse(
                &self.parser, base, self.plain_end - self.plain_start,
                refs, REF_COUNT, &count, &items,
            )
            if used < 0:
                return -1
            kept = 0
            for i in range(<uint32_t>count):
                if captured_take(&self.captured, base + refs[i].offset, refs[i].size):
                    continue
                refs[kept] = refs[i]
                kept += 1
            downlink_write(&self.down, base, kept)
            self.plain_start += <size_t>used
            if count < REF_COUNT:
                break
        if items:
            self.counters.heard += <uint64_t>items
            self.last_received_ms = now_ms()
        if self.plain_start:
            memmove(self.plain, self.plain + self.plain_start, self.plain_end - self.plain_start)
            self.plain_end -= self.plain_start
            self.plain_start = 0
        return 0

    # --- up: TAP to server ---

    cdef void _push(self) noexcept nogil:
        """Send what the TAP has, until it is empty or the socket is full."""
        cdef uint32_t rounds
        cdef int left
        if self._flush() != 0:
            return
        uplink_measure(&self.up, self.stream.wire.fd)
        for rounds in range(PUSH_ROUNDS):
            if not self.up.tap_ready and self.up.in_segment == 0:
                return
            if not self._gather():
                return
            left = self._flush()
            uplink_sent(&self.up, left == 0)
            if left != 0:
                return

    cdef bint _gather(self) noexcept nogil:
        """Encrypt what one send() is to carry; False when there was nothing, or it broke."""
        cdef uint64_t reads = self.up.tap_reads
        cdef size_t done = 0
        cdef size_t part, limit
        if self.plain_end > BLOCK_TAIL_MAX_BYTES:
            return False  # what came behind the welcome, not looked at yet
        while done < self.up.fill_bytes:
            limit = min(self.stream.room(), self.up.fill_bytes - done)
            part = uplink_fill(&self.up, limit)
            if not self.up.tap_ready and self.up.in_segment == 0:
                standing_empty(&self.up.standing)
            if part == 0:
                break
            if self.stream.write_from(self.up.arena, part) != <Py_ssize_t>part:
                self.reason |= R_BROKEN
                return False
            done += part
            if not self.up.batch or not (self.up.tap_ready or self.up.in_segment):
                break
        uplink_judge(&self.up, <uint32_t>(self.up.tap_reads - reads), done)
        return done > 0

    cdef int _flush(self) noexcept nogil:
        """Give the socket what waits for it; 0 = all of it went."""
        cdef int left
        if self.stream.wire.out_end == 0:
            return 0
        left = self.stream.flush_out()
        if left < 0:
            self.reason |= R_BROKEN
        elif left == 0:
            self.last_sent_ms = now_ms()
        elif not self.blocked:
            self.blocked = True
            self.counters.blocked += 1
        return left

    cdef bint _send_small(self, const uint8_t* data, size_t size) noexcept nogil:
        """Queue a small item behind what waits and try to send it."""
        if self.stream.room() == 0:
            return False
        if self.stream.write_from(data, size) != <Py_ssize_t>size:
            self.reason |= R_BROKEN
            return False
        self._flush()
        return True


include "bridge_counters.pxi"
