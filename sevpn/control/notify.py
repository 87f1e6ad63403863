"""Tells systemd how far we are: sd_notify(3). Layer 5.

Datagrams of `NAME=value` lines to the unix socket that NOTIFY_SOCKET names; a leading `@`
means the abstract namespace. READY=1 goes out when the run serves: a server that is away must not
hold up a boot. Who needs the network waits for sevpn-ready@.service (`sevpn wait`).
"""

import _socket
import posix

from sevpn import log
from sevpn.io.loop import Loop, Task
from sevpn.session.state import RECONNECTING, REFUSED, STOPPING, RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BEAT_MIN_S = 0.01
STATUS_MAX_CHARS = 300


class Notifier:
    """Follows a run's state for systemd; `close` ends it."""

    __slots__ = ("_address", "_is_ready_owed", "_loop", "_sock", "_state", "_task")

    def __init__(self, loop: Loop, state: RunState, environment: "Mapping[bytes, bytes]") -> None:
        name = environment.get(b"NOTIFY_SOCKET", b"")
        self._address = b"\0" + name[1:] if name[:1] == b"@" else name
        self._loop = loop
        self._state = state
        self._is_ready_owed = True  # READY=1 is to be said, and did not get through yet
        kind = _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
        self._sock = _socket.socket(_socket.AF_UNIX, kind, 0)
        self._task: Task | None = None
        self._changed(state.name)
        state.listeners.append(self._changed)
        interval_s = watchdog_interval_s(environment, posix.getpid())
        if interval_s:
            self._task = loop.spawn("watchdog", self._beat(interval_s))

    def close(self) -> None:
        """Say nothing more."""
        if self._changed in self._state.listeners:
            self._state.listeners.remove(self._changed)
        if self._task is not None:
            self._loop.cancel(self._task)
        self._sock.close()

    def _changed(self, state: str) -> None:
        text = state
        if state in (RECONNECTING, REFUSED, STOPPING) and self._state.last_error:
            text += f": {self._state.last_error}"
        lines = [f"STATUS={log.clean(text, STATUS_MAX_CHARS)}"]
        if state == STOPPING:
            self._is_ready_owed = False
            lines.append("STOPPING=1")
        self._send(*lines)

    async def _beat(self, interval_s: float) -> None:
        """Show that the loop turns."""
        while True:
            self._send("WATCHDOG=1")
            await self._loop.sleep(interval_s)

    def _send(self, *lines: str) -> None:
        text = "\n".join((*lines, "READY=1") if self._is_ready_owed else lines)
        try:
            self._sock.sendto(text.encode("utf-8", "replace"), _socket.MSG_NOSIGNAL, self._address)
        except OSError as error:
            log.debug(f"systemd does not listen: {error}")
        else:
            self._is_ready_owed = False


def watchdog_interval_s(environment: "Mapping[bytes, bytes]", pid: int) -> float:
    """Return how often to show a sign of life: half of what is allowed; 0.0 = never."""
    try:
        allowed_s = int(environment.get(b"WATCHDOG_USEC", b"0")) / 1_000_000
        is_meant = int(environment.get(b"WATCHDOG_PID", b"%d" % pid)) == pid
    except ValueError:
        return 0.0
    return max(BEAT_MIN_S, allowed_s / 2) if allowed_s > 0 and is_meant else 0.0
