"""The control socket: one line in ("status" or "wait"), one JSON line out, and the end.

Layer 5. Served by the loop's callbacks between frames; nothing here waits. A client costs
at most one small object, whatever it does: its request is short, the answer goes out in one
call or not at all, and there are at most CLIENTS_MAX of them.

    status   answered at once
    wait     answered when the state is READY, which may be at once

An answer is the report, or {"error": text}. A run that ends closes without an answer.
"""

import _socket
import errno
import posix
import struct

from sevpn import log
from sevpn.io.loop import Loop
from sevpn.session.state import READY, RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS_MAX = 16
REQUEST_MAX_BYTES = 16
_BACKLOG = 8
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid; unix(7)
_ONLY_OWNER_UMASK = 0o177
_REFUSED = b'{"error": "permission denied"}\n'
_BUSY = b'{"error": "too many clients"}\n'
_UNKNOWN = b'{"error": "unknown request"}\n'
_BUG = b'{"error": "the report failed: this is a bug in sevpn"}\n'


class _Client:
    """One connection and what it has said so far."""

    __slots__ = ("_server", "is_waiting", "request", "sock")

    def __init__(self, server: "Server", sock: _socket.socket) -> None:
        self._server = server
        self.sock = sock
        self.request = b""
        self.is_waiting = False

    def readable(self) -> None:
        """Take what has come."""
        self._server.receive(self)


class Server:
    """Listens at `path`; `answer` makes the report as JSON text."""

    __slots__ = ("_answer", "_clients", "_loop", "_sock", "_state", "_uids", "is_abstract", "path")

    def __init__(self, loop: Loop, path: str, state: RunState, answer: "Callable[[], str]") -> None:
        self._loop = loop
        self._state = state
        self._answer = answer
        self._sock: _socket.socket | None = None
        self._clients: list[_Client] = []  # the oldest first
        self._uids = (0, posix.geteuid())
        self.path = path
        self.is_abstract = False  # beside the path, not at it

    def open(self) -> str:
        """Begin to listen; returns "", or why that is impossible.

        Call it with the lock of the TAP held: a socket that is there already is a killed
        run's, and is replaced.
        """
        kind = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
        try:
            sock = _socket.socket(_socket.AF_UNIX, kind, 0)
        except OSError as error:
            return str(error)
        before = posix.umask(_ONLY_OWNER_UMASK)
        try:
            _unlink(self.path)
            sock.bind(self.path)
            sock.listen(_BACKLOG)
        except OSError as error:  # a read-only directory, a path of more than 107 bytes
            # A name that needs no file system; who asks is looked at in any case.
            try:
                sock.bind(b"\0" + self.path.encode("utf-8", "surrogateescape"))
                sock.listen(_BACKLOG)
            except OSError:
                sock.close()
                return f"{self.path}: {error.strerror or error}"
            self.is_abstract = True
        finally:
            posix.umask(before)
        self._sock = sock
        self._loop.watch(sock.fileno(), self._accept)
        self._state.listeners.append(self._changed)
        return ""

    def close(self) -> None:
        """Remove the socket; those who wait see the end of the connection."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        self._state.listeners.remove(self._changed)
        self._loop.unwatch(sock.fileno())
        if not self.is_abstract:
            _unlink(self.path)
        sock.close()
        for client in self._clients[:]:
            self._end(client, b"")

    # --- clients ---

    def _accept(self) -> None:
        if self._sock is None:
            return
        try:
            fd, _address = self._sock._accept()  # type: ignore[attr-defined]  # typeshed lacks it
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                # Out of descriptors: it would be reported again and again.
                log.debug(f"control socket closed: {error}")
                self.close()
            return
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        client = _Client(self, sock)
        self._clients.append(client)
        self._loop.watch(fd, client.readable)
        credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(credentials)[1] not in self._uids:
            self._end(client, _REFUSED)
        elif len(self._clients) > CLIENTS_MAX:
            # Who has not asked yet has had its chance; who waits keeps its place.
            idle = next((one for one in self._clients if not one.is_waiting), client)
            self._end(idle, _BUSY)

    def receive(self, client: _Client) -> None:
        """Take what a client sent; answer when it is a whole line."""
        if client not in self._clients:
            return
        try:
            data = client.sock.recv(REQUEST_MAX_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or client.is_waiting:
            self._end(client, b"")  # it has gone, or talks out of turn
            return
        client.request += data
        line, newline, _rest = client.request.partition(b"\n")
        if not newline and len(client.request) < REQUEST_MAX_BYTES:
            return
        if line == b"wait" and newline and self._state.name != READY:
            client.is_waiting = True
        else:
            is_known = bool(newline) and line in (b"status", b"wait")
            self._end(client, self._report() if is_known else _UNKNOWN)

    def _changed(self, state: str) -> None:
        waiting = [one for one in self._clients if one.is_waiting] if state == READY else []
        if waiting:
            answer = self._report()
            for client in waiting:
                self._end(client, answer)

    def _report(self) -> bytes:
        try:
            return self._answer().encode() + b"\n"
        except Exception as error:  # nobody's question may end a session
            log.debug(f"the report failed: {type(error).__name__}: {error}")
            return _BUG

    def _end(self, client: _Client, answer: bytes) -> None:
        """Send the last words, as far as they fit, and close."""
        self._clients.remove(client)
        self._loop.unwatch(client.sock.fileno())
        try:
            if answer:
                client.sock.send(answer, _socket.MSG_NOSIGNAL)
            # A child of ours may have a copy of the descriptor: close alone would not end it.
            client.sock.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone
        client.sock.close()


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.debug(f"cannot remove {path}: {error.strerror}")
