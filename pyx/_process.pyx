# cython: language_level=3, boundscheck=False, wraparound=False
"""What a careful process does to itself and Python cannot: hide secrets from `ps` and dumps.

Layer 2. Nothing here is fatal: a kernel that refuses leaves things as they were.
"""

from libc.string cimport memcmp, memset

cdef extern from "sys/prctl.h" nogil:
    int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
    enum:
        PR_SET_DUMPABLE


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
