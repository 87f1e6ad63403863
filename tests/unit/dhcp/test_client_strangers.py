"""The client among servers it has not chosen, broken frames and replies to others."""

import pytest

from sevpn.dhcp import client as dhcp
from sevpn.dhcp import message as msg
from sevpn.dhcp.address import parse_ip
from sevpn.dhcp.frame import build_udp_frame, parse_udp_frame
from support.dhcp_server import DhcpServer
from support.dhcp_world import MAC, ROGUE_MAC, SERVER_MAC, World, obtained, server


def readdressed(frame: bytes, mac: bytes, server_id: str) -> bytes:
    """Return a server's frame as another server would have sent it."""
    datagram = parse_udp_frame(frame)
    assert datagram is not None
    message = msg.decode_message(datagram.payload)
    message.options[54] = parse_ip(server_id)
    macs, ports = (mac, datagram.destination_mac), (67, 68)
    addresses = (server_id, datagram.destination)
    return build_udp_frame(macs, addresses, ports, msg.encode_message(message))


@pytest.mark.parametrize("kind", [msg.ACK, msg.NAK])
@pytest.mark.parametrize(
    ("mac", "server_id"),
    [(ROGUE_MAC, "10.0.0.2"), (ROGUE_MAC, "10.0.0.1"), (SERVER_MAC, "10.0.0.2")],
)
@pytest.mark.parametrize("renewing", [False, True])
def test_strangers_are_ignored_and_counted(
    kind: int, mac: bytes, server_id: str, renewing: bool
) -> None:
    home = server()
    world = World(home)
    if renewing:
        world.start()
        world.now += 1800
        world.client.tick(world.now)
    else:
        world.deliver = lambda frame: world.message(frame).kind == msg.DISCOVER
        world.start()
        world.client.tick(world.now + 1.3)
    state = world.client.state
    assert state == (dhcp.RENEWING if renewing else dhcp.REQUESTING)
    (request,) = world.client.take_frames()
    datagram = parse_udp_frame(request)
    assert datagram is not None
    message = msg.decode_message(datagram.payload)
    honest = home.reply(kind, message, datagram, "10.0.0.10" if kind == msg.ACK else "0.0.0.0")
    world.client.receive(readdressed(honest, mac, server_id), world.now)
    assert world.client.counters.strangers == 1
    assert world.client.state == state
    world.client.receive(honest, world.now)
    assert world.client.state != state


def test_the_first_acceptable_offer_is_taken() -> None:
    rogue = DhcpServer(ROGUE_MAC, "10.0.0.2", ["127.0.0.5"])
    late = DhcpServer(ROGUE_MAC, "10.0.0.3", ["10.0.0.99"])
    world = World(rogue, server(), late)
    world.start()
    assert obtained(world) == "10.0.0.10"
    assert world.client.counters.refused == 1
    assert world.client.counters.unexpected == 1


def test_an_ack_for_another_address_is_refused() -> None:
    home = server()
    home._grant = lambda message, datagram: [  # type: ignore[method-assign]
        home.reply(msg.ACK, message, datagram, "10.0.0.12")
    ]
    world = World(home)
    world.start()
    assert world.client.state == dhcp.REQUESTING
    assert world.client.counters.refused == 1


def test_frames_for_others_and_broken_ones_change_nothing() -> None:
    home = server()
    world = World(home)
    world.client.start(world.now)
    (discover,) = world.client.take_frames()
    (offer,) = home.receive(discover)
    datagram = parse_udp_frame(offer)
    assert datagram is not None

    def varied(to: bytes = MAC, port: int = 68, at: int = 0, byte: int = 2) -> bytes:
        payload = bytearray(datagram.payload)
        payload[at] = byte
        macs, ports = (SERVER_MAC, to), (67, port)
        return build_udp_frame(macs, ("10.0.0.1", "10.0.0.10"), ports, bytes(payload))

    other = ROGUE_MAC
    for frame in (
        varied(to=other),
        varied(port=67),
        varied(at=0, byte=1),
        varied(at=7, byte=99),
        varied(at=33, byte=99),
        offer[:60],
        offer[:-1] + b"\x01",
        b"",
        varied(at=236, byte=0),
    ):
        world.client.receive(frame, world.now)
        assert world.client.state == dhcp.SELECTING
    assert world.client.counters.malformed == 3
    world.client.receive(varied(), world.now)
    assert world.client.state == dhcp.REQUESTING


def test_bad_options_are_counted_once_taken() -> None:
    world = World(server(network={1: parse_ip("255.255.255.0"), 15: b"a\nb", 121: b"\x21"}))
    world.start()
    lease = world.client.lease
    assert lease is not None
    assert lease.ignored == [15, 121]
    assert world.client.counters.bad_options == 2
