"""The control socket and systemd's notifications of one run, opened and closed together.

Layer 5. Neither may ever end a session: what cannot be had is left out, with a word at -v.
"""

import posix
import time

from sevpn import log
from sevpn.io.loop import Loop, now_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.control.notify import Notifier
    from sevpn.control.server import Server
    from sevpn.control.view import View

SOCKET_SUFFIX = ".sock"


def socket_path(journal_path: str) -> str:
    """Return the path of the control socket that belongs to a journal (host.lock)."""
    return journal_path.removesuffix(".journal") + SOCKET_SUFFIX


class Control:
    """Everything that others can ask, or are told, about a run; `close` ends it."""

    __slots__ = ("_notifier", "_server", "_view")

    def __init__(self, loop: Loop, view: "View", path: str) -> None:
        """Serve at `path` ("" = no socket), and tell systemd if it wants to know."""
        self._view = view
        self._server: Server | None = None
        self._notifier: Notifier | None = None
        if path:
            from sevpn.control import server as serving

            server = serving.Server(loop, path, view.state, self._answer)
            problem = server.open()
            if problem:
                log.warning(
                    f"no control socket: {problem}: sevpn status and wait cannot ask this run "
                    "(mount a tmpfs on /run, or give -state-dir)"
                )
            else:
                self._server = server
        if b"NOTIFY_SOCKET" in posix.environ:
            from sevpn.control import notify

            self._notifier = notify.Notifier(loop, view.state, posix.environ)

    def close(self) -> None:
        """Remove the socket and say goodbye to those who still wait."""
        if self._server is not None:
            self._server.close()
        if self._notifier is not None:
            self._notifier.close()

    def _answer(self) -> str:
        from sevpn.control.report import report
        from sevpn.jsontext import to_json

        return to_json(report(self._view, now_s(), time.time()))
