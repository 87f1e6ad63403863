# cython: language_level=3
"""The system calls of the data path. Declarations only."""

from libc.stdint cimport uint32_t
from posix.uio cimport iovec


cdef extern from "unistd.h" nogil:
    ssize_t c_read "read"(int, void*, size_t)
    ssize_t c_write "write"(int, const void*, size_t)
    int c_close "close"(int)


cdef extern from "sys/uio.h" nogil:
    ssize_t writev(int, const iovec*, int)


cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event*)
    int epoll_wait(int, epoll_event*, int, int)
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLLRDHUP
        EPOLLET
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CLOEXEC


cdef extern from *:
    """
    #include <stddef.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    /* epoll_wait with a limit in nanoseconds: Linux 5.11, and no C library is asked for it. */
    static int epoll_wait_ns(int fd, struct epoll_event *events, int room, long long limit_ns)
    {
        struct { long long seconds, nanoseconds; } limit = {0, limit_ns};
        return (int)syscall(441, fd, events, room, &limit, NULL, (size_t)0);
    }
    """
    int epoll_wait_ns(int, epoll_event*, int, long long) nogil


cdef extern from "time.h" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    enum:
        CLOCK_BOOTTIME
