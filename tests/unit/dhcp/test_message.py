"""The BOOTP fields, and options overloaded into file and sname."""

import pytest

from sevpn.dhcp import message as msg
from sevpn.dhcp.address import DhcpError

MAC = bytes.fromhex("5e0000000001")


def test_layout_and_round_trip() -> None:
    message = msg.Message(msg.OP_REPLY, 0x01020304, MAC, {53: b"\x02", 51: bytes(4)})
    message.secs, message.flags = 7, msg.FLAG_BROADCAST
    message.your, message.server = "10.0.0.9", "10.0.0.1"
    payload = msg.encode_message(message)
    assert len(payload) == 300
    assert payload[:12].hex() == "020106000102030400078000"
    assert payload[16:20] == bytes((10, 0, 0, 9))
    assert payload[28:44] == MAC + bytes(10)
    assert payload[236:244].hex() == "6382536335010233"
    back = msg.decode_message(payload)
    assert (back.kind, back.xid, back.secs, back.flags) == (msg.OFFER, 0x01020304, 7, 0x8000)
    assert (back.your, back.server, back.client) == ("10.0.0.9", "10.0.0.1", "0.0.0.0")
    assert back.options == message.options
    assert msg.is_reply_to(payload, 0x01020304, MAC)
    assert not msg.is_reply_to(payload, 0x01020305, MAC)
    assert not msg.is_reply_to(payload, 0x01020304, bytes(6))
    assert not msg.is_reply_to(payload[:20], 0x01020304, MAC)


def overloaded(value: int) -> msg.Message:
    message = msg.Message(msg.OP_REPLY, 1, MAC, {53: b"\x05", 52: bytes((value,)), 15: b"ab"})
    message.file = b"\x0f\x02cd\xff"
    message.sname = b"\x0f\x02ef\xff"
    return msg.decode_message(msg.encode_message(message))


@pytest.mark.parametrize(
    ("value", "joined"), [(0, b"ab"), (1, b"abcd"), (2, b"abef"), (3, b"abcdef")]
)
def test_overload_joins_options_then_file_then_sname(value: int, joined: bytes) -> None:
    assert overloaded(value).options[15] == joined


def test_a_broken_overloaded_field_is_an_error() -> None:
    message = msg.Message(msg.OP_REPLY, 1, MAC, {52: b"\x01"})
    message.file = b"\x0f\xffcd"
    with pytest.raises(DhcpError):
        msg.decode_message(msg.encode_message(message))


@pytest.mark.parametrize(("at", "value"), [(0, 3), (1, 6), (2, 16), (236, 0)])
def test_other_hardware_and_other_magic_are_errors(at: int, value: int) -> None:
    payload = bytearray(msg.encode_message(msg.Message(msg.OP_REPLY, 1, MAC, {})))
    payload[at] = value
    with pytest.raises(DhcpError):
        msg.decode_message(bytes(payload))


def test_too_short_is_an_error() -> None:
    with pytest.raises(DhcpError):
        msg.decode_message(bytes(239))


def test_a_kind_of_the_wrong_length_is_no_kind() -> None:
    assert msg.Message(2, 1, MAC, {53: b"\x05\x05"}).kind == 0
    assert msg.Message(2, 1, MAC, {}).kind == 0
