"""The client against the small server, with virtual time and no socket."""

from itertools import pairwise

import pytest

from sevpn.dhcp import client as dhcp
from sevpn.dhcp import message as msg
from sevpn.dhcp.address import parse_ip
from sevpn.dhcp.client import DhcpClient
from sevpn.dhcp.events import LeaseLost, LeaseObtained, LeaseRenewed, NoAnswer
from sevpn.dhcp.frame import parse_udp_frame
from support.dhcp_server import DNSMASQ, SECURENAT, DhcpServer
from support.dhcp_world import MAC, POOL, ROGUE_MAC, SERVER_MAC, World, obtained, reasons, server

STYLES = pytest.mark.parametrize("style", [DNSMASQ, SECURENAT])


@STYLES
def test_four_messages_to_a_lease(style: str) -> None:
    world = World(server(style=style))
    world.start()
    assert obtained(world) == "10.0.0.10"
    assert world.client.state == dhcp.BOUND
    assert world.kinds_sent() == [msg.DISCOVER, msg.REQUEST]
    assert world.message(world.sent[0][1]).xid == world.message(world.sent[1][1]).xid
    lease = world.client.lease
    assert lease is not None
    assert (lease.server_id, lease.server_mac, lease.prefix_len) == ("10.0.0.1", SERVER_MAC, 24)


def test_a_previous_address_is_asked_for() -> None:
    world = World(server())
    world.start("10.0.0.12")
    assert obtained(world) == "10.0.0.12"
    world.start("127.0.0.1")
    assert 50 not in world.message(world.sent[2][1]).options


def test_a_taken_previous_address_gives_another() -> None:
    world = World(server(refused={"10.0.0.12"}))
    world.start("10.0.0.12")
    assert obtained(world) == "10.0.0.10"


def test_discover_is_repeated_with_back_off_and_reported() -> None:
    world = World()
    world.start()
    world.run(300)
    times = [at - 1000.0 for at, _ in world.sent]
    gaps = [after - before for before, after in pairwise(times)]
    for gap, middle in zip(gaps, [1, 2, 4, 8, 16, 32, 64, 64], strict=False):
        assert abs(gap - middle) <= min(1, middle / 4)
    assert len(times) == 10
    assert len({world.message(frame).xid for _, frame in world.sent}) == 1
    silences = [event.seconds for event in world.taken() if isinstance(event, NoAnswer)]
    assert silences == times[1:]
    flags = [world.message(frame).flags for _, frame in world.sent[:4]]
    assert flags == [0, 0, 0x8000, 0x8000]
    assert [world.message(frame).secs for _, frame in world.sent] == [int(at) for at in times]


def test_silence_nobody_reads_is_one_event() -> None:
    world = World()
    world.client.start(0.0)
    for now in range(0, 4000, 10):
        world.client.tick(float(now))
    (event,) = world.client.take_events()
    assert isinstance(event, NoAnswer)
    assert len(world.client.take_frames()) == 16


def test_a_lost_first_discover_costs_a_second() -> None:
    world = World(server())
    world.deliver = lambda frame: len(world.sent) > 1
    world.start()
    world.run(1.5)
    assert obtained(world) == "10.0.0.10"


def test_a_server_that_only_offers_is_asked_four_times_then_all_are() -> None:
    world = World(server(offer_only=True))
    world.start()
    world.run(40)
    assert world.kinds_sent()[:7] == [1, 3, 3, 3, 3, 1, 3]
    world.servers.append(DhcpServer(ROGUE_MAC, "10.0.0.2", ["10.0.0.200"]))
    world.servers.reverse()
    world.run(20)
    assert obtained(world) == "10.0.0.200"


def test_nak_to_the_first_request_starts_over_at_once_then_slowly() -> None:
    nasty = server()
    offer = nasty._offer
    nasty._offer = lambda message, datagram: [  # type: ignore[method-assign]
        nasty.reply(msg.OFFER, message, datagram, "10.0.0.77")
    ]
    world = World(nasty)
    world.start()
    assert world.kinds_sent() == [1, 3, 1, 3]
    assert world.client.state == dhcp.INIT
    world.run(60)
    assert len(world.sent) <= 16
    nasty._offer = offer  # type: ignore[method-assign]
    world.run(64)
    assert obtained(world) == "10.0.0.10"


@STYLES
def test_renewal_at_t1_is_unicast_and_keeps_everything(style: str) -> None:
    world = World(server(style=style, lease_s=20))
    world.start()
    assert obtained(world) == "10.0.0.10"
    world.run(9.5)
    assert len(world.sent) == 2
    world.run(0.5)
    assert len(world.sent) == 3
    datagram = parse_udp_frame(world.sent[2][1])
    assert datagram is not None
    assert (datagram.source, datagram.destination) == ("10.0.0.10", "10.0.0.1")
    assert datagram.destination_mac == SERVER_MAC
    (event,) = world.taken()
    assert isinstance(event, LeaseRenewed)
    assert not event.changed
    assert world.client.state == dhcp.BOUND
    world.run(1000)
    assert not reasons(world.taken())


def test_changed_options_and_a_changed_address_on_renewal_are_told() -> None:
    home = server(lease_s=20)
    world = World(home)
    world.start()
    obtained(world)
    home.network = {**home.network, 6: parse_ip("10.0.0.53")}
    world.run(10)
    (event,) = world.taken()
    assert isinstance(event, LeaseRenewed)
    assert event.changed
    assert event.lease.dns == ["10.0.0.53"]
    home._grant = lambda message, datagram: [  # type: ignore[method-assign]
        home.reply(msg.ACK, message, datagram, "10.0.0.12")
    ]
    world.run(10)
    (event,) = world.taken()
    assert isinstance(event, LeaseRenewed)
    assert (event.changed, event.lease.address) == (True, "10.0.0.12")


@STYLES
def test_nak_on_renewal_loses_the_lease_and_gets_another_at_once(style: str) -> None:
    home = server(style=style, lease_s=20)
    world = World(home)
    world.start()
    obtained(world)
    home.refused.add("10.0.0.10")
    world.run(10)
    lost, got = world.taken()
    assert isinstance(lost, LeaseLost)
    assert lost.reason == "server refused to renew: address not available"
    assert isinstance(got, LeaseObtained)
    assert got.lease.address == "10.0.0.11"
    assert got.lease.obtained_at <= 1010.0


@STYLES
def test_lost_renewals_are_repeated_then_rebound_by_any_server(style: str) -> None:
    home = server(style=style, lease_s=20)
    world = World(home)
    world.start()
    obtained(world)
    world.servers = []
    world.run(16.9)
    assert world.client.state == dhcp.RENEWING
    assert len(world.sent) == 5
    world.servers = [DhcpServer(ROGUE_MAC, "10.0.0.2", list(POOL), lease_s=20, style=style)]
    world.run(0.2)
    (event,) = world.taken()
    assert isinstance(event, LeaseRenewed)
    assert (event.changed, event.lease.server_id) == (False, "10.0.0.2")
    assert event.lease.server_mac == ROGUE_MAC
    datagram = parse_udp_frame(world.sent[-1][1])
    assert datagram is not None
    assert (datagram.source, datagram.destination) == ("10.0.0.10", "255.255.255.255")


def test_expiry_loses_the_lease_and_asks_for_the_same_address() -> None:
    home = server(lease_s=20)
    world = World(home)
    world.start("10.0.0.11")
    obtained(world)
    world.servers = []
    world.run(19.9)
    assert not world.taken()
    assert world.client.state == dhcp.REBINDING
    world.run(0.1)
    assert reasons(world.taken()) == ["lease expired"]
    assert world.client.lease is None
    assert world.client.state == dhcp.SELECTING
    assert world.message(world.sent[-1][1]).options[50] == parse_ip("10.0.0.11")
    world.servers = [home]
    world.run(5)
    assert obtained(world) == "10.0.0.11"


def test_a_long_sleep_ends_in_one_step() -> None:
    world = World(server(lease_s=20))
    world.start()
    obtained(world)
    world.now += 10_000
    world.client.tick(world.now)
    world.settle()
    assert reasons(world.events) == ["lease expired"]
    assert obtained(world) == "10.0.0.10"
    world.now += 18
    world.client.tick(world.now)
    assert world.client.state == dhcp.REBINDING


def test_an_answer_after_the_end_does_not_revive_the_lease() -> None:
    home = server(lease_s=20)
    world = World(home)
    world.start()
    obtained(world)
    world.now += 10
    world.client.tick(world.now)
    (request,) = world.client.take_frames()
    (answer,) = home.receive(request)
    world.client.receive(answer, world.now + 10)
    assert reasons(world.client.take_events()) == ["lease expired"]


def test_an_infinite_lease_has_no_deadline() -> None:
    world = World(server(lease_s=0xFFFFFFFF))
    world.start()
    obtained(world)
    assert world.client.deadline() is None


def test_release_is_unicast_and_ends() -> None:
    home = server()
    world = World(home)
    world.start()
    obtained(world)
    world.client.release(world.now)
    world.settle()
    assert home.kinds()[-1] == msg.RELEASE
    assert home.bindings == {}
    assert (world.client.state, world.client.deadline()) == (dhcp.STOPPED, None)
    assert not world.taken()
    world.client.release(world.now)
    world.settle()
    assert home.kinds().count(msg.RELEASE) == 1


def test_decline_waits_ten_seconds_and_gets_another_address() -> None:
    home = server()
    world = World(home)
    world.start()
    obtained(world)
    world.client.decline(world.now)
    world.settle()
    assert home.kinds()[-1] == msg.DECLINE
    assert reasons(world.taken()) == ["address is in use by another host"]
    assert world.client.state == dhcp.INIT
    world.run(9.9)
    assert not world.taken()
    world.run(0.2)
    assert obtained(world) == "10.0.0.11"


def test_stop_and_start_again() -> None:
    world = World(server())
    world.client.decline(0.0)
    world.client.stop()
    world.start()
    obtained(world)
    world.client.stop()
    assert (world.client.state, world.client.lease) == (dhcp.STOPPED, None)
    world.run(10_000)
    assert len(world.sent) == 2
    world.start()
    assert obtained(world) == "10.0.0.10"


def test_an_impossible_transition_is_a_programming_error() -> None:
    client = DhcpClient(MAC, "", bytes)
    with pytest.raises(RuntimeError):
        client._set_state(dhcp.BOUND)
