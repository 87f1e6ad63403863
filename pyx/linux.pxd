# cython: language_level=3
"""The system calls of the data path. Declarations only."""

from libc.stdint cimport uint32_t, uint64_t
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


cdef extern from *:
    """
    #include <linux/tcp.h>
    #include <netinet/in.h>
    #include <stdint.h>
    #include <sys/socket.h>
    /* What a TCP socket knows of its path; 0 = it told. Round trips in us, windows in segments.
       The kernel fills what it has of the structure, and the rest stays zero. */
    struct path { uint32_t rtt_us, min_rtt_us, cwnd, ssthresh; uint64_t rate; };
    static int tcp_path(int fd, struct path *path)
    {
        struct tcp_info info = {0};
        socklen_t size = sizeof info;
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
            return -1;
        path->rtt_us = info.tcpi_rtt;
        path->min_rtt_us = info.tcpi_min_rtt ? info.tcpi_min_rtt : info.tcpi_rtt;
        path->cwnd = info.tcpi_snd_cwnd;
        path->ssthresh = info.tcpi_snd_ssthresh;
        path->rate = info.tcpi_delivery_rate;
        return 0;
    }
    """
    cdef struct path:
        uint32_t rtt_us
        uint32_t min_rtt_us
        uint32_t cwnd
        uint32_t ssthresh
        uint64_t rate           # delivered, bytes a second
    int tcp_path(int, path*) nogil


cdef extern from "time.h" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    enum:
        CLOCK_BOOTTIME
