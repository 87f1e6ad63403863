"""The slow, obvious twin of sevpn._pack: the oracle of its tests (protocol.md 2).

`encode` writes whatever it is told, allowed or not, so that tests can make hostile Packs.
"""

from __future__ import annotations

import struct

INT, DATA, STR, UNISTR, INT64 = range(5)

Values = list[int | bytes | str]
Element = tuple[str, int, Values]


class RefusedError(Exception):
    """The bytes are no Pack."""


def encode(elements: list[Element]) -> bytes:
    out = struct.pack(">I", len(elements))
    for name, kind, values in elements:
        raw = name.encode("latin-1")
        out += struct.pack(">I", len(raw) + 1) + raw + struct.pack(">II", kind, len(values))
        for value in values:
            if isinstance(value, int):
                out += struct.pack(">Q" if kind == INT64 else ">I", value)
                continue
            body = value if isinstance(value, bytes) else value.encode()
            body += b"\0" if kind == UNISTR else b""
            out += struct.pack(">I", len(body)) + body
    return out


def decode(data: bytes, max_elements: int = 4096, max_values: int = 4096) -> list[Element]:
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        if len(data) - position < size:
            raise RefusedError
        position += size
        return data[position - size : position]

    def word() -> int:
        return int.from_bytes(take(4), "big")

    def value(kind: int) -> int | bytes | str:
        if kind == INT:
            return word()
        if kind == INT64:
            return int.from_bytes(take(8), "big")
        body = take(word())
        return body if kind == DATA else body.rstrip(b"\0").decode("utf-8", "replace")

    elements: list[Element] = []
    names = set()
    count = word()
    if count > max_elements:
        raise RefusedError
    for _ in range(count):
        length = word()
        if not 1 <= length <= 256:
            raise RefusedError
        name = take(length - 1)
        if name.lower() in names:
            raise RefusedError
        names.add(name.lower())
        kind, values = word(), word()
        if kind > INT64 or not 1 <= values <= max_values:
            raise RefusedError
        elements.append((name.decode("latin-1"), kind, [value(kind) for _ in range(values)]))
    return elements
