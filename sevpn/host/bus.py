"""A connection to the system's message bus, for a few questions one after the other.

Layer 2, used in the short-lived child only: blocking, with one deadline for all of it.
"""

from __future__ import annotations

import os
import socket
import time

from sevpn.host import dbus, fault
from sevpn.host.dbus import DBusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT_ADDRESS = "unix:path=/run/dbus/system_bus_socket"
_DAEMON = "org.freedesktop.DBus"
_DAEMON_PATH = "/org/freedesktop/DBus"
_TIMEOUT_S = 6.0
_LINE_MAX_BYTES = 512


def socket_path() -> str:
    """Return the bus's socket for `connect` (abstract ones begin with NUL).

    As DBUS_SYSTEM_BUS_ADDRESS says, else where it always is. Raises DBusError.
    """
    for address in os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", _DEFAULT_ADDRESS).split(";"):
        transport, _, rest = address.partition(":")
        words = dict(word.partition("=")[::2] for word in rest.split(","))
        if transport == "unix" and "path" in words:
            return _unescape(words["path"])
        if transport == "unix" and "abstract" in words:
            return "\0" + _unescape(words["abstract"])
    raise DBusError("DBUS_SYSTEM_BUS_ADDRESS names no unix socket")


def _unescape(text: str) -> str:
    head, *parts = text.split("%")
    try:
        return head + "".join(chr(int(part[:2], 16)) + part[2:] for part in parts)
    except ValueError:
        raise DBusError("DBUS_SYSTEM_BUS_ADDRESS is no address") from None


class Bus:
    """An authenticated connection; use it in a `with`. Every failure is a DBusError."""

    def __init__(self) -> None:
        self._deadline_s = time.monotonic() + _TIMEOUT_S
        self._buffer = b""
        self._serial = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._connect()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def _connect(self) -> None:
        try:
            self._socket.settimeout(_TIMEOUT_S)
            self._socket.connect(socket_path())
        except OSError as error:
            raise DBusError(
                f"the system bus cannot be reached: {(error.strerror or str(error)).lower()}"
            ) from error
        # We say who we are, the socket's credentials prove it (SASL EXTERNAL, RFC 4422).
        self._send(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        if not self._line().startswith(b"OK "):
            raise DBusError("the system bus does not let us in")
        self._send(b"BEGIN\r\n")
        self.call(_DAEMON, _DAEMON_PATH, "org.freedesktop.DBus.Hello")

    def call(
        self, destination: str, path: str, member: str, signature: str = "", *values: Any
    ) -> list[Any]:
        """Call "interface.Method" and return the values of the answer.

        Raises DBusError, with the error's name when the service refused.
        """
        fault.point("bus")
        self._serial += 1
        self._send(
            dbus.build_call(self._serial, destination, path, member, signature, list(values))
        )
        while True:
            head = self._read(dbus.HEAD_BYTES)
            message = dbus.parse(head + self._read(dbus.message_size(head) - len(head)))
            if message.reply_serial != self._serial:
                continue  # signals: that we got a name, for one
            if message.kind == dbus.METHOD_RETURN:
                return message.body
            if message.kind == dbus.ERROR:
                text = message.body[0] if message.body else message.error_name
                raise DBusError(f"{member.rpartition('.')[2]}: {text}", message.error_name)

    def has_owner(self, name: str) -> bool:
        """Tell whether a service of this name runs."""
        answer = self.call(_DAEMON, _DAEMON_PATH, "org.freedesktop.DBus.NameHasOwner", "s", name)
        return bool(answer and answer[0])

    def _wait(self) -> None:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise DBusError("the system bus does not answer in time")
        self._socket.settimeout(left_s)

    def _send(self, data: bytes) -> None:
        self._wait()
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise DBusError(f"the system bus hung up: {error.strerror or error}") from error

    def _receive(self) -> None:
        self._wait()
        try:
            part = self._socket.recv(65_536)
        except TimeoutError:
            raise DBusError("the system bus does not answer in time") from None
        except OSError as error:
            raise DBusError(f"the system bus hung up: {error.strerror or error}") from error
        if not part:
            raise DBusError("the system bus hung up")
        self._buffer += part

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _LINE_MAX_BYTES:
                raise DBusError("the system bus speaks another language")
            self._receive()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line
