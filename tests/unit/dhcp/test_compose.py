"""Our own messages against RFC 2131 tables 4 and 5."""

import pytest

from sevpn.dhcp import message as msg
from sevpn.dhcp.address import parse_ip
from sevpn.dhcp.compose import Composer, clean_hostname
from sevpn.dhcp.frame import BROADCAST_MAC, Datagram, parse_udp_frame
from sevpn.dhcp.lease import Lease

MAC = bytes.fromhex("5e0000000001")
SERVER_MAC = bytes.fromhex("5e00000000aa")
IDENTITY = {61: b"\x01" + MAC}


def composer() -> Composer:
    return Composer(MAC, "box.example")


def a_lease() -> Lease:
    lease = Lease("10.0.0.9", "10.0.0.1", 3600)
    lease.server_mac = SERVER_MAC
    return lease


def opened(frame: bytes) -> tuple[Datagram, msg.Message]:
    datagram = parse_udp_frame(frame)
    assert datagram is not None
    assert (datagram.source_mac, datagram.source_port, datagram.destination_port) == (MAC, 68, 67)
    message = msg.decode_message(datagram.payload)
    assert (message.op, message.xid, message.mac) == (msg.OP_REQUEST, 7, MAC)
    assert message.options.items() >= IDENTITY.items()
    return datagram, message


def is_broadcast(datagram: Datagram, source: str) -> bool:
    return (datagram.destination_mac, datagram.source, datagram.destination) == (
        BROADCAST_MAC,
        source,
        "255.255.255.255",
    )


def is_unicast(datagram: Datagram) -> bool:
    return (datagram.destination_mac, datagram.source, datagram.destination) == (
        SERVER_MAC,
        "10.0.0.9",
        "10.0.0.1",
    )


def test_discover() -> None:
    datagram, message = opened(composer().discover(7, 99999, 0x8000, "10.0.0.5"))
    assert is_broadcast(datagram, "0.0.0.0")
    assert (message.kind, message.secs, message.flags) == (msg.DISCOVER, 65535, 0x8000)
    assert message.client == "0.0.0.0"
    assert set(message.options) == {53, 61, 50, 12, 55, 57}
    assert message.options[50] == parse_ip("10.0.0.5")
    assert message.options[12] == b"box"
    assert message.options[57] == (1500).to_bytes(2, "big")
    assert 50 not in opened(composer().discover(7, 0, 0, None))[1].options


def test_select_names_the_server_and_the_address() -> None:
    datagram, message = opened(composer().select(7, 3, 0, a_lease()))
    assert is_broadcast(datagram, "0.0.0.0")
    assert (message.kind, message.client, message.secs) == (msg.REQUEST, "0.0.0.0", 3)
    assert message.options[50] == parse_ip("10.0.0.9")
    assert message.options[54] == parse_ip("10.0.0.1")


def test_renew_and_rebind_have_ciaddr_and_name_neither() -> None:
    datagram, message = opened(composer().renew(7, 0, a_lease()))
    assert is_unicast(datagram)
    for found in (message, opened(composer().rebind(7, 0, a_lease()))[1]):
        assert (found.kind, found.client) == (msg.REQUEST, "10.0.0.9")
        assert not {50, 54} & set(found.options)
    assert is_broadcast(opened(composer().rebind(7, 0, a_lease()))[0], "10.0.0.9")


def test_decline() -> None:
    datagram, message = opened(composer().decline(7, a_lease(), "in use"))
    assert is_broadcast(datagram, "0.0.0.0")
    assert (message.kind, message.client) == (msg.DECLINE, "0.0.0.0")
    assert set(message.options) == {53, 61, 50, 54, 56}


def test_release() -> None:
    datagram, message = opened(composer().release(7, a_lease()))
    assert is_unicast(datagram)
    assert (message.kind, message.client) == (msg.RELEASE, "10.0.0.9")
    assert set(message.options) == {53, 61, 54}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("box", "box"),
        ("box.lan.example", "box"),
        ("", ""),
        ("a b", ""),
        ("a_b", ""),
        ("x" * 64, ""),
        ("SecureNAT-1", ""),
        ("securenat_x", ""),
        ("securenatural", "securenatural"),
    ],
)
def test_hostname(given: str, sent: str) -> None:
    assert clean_hostname(given) == sent
