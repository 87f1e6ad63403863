"""Short-lived child processes: what is heavy, rare or blocking does not stay with us.

Layer 2. `call` forks; the child imports `module:function` (pyroute2, name resolution, ...),
runs it, and sends its result through a pipe as `marshal` bytes. The parent waits in the
loop, can be cancelled, and keeps none of the memory. A forked child is used instead of a
new program because a static executable in an empty root has nothing else to start.
"""

import _signal
import marshal
import posix
import sys

from sevpn import log
from sevpn.errors import HostError, SevpnError
from sevpn.io import signals
from sevpn.io.loop import Loop, now_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MAX_RESULT_BYTES = 4 * 1024 * 1024
_IGNORED_SIGNALS = (*signals.END, *signals.RECONNECT, *signals.TELL)


# The children that `call` waits for; 0 stands for one whose number is not known yet.
_own: set[int] = set()


class ChildError(HostError):
    """A child died, or a function in it failed in a way nobody foresaw."""


def _child(write_fd: int, target: str, args: tuple[object, ...]) -> "NoReturn":
    """Run `target` and leave by _exit: nothing of the parent's may run here."""
    status = 1
    try:
        # A terminal's ^C reaches the whole group: an undo must not be cut in the middle.
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for number in _IGNORED_SIGNALS:
            _signal.signal(number, _signal.SIG_IGN)
        module_name, _, function_name = target.partition(":")
        __import__(module_name)
        function = getattr(sys.modules[module_name], function_name)
        try:
            answer: tuple[object, ...] = ("ok", function(*args))
        except SevpnError as error:
            answer = ("error", str(error), error.hint, getattr(error, "errno", 0))
        data = marshal.dumps(answer)  # type: ignore[arg-type]  # what `target` promises
        view = memoryview(data)
        while view:
            view = view[posix.write(write_fd, view) :]
        status = 0
    except BaseException as error:
        # Nobody foresaw it: its name goes to the parent's log, never a traceback.
        text = f"{type(error).__name__}: {error}"
        try:
            posix.write(write_fd, marshal.dumps(("bug", text, "", 0)))
        except OSError:
            pass
    finally:
        posix._exit(status)


async def call(loop: Loop, target: str, *args: object, timeout_s: float = 30.0) -> object:
    """Run "module:function" with marshal-able arguments in a child; return its result.

    Raises HostError with the child's message, ChildError when it died or took too long.
    A cancelled caller kills the child.
    """
    read_fd, write_fd = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
    posix.set_blocking(write_fd, True)
    _own.add(0)
    pid = posix.fork()
    if pid == 0:
        _child(write_fd, target, args)
    _own.add(pid)
    _own.discard(0)
    posix.close(write_fd)
    data = b""
    finished = False
    deadline_s = now_s() + timeout_s
    try:
        while True:
            if not await loop.readable(read_fd, deadline_s):
                raise ChildError(f"{target} took more than {timeout_s:g} seconds")
            part = posix.read(read_fd, 65536)
            if not part:
                break
            data += part
            if len(data) > MAX_RESULT_BYTES:
                raise ChildError(f"{target} answered too much")
        finished = True
    finally:
        posix.close(read_fd)
        if not finished:
            posix.kill(pid, _signal.SIGKILL)
        posix.waitpid(pid, 0)
        _own.discard(pid)
        if posix.getpid() == 1:
            reap_strangers()  # whose signal came while ours was dead but not yet waited for
    if not data:
        raise ChildError(f"{target} died without an answer")
    try:
        answer = marshal.loads(data)
    except (EOFError, ValueError, TypeError) as error:
        raise ChildError(f"{target} died within its answer") from error
    if answer[0] == "ok":
        return answer[1]
    if answer[0] == "error":
        raise HostError(answer[1], answer[2], answer[3])
    log.debug(f"child {target}: {answer[1]}")
    raise ChildError(f"{target} failed: {log.clean(answer[1])}")


def reap_strangers(number: int = 0, frame: object = None) -> None:
    """Bury dead children that are not ours: a container's first process inherits them.

    A handler for SIGCHLD.
    """
    del number, frame
    try:
        while True:
            dead = posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
            if dead is None or 0 in _own or dead.si_pid in _own:
                return
            posix.waitpid(dead.si_pid, 0)
    except ChildProcessError:
        pass


__all__ = ["ChildError", "call", "reap_strangers"]
