# cython: language_level=3, boundscheck=False, wraparound=False
"""What a careful process does to itself and Python cannot: hide secrets, come first.

Layer 2. Nothing here is fatal: a kernel that refuses leaves things as they were.
"""

from libc.string cimport memset, strncmp

cdef extern from "string.h" nogil:
    size_t strnlen(const char* text, size_t most)

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

cdef extern from *:
    """
    #include <termios.h>

    /* Returns whether what is typed was shown before; -1 = no terminal. */
    static int echo(int fd, int shown)
    {
        struct termios mode;
        int before;

        if (tcgetattr(fd, &mode) != 0)
            return -1;
        before = (mode.c_lflag & ECHO) != 0;
        mode.c_lflag = shown ? mode.c_lflag | ECHO : mode.c_lflag & ~(tcflag_t)ECHO;
        return tcsetattr(fd, TCSAFLUSH, &mode) == 0 ? before : -1;
    }
    """
    int echo(int fd, int shown) nogil

cdef enum:
    STARS = 8


def prefer_this_process(int nice_value) -> bool:
    """Give this process, and none of its children, a priority (setpriority(2)).

    False when the kernel refuses (without CAP_SYS_NICE), or when whoever started us has
    chosen a priority or a scheduler.
    """
    return prefer(nice_value) != 0


def forbid_core_dumps() -> None:
    """Let no core file of this process be written, and no debugger of the user attach."""
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def set_echo(int fd, bint shown) -> bool:
    """Let a terminal show what is typed, or not; return what it did before (termios(3))."""
    return echo(fd, shown) != 0


cdef void _star(char* at, size_t size) noexcept nogil:
    """Put stars in its place, as many for any length, and nothing behind them."""
    memset(at, 0, size)
    memset(at, 42, min(size, <size_t>STARS))


def hide_argument(size_t start, size_t end, bytes name not None) -> int:
    """Star the value of `-name` or `--name` (also `-name=value`) in the memory of argv.

    `start`, `end`: fields 48 and 49 of /proc/self/stat (proc(5)): the area `ps` shows.
    Returns how often it was found. Nothing else is touched: stars in other words would tell
    what they had in common with the secret.
    """
    cdef const char* wanted = name
    cdef size_t length = len(name)
    cdef char* at = <char*>start
    cdef char* body
    cdef size_t size
    cdef int found = 0
    cdef bint is_next = False
    if start == 0 or end <= start or length == 0:
        return 0
    while at < <char*>end:
        size = strnlen(at, <size_t>(<char*>end - at))
        body = at
        if size and body[0] == 45:
            body += 2 if size > 1 and body[1] == 45 else 1
        if is_next:
            _star(at, size)
            found += 1
            is_next = False
        elif body != at and <size_t>(at + size - body) >= length:
            if strncmp(body, wanted, length) == 0:
                if body + length == at + size:
                    is_next = True
                elif body[length] == 61:
                    _star(body + length + 1, <size_t>(at + size - body) - length - 1)
                    found += 1
        at += size + 1
    return found


def hide_variable(size_t start, size_t end, bytes name not None) -> int:
    """Empty a variable in the memory of the environment (fields 50 and 51 of proc(5)'s stat).

    Returns how often it was found.
    """
    cdef const char* wanted = name
    cdef size_t length = len(name)
    cdef char* at = <char*>start
    cdef size_t size
    cdef int found = 0
    if start == 0 or end <= start or length == 0:
        return 0
    while at < <char*>end:
        size = strnlen(at, <size_t>(<char*>end - at))
        if size > length and at[length] == 61 and strncmp(at, wanted, length) == 0:
            memset(at + length + 1, 0, size - length - 1)
            found += 1
        at += size + 1
    return found
