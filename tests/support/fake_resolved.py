"""A message bus with a systemd-resolved on it, for one process's tests.

Real D-Bus on a real socket, made from our own codec (which its own tests hold to the
specification): authentication, Hello, and the few methods that are used. It keeps what it
is told per link, as the real one does; tests/manual tries the real one.
"""

from __future__ import annotations

import os
import socket
import threading
from socket import AF_INET, AF_INET6, inet_ntop
from typing import TYPE_CHECKING, Any

from sevpn.host import dbus

if TYPE_CHECKING:
    from types import TracebackType

RESOLVED = "org.freedesktop.resolve1"


class RefusedError(Exception):
    """Answer with a D-Bus error of this name."""


class FakeResolved:
    """Serves until the `with` ends; sets DBUS_SYSTEM_BUS_ADDRESS meanwhile.

    `links` maps an interface number to {"dns", "domains", "is_default"}; `refuse` maps a
    method's name to the error's name; `calls` are the methods in the order they came.
    """

    def __init__(self, path: str, ifindexes: list[int]) -> None:
        self.path = path
        self.links: dict[int, dict[str, Any]] = {number: self.fresh() for number in ifindexes}
        self.refuse: dict[str, str] = {}
        self.calls: list[str] = []
        self.is_running = True
        self.greeting = b"OK 0123456789abcdef0123456789abcdef\r\n"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    @staticmethod
    def fresh() -> dict[str, Any]:
        """Return a link's settings when nobody has set anything."""
        return {"dns": [], "domains": [], "is_default": False}

    def __enter__(self) -> FakeResolved:
        self._socket.bind(self.path)
        self._socket.listen()
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={self.path},guid=0"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.unlink(self.path)
        del os.environ["DBUS_SYSTEM_BUS_ADDRESS"]

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(peer,), daemon=True).start()

    def _attend(self, peer: socket.socket) -> None:
        with peer:
            try:
                self._serve(peer)
            except (OSError, dbus.DBusError):
                pass  # the client died on purpose

    def _serve(self, peer: socket.socket) -> None:
        stream = peer.makefile("rb")
        first = stream.readline()
        assert first == b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n"
        peer.sendall(self.greeting)
        if stream.readline() != b"BEGIN\r\n":
            return
        while head := stream.read(dbus.HEAD_BYTES):
            data = head + stream.read(dbus.message_size(head) - len(head))
            serial = int.from_bytes(data[8:12], "little")
            peer.sendall(self._answer(serial, data))

    def _answer(self, serial: int, data: bytes) -> bytes:
        reader = dbus._Reader(data, "<")
        reader.at = 12
        fields = {code: value for code, (_, value) in reader.get("a(yv)", 0)}
        method, body = fields[3], dbus.parse(data).body
        self.calls.append(method)
        try:
            if method in self.refuse:
                raise RefusedError(self.refuse[method])
            if fields[6] == RESOLVED and not self.is_running:
                raise RefusedError("org.freedesktop.DBus.Error.ServiceUnknown")
            signature, values = self._do(method, fields[1], body)
        except RefusedError as error:
            name: Any = (4, ("s", str(error)))
            text: Any = [name, (5, ("u", serial)), (8, ("g", "s"))]
            return dbus.build(3, 1, text, dbus.encode("s", [f"refused by {method}"]))
        answer: list[Any] = [(5, ("u", serial))]
        if signature:
            answer.append((8, ("g", signature)))
        # A signal in front, as a real bus sends one when a name is acquired.
        noise = dbus.build(4, 1, [(3, ("s", "NameAcquired"))], b"")
        return noise + dbus.build(2, 2, answer, dbus.encode(signature, values))

    def _do(self, method: str, path: str, body: list[Any]) -> tuple[str, list[Any]]:
        if method == "Hello":
            return "s", [":1.7"]
        if method == "NameHasOwner":
            return "b", [self.is_running and body[0] == RESOLVED]
        if method == "Get":
            return "v", [self._property(int(path.rpartition("_")[2]), body[1])]
        link = self.links.get(body[0])
        if link is None:
            raise RefusedError(f"{RESOLVED}.NoSuchLink")
        if method == "GetLink":
            return "o", [f"/org/freedesktop/resolve1/link/_{body[0]}"]
        if method == "SetLinkDNS":
            link["dns"] = [inet_ntop(family, packed) for family, packed in body[1]]
        elif method == "SetLinkDomains":
            link["domains"] = list(body[1])
        elif method == "SetLinkDefaultRoute":
            link["is_default"] = body[1]
        elif method == "RevertLink":
            self.links[body[0]] = self.fresh()
        else:
            raise RefusedError("org.freedesktop.DBus.Error.UnknownMethod")
        return "", []

    def _property(self, ifindex: int, name: str) -> tuple[str, Any]:
        link = self.links[ifindex]
        if name == "DNS":
            families = [AF_INET6 if ":" in address else AF_INET for address in link["dns"]]
            packed = [socket.inet_pton(*pair) for pair in zip(families, link["dns"], strict=True)]
            return "a(iay)", list(zip(map(int, families), packed, strict=True))
        if name == "Domains":
            return "a(sb)", link["domains"]
        return "b", link["is_default"]
