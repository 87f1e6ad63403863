"""D-Bus messages: to the byte, there and back, and any other bytes."""

from __future__ import annotations

from typing import Any

import pytest

from sevpn.host import dbus

VALUES: list[tuple[str, list[Any]]] = [
    ("", []),
    ("ybnqiuxtd", [1, True, -2, 3, -4, 5, -6, 7, 8.5]),
    ("sog", ["text", "/a/b", "ia(iay)"]),
    ("ia(iay)", [3, [(2, b"\x0a\x01\x00\x01"), (10, bytes(16))]]),
    ("ia(sb)", [3, [("lan.example", False), (".", True)]]),
    ("v", [("a(sb)", [("x", True)])]),
    ("a{sv}y", [[("one", ("i", 1)), ("two", ("s", "zwei"))], 9]),
    ("a(sb)aay", [[], [b"", b"abc"]]),
]


def test_hello_to_the_byte() -> None:
    """As the specification and the reference implementation write it."""
    data = dbus.build_call(
        1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Hello", "", []
    )
    assert data == (
        b"l\x01\x02\x01\0\0\0\0\x01\0\0\0\x6d\0\0\0"
        b"\x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0"
        b"\x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0"
        b"\x03\x01s\0\x05\0\0\0Hello\0\0\0"
        b"\x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0"
    )
    assert dbus.message_size(data[:16]) == len(data)


def test_arrays_are_padded_before_their_length_counts() -> None:
    assert dbus.encode("a(sb)", [[(".", True)]]) == (
        b"\x0c\0\0\0\0\0\0\0\x01\0\0\0.\0\0\0\x01\0\0\0"
    )
    assert dbus.encode("ia(iay)", [7, [(2, b"\x01\x02")]]) == (
        b"\x07\0\0\0\x0a\0\0\0\x02\0\0\0\x02\0\0\0\x01\x02"
    )


@pytest.mark.parametrize(("signature", "values"), VALUES)
def test_values_survive_the_round_trip(signature: str, values: list[Any]) -> None:
    assert dbus.decode(signature, dbus.encode(signature, values)) == values


def test_big_endian_answers_are_read() -> None:
    assert dbus.decode("is", b"\0\0\0\x05\0\0\0\x01x\0", is_big_endian=True) == [5, "x"]


@pytest.mark.parametrize(
    "signature", ["(", ")", "()", "a", "z", "(i", "i)", "a{", "{}", "a" * 40 + "i", "i" * 256]
)
def test_no_signature(signature: str) -> None:
    with pytest.raises(dbus.DBusError):
        dbus.split(signature)


@pytest.mark.parametrize(
    ("signature", "values"),
    [("i", []), ("i", ["x"]), ("y", [256]), ("s", [5]), ("(ii)", [(1,)]), ("v", [("ii", 1)])],
)
def test_values_that_do_not_fit(signature: str, values: list[Any]) -> None:
    with pytest.raises(dbus.DBusError):
        dbus.encode(signature, values)


@pytest.mark.parametrize(
    ("signature", "data"),
    [
        ("i", b"\0\0\0"),
        ("s", b"\xff\xff\xff\xffx\0"),
        ("ai", b"\xff\xff\xff\x7f"),
        ("ai", b"\x03\0\0\0\0\0\0\0"),
        ("v", b"\x02ii\0"),
        ("v", b"\x01v\0" * 100),
    ],
)
def test_broken_values(signature: str, data: bytes) -> None:
    with pytest.raises(dbus.DBusError):
        dbus.decode(signature, data)


def test_a_reply_and_an_error() -> None:
    reply = dbus.build(2, 9, [(5, ("u", 4)), (8, ("g", "s"))], dbus.encode("s", ["done"]))
    message = dbus.parse(reply)
    assert (message.kind, message.reply_serial, message.body) == (2, 4, ["done"])
    refused = dbus.parse(dbus.build(3, 9, [(4, ("s", "a.b.C")), (5, ("u", 4))], b""))
    assert (refused.kind, refused.error_name, refused.body) == (3, "a.b.C", [])


@pytest.mark.parametrize("head", [b"", b"x" * 16, b"l\x01\0\x02" + bytes(12)])
def test_no_message(head: bytes) -> None:
    with pytest.raises(dbus.DBusError, match="not a"):
        dbus.message_size(head)


def test_a_message_too_long() -> None:
    with pytest.raises(dbus.DBusError, match="too long"):
        dbus.message_size(b"l\x01\0\x01\xff\xff\xff\x7f" + bytes(8))
