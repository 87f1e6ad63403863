"""sevpn in the client namespace, and what the host looks like before and after it.

`with Sevpn(topology.client, "-host", ...) as run:` starts it; `run.wait_address()` waits
until the TAP has its lease, `run.stop()` ends it by SIGTERM and asserts that it took less
than a second and ended with 0. SEVPN_BINARY names another program than the checkout's.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.process import LabError, Process, status_kb, wait_for
from lab.server import PASSWORD, USER
from lab.topology import SERVER_IP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from lab.topology import Namespace

ROOT = Path(__file__).resolve().parents[2]
USUAL_DELAY_S = 1.0  # of -reconnect-delay in flags()
# What a signal may take, in any state: usually 0.3 s, but no timeout of a peer (15 s).
STOP_LIMIT_S = 10.0
TAP = "vpn0"
_VOLATILE = ("valid_life_time", "preferred_life_time", "expires", "used", "age", "cache")


def program() -> list[str]:
    """Return the command that is sevpn: SEVPN_BINARY (words), else the checkout's."""
    named = os.environ.get("SEVPN_BINARY")
    return shlex.split(named) if named else [str(ROOT / ".venv/bin/python"), "-m", "sevpn"]


def flags(
    *further: str, host: str = SERVER_IP, user: str = USER, password: str = PASSWORD, tap: str = TAP
) -> list[str]:
    """Return the usual flags and `further` ones.

    -insecure, because a SoftEther server's own certificate is self-signed and nameless.
    """
    return [
        *("-host", host, "-user", user, "-pass", password, "-insecure", "-tap", tap),
        *("-reconnect-delay", f"{USUAL_DELAY_S:g}s", *further),
    ]


class Sevpn:
    """One run of sevpn; a context manager that kills it at the end at the latest."""

    def __init__(
        self,
        namespace: Namespace,
        *flags: str,
        env: dict[str, str] | None = None,
        setpriv: Sequence[str] = (),
        prefix: Sequence[str] = (),
        command: Sequence[str] = (),
    ) -> None:
        self.namespace = namespace
        self.flags = flags
        self.tap = next((b for a, b in itertools.pairwise(flags) if a == "-tap"), "")
        self._env = env
        self._setpriv = setpriv  # arguments of setpriv: fewer capabilities
        self._prefix = prefix  # a command that ends by executing sevpn
        self._command = command or program()
        self.process: Process

    def __enter__(self) -> Self:
        self.process = self.namespace.start(
            *self._prefix, *self._command, *self.flags, env=self._env, setpriv=self._setpriv
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A gentle end first, so that one failed test leaves nothing for the next to trip over.
        self.process.stop(3.0)
        if error is not None and self.process.describe() not in str(error):
            error.add_note(self.process.describe())

    @property
    def log(self) -> str:
        """What it wrote on stderr so far."""
        return self.process.text("err")

    def wait_line(self, pattern: str, timeout_s: float = 10.0, after: int = 0) -> str:
        """Wait for a log line; return what `pattern` matched in it."""
        return self.process.wait_line(pattern, timeout_s, after)[0]

    def address(self) -> str | None:
        """Return the TAP's IPv4 address as "10.77.0.50/24", None without."""
        return self.namespace.address_of(self.tap)

    def wait_address(self, timeout_s: float = 15.0, *, other_than: str = "") -> str:
        """Wait until the TAP has an address (another one than given); return it without /24."""

        def found() -> str | None:
            if self.process.exit_code is not None:
                raise LabError(f"ended early: {self.process.describe()}")
            address = (self.address() or "").partition("/")[0]
            return address if address != other_than else None

        return wait_for(found, timeout_s, f"an address on {self.tap}")

    def mac(self) -> str:
        """Return the TAP's MAC address."""
        link = next(x for x in self.namespace.ip("link", "show") if x["ifname"] == self.tap)
        return str(link["address"])

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal; assert exit code 0 before long; return the seconds it took."""
        before_s = time.monotonic()
        self.process.signal(number)
        code = self.process.wait(10.0)
        took_s = time.monotonic() - before_s
        if code != 0 or took_s >= STOP_LIMIT_S:
            raise LabError(f"exit {code} after {took_s:.2f} s: {self.process.describe()}")
        return took_s

    def expect_exit(self, code: int, timeout_s: float = 15.0) -> str:
        """Assert that it ends by itself with `code`, one error line, no traceback; return it."""
        got = self.process.wait(timeout_s)
        errors = [line.text for line in self.process.lines if line.text.startswith("error: ")]
        if got != code or len(errors) != 1 or "Traceback" in self.log:
            raise LabError(f"wanted exit {code} and one error: {self.process.describe()}")
        return errors[0]

    def memory_kb(self) -> dict[str, int]:
        """Return VmRSS, RssAnon, ... in kB."""
        return status_kb(self.process.pid)


class File(NamedTuple):
    """A file as a person would compare it: kind, mode, owner, link target, bytes, mounted."""

    kind: str
    mode: int
    owner: tuple[int, int]
    target: str
    content: bytes
    mounted: bool


def read_file(namespace: Namespace, inside: str) -> File | None:
    """Return a file of the namespace, None when there is none."""
    path = namespace.path(inside)
    if not path.is_symlink() and not path.exists():
        return None
    status = path.lstat()
    mounts = Path(f"/proc/{namespace.holder.pid}/mountinfo").read_text(encoding="utf-8")
    kind = {stat.S_IFREG: "file", stat.S_IFLNK: "symlink", stat.S_IFDIR: "directory"}
    return File(
        kind.get(stat.S_IFMT(status.st_mode), "other"),
        stat.S_IMODE(status.st_mode),
        (status.st_uid, status.st_gid),
        os.readlink(path) if path.is_symlink() else "",
        # Read inside: from here an absolute link would lead to the host's file.
        namespace.run("cat", inside, check=False).stdout.encode(),
        any(line.split()[4] == inside for line in mounts.splitlines()),
    )


class Snapshot(NamedTuple):
    """Addresses, routes and rules of both families, and resolv.conf: equal if unchanged."""

    addresses: list[str]
    routes: list[str]
    rules: list[str]
    resolv_conf: File | None
    etc: list[str]

    def differences(self, later: Snapshot) -> list[str]:
        """Return what is new (+) or gone (-) in `later`, for a message."""
        lines = []
        for before, after in zip(self[:3], later[:3], strict=True):
            lines += [f"- {entry}" for entry in before if entry not in after]
            lines += [f"+ {entry}" for entry in after if entry not in before]
        if self.resolv_conf != later.resolv_conf:
            lines += [f"- {self.resolv_conf}", f"+ {later.resolv_conf}"]
        lines += [f"- /etc/{name}" for name in self.etc if name not in later.etc]
        return lines + [f"+ /etc/{name}" for name in later.etc if name not in self.etc]


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in _VOLATILE}
    return [_lasting(entry) for entry in value] if isinstance(value, list) else value


def _sorted(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(_lasting(entry), sort_keys=True) for entry in entries)


def snapshot(namespace: Namespace) -> Snapshot:
    """Return the host state of a namespace, without what changes by itself."""
    routes = namespace.ip("-4", "route", "show", "table", "all")
    routes += namespace.ip("-6", "route", "show", "table", "all")
    return Snapshot(
        _sorted(namespace.ip("addr", "show")),
        _sorted(routes),
        _sorted(namespace.ip("-4", "rule", "show") + namespace.ip("-6", "rule", "show")),
        read_file(namespace, "/etc/resolv.conf"),
        sorted(os.listdir(namespace.path("/etc"))),
    )
