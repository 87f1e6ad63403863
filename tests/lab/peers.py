"""Things that are not a SoftEther server, to connect to by mistake.

`Peer(topology.server, "silent", 8443)`. Kinds: "silent" accepts and says nothing;
"tls-silent" ends the TLS handshake and says nothing more; "http" is an ordinary HTTPS
server; "closing" accepts and closes. Each prints "connection" for a connection, and
"ready" when its TLS handshake is done.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lab.certs import Pair
    from lab.process import Process
    from lab.topology import Namespace

_PAGE = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 23\r\n\r\n"
    b"<html>not here</html>\r\n"
)


class Peer:
    """The peer as a process; a context manager."""

    def __init__(
        self, namespace: Namespace, kind: str, port: int, pair: Pair | None = None
    ) -> None:
        self.namespace = namespace
        files = [str(pair.cert), str(pair.key)] if pair else []
        self.arguments = [kind, str(port), *files]
        self.process: Process

    def __enter__(self) -> Self:
        self.process = self.namespace.start(
            sys.executable, "-u", str(Path(__file__).resolve()), *self.arguments
        )
        self.process.wait_line("^listening$", 5.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()


def _serve(kind: str, connection: socket.socket, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), connection:
        if kind == "closing":
            return
        stream = context.wrap_socket(connection, server_side=True) if context else connection
        print("ready")
        while stream.recv(65536) if kind == "http" else not threading.Event().wait(3600):
            stream.sendall(_PAGE)


def main() -> None:
    """Serve until killed: KIND PORT [CERTIFICATE KEY]."""
    kind, port, *files = sys.argv[1:]
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    with socket.create_server(("", int(port))) as listener:
        print("listening")
        while True:
            connection, _ = listener.accept()
            print("connection")
            threading.Thread(target=_serve, args=(kind, connection, context), daemon=True).start()


if __name__ == "__main__":
    main()
