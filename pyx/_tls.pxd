# cython: language_level=3
"""C face of a TLS stream, for the bridge."""

from libc.stdint cimport uint64_t
from sevpn.libssl cimport SSL, SSL_CTX


cdef enum:
    TLS_EOF = -1    # the peer closed (with or without close_notify)
    TLS_ERROR = -2  # see Stream.failure()


cdef struct Wire:
    # The ciphertext side of one stream: a socket and what waits to be sent on it.
    int fd
    int recv_budget        # recv() calls the current turn may still make
    bint recv_full         # the last recv() filled its buffer: more may be waiting
    bint eof
    int error              # errno of a failed recv() or send(), 0 = none
    unsigned char* out
    size_t out_start
    size_t out_end
    size_t out_cap
    uint64_t recv_calls
    uint64_t send_calls
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t records_out


cdef class Stream:
    cdef SSL* ssl
    cdef Wire wire
    cdef bint broken           # a fatal TLS error: no more SSL_ calls
    cdef object _failure
    cdef object _context

    cdef Py_ssize_t read_into(self, unsigned char* buf, size_t cap) noexcept nogil
    cdef Py_ssize_t write_from(self, const unsigned char* buf, size_t size) noexcept nogil
    cdef int flush_out(self) noexcept nogil
    cdef size_t room(self) noexcept nogil
    cdef str _explain(self, str reason)
