"""D-Bus messages as bytes: the little of it that asking one service takes.

Layer 2, pure; used in the short-lived child only. A value is written by its signature
(D-Bus specification 0.41, "Marshaling"): numbers and strings as int, float, bool and str,
`ay` as bytes, other arrays as lists, structs as tuples, a variant as (signature, value),
a dict as a list of pairs. Every value is aligned to its own size, counted from the start
of the message. We write little-endian and read both. Not here: file descriptors.
"""

from __future__ import annotations

import struct

from sevpn.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_AUTO_START = 0x2
MAX_BYTES = 1_048_576  # the specification allows 128 MiB; nothing we ask is that long
HEAD_BYTES = 16

_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SENDER = range(1, 8)
_SIGNATURE = 8
_FIXED = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_ALIGNMENT = {"y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}
_CLOSING = {"(": ")", "{": "}"}
_MAX_DEPTH = 32
_MAX_SIGNATURE = 255


class DBusError(HostError):
    """Bytes that are no message, a bus that fails us, or a service that refuses.

    `name` is the error's name on the bus, "" when it is none of the service's.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Message:
    """A received message: kind, whom it answers, and its body's values."""

    __slots__ = ("body", "error_name", "kind", "reply_serial")

    def __init__(self, kind: int, reply_serial: int, error_name: str, body: list[Any]) -> None:
        self.kind = kind
        self.reply_serial = reply_serial
        self.error_name = error_name
        self.body = body


def split(signature: str) -> list[str]:
    """Return the complete types of a signature, one by one. Raises DBusError."""
    if len(signature) > _MAX_SIGNATURE:
        raise DBusError("a D-Bus signature that is too long")
    types = []
    at = 0
    while at < len(signature):
        end = _type_end(signature, at, 0)
        types.append(signature[at:end])
        at = end
    return types


def _type_end(signature: str, at: int, depth: int) -> int:
    kind = signature[at : at + 1]
    if depth > _MAX_DEPTH or not kind:
        raise DBusError("a D-Bus signature that is none")
    if kind in _FIXED or kind in "bsogv":
        return at + 1
    if kind == "a":
        return _type_end(signature, at + 1, depth + 1)
    closing = _CLOSING.get(kind)
    first = at = at + 1
    while closing is not None and signature[at : at + 1] != closing:
        at = _type_end(signature, at, depth + 1)
    if closing is None or at == first:
        raise DBusError("a D-Bus signature that is none")
    return at + 1


def _alignment(kind: str) -> int:
    return _ALIGNMENT.get(kind[0], 4)


def encode(signature: str, values: list[Any]) -> bytes:
    """Return `values` as `signature` says. Raises DBusError when they do not fit."""
    out = bytearray()
    types = split(signature)
    if len(types) != len(values):
        raise DBusError("values that do not fit their D-Bus signature")
    try:
        for kind, value in zip(types, values, strict=True):
            _put(out, kind, value)
    except (struct.error, TypeError, ValueError, AttributeError) as error:
        raise DBusError(f"values that do not fit their D-Bus signature: {error}") from error
    return bytes(out)


def _pad(out: bytearray, alignment: int) -> None:
    out += bytes(-len(out) % alignment)


def _put(out: bytearray, kind: str, value: Any) -> None:
    first = kind[0]
    _pad(out, _alignment(kind))
    if first in _FIXED:
        out += struct.pack("<" + _FIXED[first], value)
    elif first == "b":
        out += struct.pack("<I", bool(value))
    elif first in "so":
        text = value.encode()
        out += struct.pack("<I", len(text)) + text + b"\0"
    elif first == "g":
        out += struct.pack("<B", len(value)) + value.encode("ascii") + b"\0"
    elif first == "v":
        inner, inner_value = value
        _put(out, "g", inner)
        (only,) = split(inner)
        _put(out, only, inner_value)
    elif first == "a":
        _put_array(out, kind[1:], value)
    else:
        for part, one in zip(split(kind[1:-1]), value, strict=True):
            _put(out, part, one)


def _put_array(out: bytearray, kind: str, values: Any) -> None:
    length_at = len(out)
    out += bytes(4)
    _pad(out, _alignment(kind))  # not part of the length
    start = len(out)
    if kind == "y":
        out += values
    else:
        for value in values:
            _put(out, kind, value)
    struct.pack_into("<I", out, length_at, len(out) - start)


def decode(signature: str, data: bytes, is_big_endian: bool = False) -> list[Any]:
    """Return the values in `data`. Raises DBusError."""
    reader = _Reader(data, ">" if is_big_endian else "<")
    return [reader.get(kind, 0) for kind in split(signature)]


class _Reader:
    def __init__(self, data: bytes, order: str) -> None:
        self.data = data
        self.at = 0
        self.order = order

    def take(self, size: int) -> bytes:
        part = self.data[self.at : self.at + size]
        if len(part) != size:
            raise DBusError("a D-Bus message that ends too early")
        self.at += size
        return part

    def align(self, alignment: int) -> None:
        self.take(-self.at % alignment)

    def number(self, code: str) -> Any:
        layout = struct.Struct(self.order + code)
        return layout.unpack(self.take(layout.size))[0]

    def text(self, length: int) -> str:
        return self.take(length + 1)[:-1].decode("utf-8", "replace")

    def get(self, kind: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise DBusError("a D-Bus value that is nested too deep")
        first = kind[0]
        self.align(_alignment(kind))
        if first in _FIXED:
            return self.number(_FIXED[first])
        if first == "b":
            return bool(self.number("I"))
        if first in "so":
            return self.text(self.number("I"))
        if first == "g":
            return self.text(self.number("B"))
        if first == "v":
            inner = split(self.text(self.number("B")))
            if len(inner) != 1:
                raise DBusError("a D-Bus variant that is none")
            return inner[0], self.get(inner[0], depth + 1)
        if first == "a":
            return self.array(kind[1:], depth)
        return tuple(self.get(part, depth + 1) for part in split(kind[1:-1]))

    def array(self, kind: str, depth: int) -> Any:
        length = self.number("I")
        self.align(_alignment(kind))
        end = self.at + length
        if end > len(self.data):
            raise DBusError("a D-Bus message that ends too early")
        if kind == "y":
            return self.take(length)
        values = []
        while self.at < end:
            values.append(self.get(kind, depth + 1))
        if self.at != end:
            raise DBusError("a D-Bus array whose length is wrong")
        return values


def build_call(
    serial: int,
    destination: str,
    path: str,
    member: str,
    signature: str,
    values: list[Any],
) -> bytes:
    """Return a method call; `member` is "interface.Method".

    **Shape**: endianness, kind, flags, version 1, body length u32, serial u32, header
    fields a(yv), padding to 8, body.
    """
    interface, _, method = member.rpartition(".")
    fields: list[tuple[int, tuple[str, str]]] = [
        (_PATH, ("o", path)),
        (_INTERFACE, ("s", interface)),
        (_MEMBER, ("s", method)),
        (_DESTINATION, ("s", destination)),
    ]
    if signature:
        fields.append((_SIGNATURE, ("g", signature)))
    return build(METHOD_CALL, serial, fields, encode(signature, values))


def build(kind: int, serial: int, fields: list[tuple[int, tuple[str, Any]]], body: bytes) -> bytes:
    """Return a message of any kind; no service is started for our sake."""
    head = bytearray(struct.pack("<cBBBII", b"l", kind, NO_AUTO_START, 1, len(body), serial))
    _put(head, "a(yv)", fields)
    _pad(head, 8)
    return bytes(head) + body


def message_size(head: bytes) -> int:
    """Return a message's whole size from its first 16 bytes. Raises DBusError."""
    order = _order(head)
    body, _, fields = struct.unpack_from(order + "III", head, 4)
    size: int = HEAD_BYTES + (fields + 7 & ~7) + body
    if size > MAX_BYTES:
        raise DBusError("a D-Bus message that is too long")
    return size


def _order(head: bytes) -> str:
    if len(head) < HEAD_BYTES or head[0] not in b"lB" or head[3] != 1:
        raise DBusError("not a D-Bus message")
    return ">" if head[0] == ord("B") else "<"


def parse(data: bytes) -> Message:
    """Return the message in `data`, which is one whole message. Raises DBusError."""
    reader = _Reader(data, _order(data))
    reader.at = HEAD_BYTES - 4
    fields = {code: value for code, (_, value) in reader.get("a(yv)", 0)}
    reader.align(8)
    signature = fields.get(_SIGNATURE, "")
    reply_serial, name = fields.get(_REPLY_SERIAL, 0), fields.get(_ERROR_NAME, "")
    if not (isinstance(signature, str) and isinstance(name, str) and type(reply_serial) is int):
        raise DBusError("a D-Bus header field of the wrong type")
    body = decode(signature, data[reader.at :], reader.order == ">")
    return Message(data[1], reply_serial, name, body)
