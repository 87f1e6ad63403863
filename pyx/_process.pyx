# cython: language_level=3, boundscheck=False, wraparound=False
"""What a careful process does to itself and Python cannot: hide secrets, come first.

Layer 2. Nothing here is fatal: a kernel that refuses leaves things as they were.
"""

from libc.string cimport memcmp, memset

cdef extern from "sys/prctl.h" nogil:
    int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
    enum:
        PR_SET_DUMPABLE

cdef extern from *:
    """
    #include <errno.h>
    #include <sched.h>
    #include <sys/resource.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #ifndef SCHED_RESET_ON_FORK
    #define SCHED_RESET_ON_FORK 0x40000000
    #endif

    static int prefer(int nice_value)
    {
        struct sched_param none = {0};

        errno = 0;
        if (getpriority(PRIO_PROCESS, 0) || errno)
            return 0;  /* somebody has chosen already */
        if (syscall(SYS_sched_getscheduler, 0) != SCHED_OTHER)
            return 0;
        /* By number, since musl's function only says ENOSYS. */
        if (syscall(SYS_sched_setscheduler, 0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none))
            return 0;
        return setpriority(PRIO_PROCESS, 0, nice_value) == 0;
    }
    """
    int prefer(int nice_value) nogil


def prefer_this_process(int nice_value) -> bool:
    """Give this process, and none of its children, a priority (setpriority(2)).

    False when the kernel refuses (without CAP_SYS_NICE), or when whoever started us has
    chosen a priority or a scheduler.
    """
    return prefer(nice_value) != 0


def forbid_core_dumps() -> None:
    """Let no core file of this process be written, and no debugger of the user attach."""
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def overwrite_arguments(size_t start, size_t end, bytes secret not None) -> int:
    """Overwrite `secret` with `*` wherever it stands in the memory of argv.

    `start`, `end`: fields 48 and 49 of /proc/self/stat (proc(5)): the area `ps` shows.
    Returns how often it was found.
    """
    cdef const char* wanted = secret
    cdef size_t size = len(secret)
    cdef char* at = <char*>start
    cdef int found = 0
    if size == 0 or start == 0 or end <= start or end - start < size:
        return 0
    while at + size <= <char*>end:
        if memcmp(at, wanted, size) == 0:
            memset(at, 42, size)
            found += 1
            at += size
        else:
            at += 1
    return found
