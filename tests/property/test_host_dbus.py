"""D-Bus: values there and back, and any bytes give a message or the one error."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sevpn.host import dbus

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
LEAVES = st.sampled_from(["y", "b", "i", "u", "t", "s", "ay"])


def values_of(kind: str) -> st.SearchStrategy[Any]:
    """Return values of a complete type."""
    ranges = {"y": (0, 255), "i": (-(2**31), 2**31 - 1), "u": (0, 2**32 - 1), "t": (0, 2**64 - 1)}
    if kind in ranges:
        return st.integers(*ranges[kind])
    if kind == "b":
        return st.booleans()
    if kind == "s":
        return TEXTS
    if kind == "ay":
        return st.binary(max_size=12)
    if kind[0] == "a":
        return st.lists(values_of(kind[1:]), max_size=4)
    return st.tuples(*(values_of(part) for part in dbus.split(kind[1:-1])))


TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.filter(lambda kind: kind != "y").map(lambda kind: "a" + kind),
        st.lists(inner, min_size=1, max_size=3).map(lambda kinds: f"({''.join(kinds)})"),
    ),
    max_leaves=6,
)


@given(st.data(), st.lists(TYPES, max_size=4))
def test_round_trip(data: st.DataObject, kinds: list[str]) -> None:
    values = [data.draw(values_of(kind)) for kind in kinds]
    signature = "".join(kinds)
    body = dbus.encode(signature, values)
    assert dbus.decode(signature, body) == values
    fields: list[Any] = [(5, ("u", 7))]
    if signature:
        fields.append((8, ("g", signature)))
    message = dbus.build(2, 1, fields, body)
    assert dbus.message_size(message[:16]) == len(message)
    assert dbus.parse(message).body == values


@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    try:
        dbus.parse(data)
    except dbus.DBusError:
        pass


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_message(rest: bytes, at: int, byte: int) -> None:
    whole = bytearray(
        dbus.build(2, 1, [(5, ("u", 7)), (8, ("g", "a(sb)v"))], rest.ljust(24, b"\0"))
    )
    whole[at % len(whole)] = byte
    try:
        dbus.message_size(bytes(whole[:16]))
        dbus.parse(bytes(whole))
    except dbus.DBusError:
        pass


@given(st.text(max_size=20))
def test_any_signature(signature: str) -> None:
    try:
        assert "".join(dbus.split(signature)) == signature
    except dbus.DBusError:
        pass
