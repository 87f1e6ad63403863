"""Runs the whole program again and again, and makes it die, or fail, at a chosen step.

    python -m support.kill_runner DIRECTORY

A fork server with all modules loaded, inside the client's namespace: a JSON order per line
on stdin, a JSON answer on stdout. A step is whatever may change the host, in the program
itself and in its short-lived children alike: a netlink change (`sevpn.host.fault`), a file
opened for writing, written, renamed, linked, removed, ... (audit events of the interpreter,
so nothing in the product has to announce it). Steps are counted while the phase in question
is under way, in memory that the children share:

    connect    from the start until traffic flows
    renew      the lease changes, then is refused: a new address
    reconnect  the connection is lost, and the session is gone
    roam       another gateway: the server's host route moves
    shutdown   from SIGTERM to the end

Orders: {"do": "run", "phase", "arguments", "at": number, "errno": 0 = die by SIGKILL,
"spares_children": only the long-lived process dies, its children go on};
{"do": "cleanup"}. Answers: {"code": exit code or -signal, "step": its name, "log": text}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, NoReturn

    from sevpn.session.leasing import LeaseKeeper
    from sevpn.session.tunnel import Tunnel

_PR_SET_CHILD_SUBREAPER = 36
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EVENTS = frozenset(
    {
        *("os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir"),
        *("os.chmod", "os.chown", "os.utime", "os.truncate", "os.setxattr", "fcntl.ioctl"),
    }
)
OTHER_GATEWAY = "192.0.2.3"
RUN_LIMIT_S = 30  # a run that hangs ends by SIGALRM
_write = os.write


# A step that failed may leave the run connected, but not as asked.
UP = ("ready: traffic flows", "connected, but not as asked: see the warnings, or sevpn status")


class Steps:
    """Counts steps over several processes and acts at the chosen one."""

    def __init__(self, directory: Path) -> None:
        self._shared = mmap.mmap(-1, 8)
        self.file = directory / "step"
        self.at = -1
        self.errno = 0
        self.spares_children = False
        self.pid = 0  # of the long-lived process

    def begin(self, order: dict[str, Any]) -> None:
        """Forget the count; `arm` starts it."""
        self.at, self.errno = order.get("at", -1), order.get("errno", 0)
        self.spares_children = order.get("spares_children", False)
        self._shared[:] = bytes(8)
        self.file.write_text("")

    def arm(self, on: bool) -> None:
        """Count from now on, or no more."""
        self._shared[0] = on

    def count(self) -> int:
        """Return how many steps there were."""
        return int(struct.unpack_from("=I", self._shared, 4)[0])

    def step(self, name: str) -> None:
        """One step comes next."""
        if not self._shared[0]:
            return
        number = self.count()
        struct.pack_into("=I", self._shared, 4, number + 1)
        if number != self.at:
            return
        self._shared[0] = self.errno != 0
        fd = os.open(self.file, os.O_WRONLY)
        _write(fd, name.encode())
        os.close(fd)
        if self.errno:
            raise OSError(self.errno, os.strerror(self.errno))
        if self.spares_children:
            os.kill(self.pid, signal.SIGKILL)
            if self.pid != os.getpid():
                return
        else:
            os.killpg(0, signal.SIGKILL)
        time.sleep(60)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Recognise steps among the interpreter's audit events."""
        if not self._shared[0]:
            return
        if event == "open":
            path, _, flags = args
            if flags & _WRITING and path not in (str(self.file), "/dev/null"):
                self.step(f"open {path}")
        elif event in _EVENTS:
            self.step(f"{event} {args[0]}")

    def write(self, fd: int, data: bytes) -> int:
        """Stand in for os.write: a write to a file is a step."""
        if stat.S_ISREG(os.fstat(fd).st_mode):
            self.step("write")
        return _write(fd, data)


class Director:
    """Reads the program's log over its shoulder and leads it through a phase."""

    def __init__(self, phase: str, steps: Steps) -> None:
        self.phase = phase
        self.steps = steps
        self.is_begun = False
        self.is_address_lost = False
        self.keeper: LeaseKeeper | None = None
        self.tunnel: Tunnel | None = None
        if phase == "connect":
            steps.arm(True)

    def line(self, line: str) -> None:
        """See one log line."""
        sys.__stderr__.write(line + "\n")  # type: ignore[union-attr]
        if line in UP:
            if self.is_begun and self.phase != "renew":
                self._end()
            elif self.is_begun:
                if self.is_address_lost:
                    self._end()
            else:
                self._begin()
        elif not self.is_begun:
            return
        elif self.phase == "renew" and line.startswith("routes:") and not self.is_address_lost:
            self._renew()
        elif line.startswith("warning: lease lost"):
            self.is_address_lost = True
        elif self.phase == "roam" and "its host route was moved" in line:
            self._end()

    def _begin(self) -> None:
        self.is_begun = True
        if self.phase in ("connect", "shutdown"):
            self._end()
        else:
            self.steps.arm(True)
            getattr(self, f"_{self.phase}")()

    def _end(self) -> None:
        self.steps.arm(self.phase == "shutdown")
        os.kill(os.getpid(), signal.SIGTERM)

    def _renew(self) -> None:
        if self.keeper is not None:
            self.keeper._dhcp._deadline = time.monotonic()

    def _reconnect(self) -> None:
        if self.tunnel is not None and self.tunnel._session is not None:
            self.tunnel._session.connection.sock.shutdown(2)

    @staticmethod
    def _roam() -> None:
        way = f"default via {OTHER_GATEWAY} metric 60".split()
        subprocess.run(["ip", "route", "add", *way], check=True)


def run(order: dict[str, Any], steps: Steps) -> int:
    """Run the program in this (forked) process; return its exit code."""
    from sevpn import cli, log, supervisor
    from sevpn.dhcp import arp
    from sevpn.host import fault
    from sevpn.session import leasing, login, tunnel

    director = Director(order["phase"], steps)

    class Keeper(leasing.LeaseKeeper):
        __slots__ = ()

        def start(self, now_s: float) -> None:
            director.keeper = self
            super().start(now_s)

    class Watched(tunnel.Tunnel):
        __slots__ = ()

        def start(self, session: login.Established) -> None:
            director.tunnel = self
            super().start(session)

    supervisor.__dict__.update(LeaseKeeper=Keeper, Tunnel=Watched)
    log._write = lambda line, priority: director.line(line)
    arp.PROBE_GAP_S = arp.LISTEN_S = 0.01  # what is tried here does not depend on them
    fault.hook = lambda name: steps.step(name) if name == "netlink" else None
    os.write = steps.write  # type: ignore[assignment]
    return cli.main(order["arguments"])


def cleanup(_order: dict[str, Any], _steps: Steps) -> int:
    """Run `sevpn cleanup`."""
    from sevpn import cli

    return cli.main(["cleanup"])


def _in_child(order: dict[str, Any], steps: Steps, log: Path) -> NoReturn:
    code = 99
    try:
        os.setpgid(0, 0)
        steps.pid = os.getpid()
        signal.alarm(RUN_LIMIT_S)
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, 2)
        os.dup2(fd, 1)
        code = {"run": run, "cleanup": cleanup}[order["do"]](order, steps)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        _write(2, f"Traceback: {error!r}\n".encode())
    finally:
        os._exit(code)


def _wait_group(pid: int) -> int:
    """Return how `pid` ended, once nobody of its group is left."""
    status = os.waitpid(pid, 0)[1]
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-pid, 0)  # orphans: we are their reaper
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Follow orders until stdin ends."""
    import sevpn.host.worker
    import sevpn.supervisor  # noqa: F401 - loaded once for all runs

    sys.dont_write_bytecode = True
    directory = Path(sys.argv[1])
    steps = Steps(directory)
    log = directory / "log"
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sys.addaudithook(steps.audit)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        steps.begin(order)
        pid = os.fork()
        if pid == 0:
            _in_child(order, steps, log)
        code = _wait_group(pid)
        steps.arm(False)
        text = log.read_text(errors="replace")
        answer = {"code": code, "step": steps.file.read_text(), "steps": steps.count()}
        print(json.dumps({**answer, "log": text}), flush=True)


if __name__ == "__main__":
    main()
