"""A Pack with names and shapes, on top of the codec `_pack`.

Layer 1, pure. A getter asks for a name and a type: an element of another type counts as
absent, and so does every address that is not IPv4 (protocol.md 2). Names compare without
regard to ASCII case.
"""

from __future__ import annotations

from sevpn import _pack
from sevpn.proto.address import ipv4_bytes, ipv4_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    # Inside the class `int` and `str` are getters.
    Int = int
    Str = str


class Pack:
    """An ordered set of elements; `to_bytes()` keeps their order.

    Raises PackError from `to_bytes` and `from_bytes` only, except that adding a name
    twice shows in `to_bytes`.
    """

    __slots__ = ("_elements", "_index")

    def __init__(self) -> None:
        self._elements: list[_pack.Element] = []
        self._index: dict[bytes, _pack.Element] = {}

    @classmethod
    def from_bytes(cls, data: bytes) -> Pack:
        """Decode a Pack. Raises PackError."""
        pack = cls()
        for element in _pack.decode(data):
            pack._append(element)
        return pack

    def to_bytes(self) -> bytes:
        """Encode the Pack. Raises PackError for a value that does not fit its type."""
        return _pack.encode(self._elements)

    def names(self) -> list[Str]:
        """Return the names of the elements, in their order, as they were spelled."""
        return [element[0] for element in self._elements]

    # --- Getters: the first value of an element, or the default ---

    def int(self, name: Str, default: Int = 0) -> Int:
        """Return the first value of an INT element."""
        values = self.ints(name)
        return values[0] if values else default

    def ints(self, name: Str) -> list[Int]:
        """Return all values of an INT element; [] if there is none."""
        return [v for v in self._values(name, _pack.INT) if not isinstance(v, (bytes, str))]

    def int64(self, name: Str, default: Int = 0) -> Int:
        """Return the first value of an INT64 element."""
        for value in self._values(name, _pack.INT64):
            if not isinstance(value, (bytes, str)):
                return value
        return default

    def data(self, name: Str, default: bytes = b"") -> bytes:
        """Return the first value of a DATA element."""
        for value in self._values(name, _pack.DATA):
            if isinstance(value, bytes):
                return value
        return default

    def str(self, name: Str, default: Str = "") -> Str:
        """Return the first value of a STR element, as the peer sent it: not cleaned."""
        return self._text(name, _pack.STR, default)

    def unistr(self, name: Str, default: Str = "") -> Str:
        """Return the first value of a UNISTR element, as the peer sent it: not cleaned."""
        return self._text(name, _pack.UNISTR, default)

    def ip(self, name: Str) -> Str | None:
        """Return an IPv4 address group as "192.0.2.1"; None if absent or IPv6.

        The INT holds the octets in reversed order (protocol.md 2).
        """
        values = self.ints(name)
        if not values or self.int(f"{name}@ipv6_bool"):
            return None
        return ipv4_text(values[0].to_bytes(4, "little"))

    # --- Adders ---

    def add_int(self, name: Str, value: Int) -> None:
        """Add an INT, 0..2^32-1."""
        self._append((name, _pack.INT, [value]))

    def add_ints(self, name: Str, values: Iterable[Int]) -> None:
        """Add an array of INT; at least one value."""
        self._append((name, _pack.INT, list(values)))

    def add_int64(self, name: Str, value: Int) -> None:
        """Add an INT64, 0..2^64-1."""
        self._append((name, _pack.INT64, [value]))

    def add_data(self, name: Str, value: bytes) -> None:
        """Add a DATA element."""
        self._append((name, _pack.DATA, [value]))

    def add_str(self, name: Str, value: Str) -> None:
        """Add a STR."""
        self._append((name, _pack.STR, [value]))

    def add_unistr(self, name: Str, value: Str) -> None:
        """Add a UNISTR."""
        self._append((name, _pack.UNISTR, [value]))

    def add_ip(self, name: Str, address: Str) -> None:
        """Add an IPv4 address group of four elements. Raises ValueError if it is none."""
        self.add_int(f"{name}@ipv6_bool", 0)
        self.add_data(f"{name}@ipv6_array", bytes(16))
        self.add_int(f"{name}@ipv6_scope_id", 0)
        self.add_int(name, int.from_bytes(ipv4_bytes(address), "little"))

    # --- Inside ---

    def _append(self, element: _pack.Element) -> None:
        self._elements.append(element)
        self._index.setdefault(_fold(element[0]), element)

    def _values(self, name: Str, kind: Int) -> list[Int | bytes | Str]:
        element = self._index.get(_fold(name))
        return element[2] if element and element[1] == kind else []

    def _text(self, name: Str, kind: Int, default: Str) -> Str:
        for value in self._values(name, kind):
            if isinstance(value, str):
                return value
        return default


def _fold(name: str) -> bytes:
    """Return a key that ignores ASCII case only: bytes.lower knows no other."""
    return name.encode("utf-8", "replace").lower()
