"""The lease keeper against a DHCP server and neighbours, with virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from sevpn.dhcp import message as msg
from sevpn.dhcp.address import parse_ip
from sevpn.dhcp.arp import REQUEST, build_arp_reply, parse_arp
from sevpn.dhcp.lease import Lease
from sevpn.errors import EXIT_LEASE, LeaseError
from sevpn.session.leasing import LeaseKeeper, watch_targets
from sevpn.session.state import CONFIGURING, DEGRADED, READY
from support.dhcp_server import DhcpServer

if TYPE_CHECKING:
    from sevpn.session.network import Network

MAC = b"\x5e\0\0\0\0\1"
SERVER_MAC = b"\x02\0\0\0\0\xaa"
OTHER_MAC = b"\x02\0\0\0\0\xbb"
GATEWAY = "10.0.0.1"
OPTIONS = {1: parse_ip("255.255.255.0"), 3: parse_ip(GATEWAY)}


class FakeNetwork:
    """Applies at once what is wanted, unless it is slow."""

    def __init__(self) -> None:
        self.applied: Lease | None = None
        self.wishes: list[Lease | None] = []
        self.is_slow = False

    def want(self, lease: Lease | None) -> None:
        self.wishes.append(lease)
        if not self.is_slow:
            self.applied = lease

    def renew(self, lease: Lease) -> None:
        self.applied = lease


class World:
    """A keeper, a DHCP server that is the gateway too, and hosts that answer ARP."""

    def __init__(self, *, once: bool = False, lease_s: int = 600) -> None:
        self.now = 1000.0
        self.network = FakeNetwork()
        counter = iter(range(1, 10**9))
        self.keeper = LeaseKeeper(
            MAC,
            "box",
            cast("Network", self.network),
            once,
            lambda size: next(counter).to_bytes(8, "big")[-size:],
        )
        self.server = DhcpServer(
            SERVER_MAC, GATEWAY, ["10.0.0.5", "10.0.0.6"], network=dict(OPTIONS), lease_s=lease_s
        )
        self.hosts = {GATEWAY: SERVER_MAC}
        self.is_cut = False
        self.sent: list[bytes] = []
        self.states: list[str] = []

    def start(self) -> None:
        self.keeper.start(self.now)
        self.turn()

    def turn(self) -> None:
        """What the tunnel does: tick, send, receive, until nobody has anything to say."""
        for _ in range(50):
            self.keeper.tick(self.now)
            frames = self.keeper.take_frames()
            state = self.keeper.state()
            if not self.states or self.states[-1] != state:
                self.states.append(state)
            if not frames:
                return
            for frame in frames:
                self.sent.append(frame)
                for answer in [] if self.is_cut else self.answers(frame):
                    self.keeper.receive(answer, self.now)
        raise AssertionError("it does not become quiet")

    def answers(self, frame: bytes) -> list[bytes]:
        arp = parse_arp(frame)
        if arp is None:
            return self.server.receive(frame)
        if arp.operation == REQUEST and arp.target in self.hosts and arp.target != arp.sender:
            return [build_arp_reply(self.hosts[arp.target], arp.target, MAC, arp.sender)]
        return []

    def run(self, seconds: float) -> None:
        """Let time pass, waking the keeper at its deadlines only."""
        end = self.now + seconds
        while (deadline := self.keeper.deadline_s()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.turn()
            after = self.keeper.deadline_s()
            assert after is None or after > self.now
        self.now = end
        self.turn()

    def announcements(self) -> list[str]:
        found = [parse_arp(frame) for frame in self.sent]
        return [arp.sender for arp in found if arp is not None and arp.sender == arp.target]

    def probes(self) -> list[str]:
        found = [parse_arp(frame) for frame in self.sent]
        return [arp.target for arp in found if arp is not None and arp.sender == "0.0.0.0"]


def test_from_nothing_to_ready() -> None:
    world = World()
    assert world.keeper.deadline_s() is None
    world.start()
    assert world.keeper.lease is not None
    assert world.network.applied is None  # not before the probes
    world.run(2.0)
    assert world.states == [CONFIGURING, READY]
    assert world.probes() == ["10.0.0.5"] * 3
    assert world.network.wishes == [world.keeper.lease]
    assert not world.keeper.is_silent
    world.run(10.0)
    assert world.announcements() == ["10.0.0.5"] * 2
    assert world.states == [CONFIGURING, READY]


def test_ready_waits_for_the_host() -> None:
    world = World()
    world.network.is_slow = True
    world.start()
    world.run(3.0)
    assert world.states == [CONFIGURING]
    world.network.applied = world.keeper.lease
    world.run(0.1)
    assert world.states == [CONFIGURING, READY]


def test_ready_waits_for_the_gateway() -> None:
    world = World()
    world.hosts.clear()
    world.start()
    world.run(10.0)
    assert world.network.applied is not None
    assert world.states == [CONFIGURING, DEGRADED]  # after some questions
    world.hosts[GATEWAY] = SERVER_MAC
    world.run(10.0)
    assert world.states == [CONFIGURING, DEGRADED, READY]


def test_conflict_is_declined(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.hosts["10.0.0.5"] = OTHER_MAC
    world.start()
    world.run(1.0)
    assert msg.DECLINE in world.server.kinds()
    assert world.keeper.lease is None
    assert "10.0.0.5 is in use by 02:00:00:00:00:bb: declined" in capsys.readouterr().err
    world.run(15.0)
    assert world.network.applied is not None
    assert world.network.applied.address == "10.0.0.6"
    assert "10.0.0.5" not in [wish.address for wish in world.network.wishes if wish]


def test_renewal_changes_nothing() -> None:
    world = World(lease_s=100)
    world.start()
    world.run(300.0)
    assert world.keeper.renewals >= 5
    assert world.network.applied is world.keeper.lease
    assert len(world.network.wishes) == 1
    assert world.states == [CONFIGURING, READY]
    assert len(world.announcements()) == 2


def test_renewal_with_another_gateway() -> None:
    world = World(lease_s=100)
    world.start()
    world.run(10.0)
    world.server.network[3] = parse_ip("10.0.0.254")
    world.hosts["10.0.0.254"] = OTHER_MAC
    world.run(60.0)
    assert len(world.network.wishes) == 2
    assert world.network.applied is not None
    assert world.network.applied.routers == ["10.0.0.254"]
    assert world.states[-1] == READY


def test_nak_gives_the_address_up(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(lease_s=100)
    world.start()
    world.run(10.0)
    world.server.refused.add("10.0.0.5")
    world.run(70.0)
    assert world.network.applied is not None
    assert world.network.applied.address == "10.0.0.6"
    wishes = [wish.address if wish else None for wish in world.network.wishes]
    assert wishes == ["10.0.0.5", None, "10.0.0.6"]
    assert world.states == [CONFIGURING, READY, CONFIGURING, READY]
    assert "lease lost: server refused to renew" in capsys.readouterr().err
    assert world.probes()[-1] == "10.0.0.6"


def test_lease_expires() -> None:
    world = World(lease_s=100)
    world.start()
    world.run(10.0)
    world.is_cut = True
    world.run(100.0)
    assert world.network.applied is None
    assert world.keeper.lease is None
    assert world.states[-1] == CONFIGURING
    world.is_cut = False
    world.run(70.0)
    assert world.states[-1] == READY


def test_silent_gateway_and_back() -> None:
    world = World()
    world.start()
    world.run(5.0)
    world.hosts.clear()
    world.run(10.0)
    assert world.keeper.is_silent
    assert world.states == [CONFIGURING, READY, DEGRADED]
    world.hosts[GATEWAY] = SERVER_MAC
    world.run(10.0)
    assert world.states == [CONFIGURING, READY, DEGRADED, READY]


def test_doubt_asks_the_gateway_at_once() -> None:
    world = World()
    world.start()
    world.run(5.0)
    world.keeper.doubt(world.now)
    assert world.keeper.deadline_s() == world.now
    before = len(world.sent)
    world.turn()
    assert len(world.sent) == before + 1


def test_next_session_asks_for_the_same_address_and_does_not_probe_it() -> None:
    world = World()
    world.start()
    world.run(5.0)
    probes = len(world.probes())
    world.network.want(None)
    world.keeper.start(world.now)
    world.run(0.1)
    assert world.network.applied is not None
    assert world.network.applied.address == "10.0.0.5"
    assert len(world.probes()) == probes
    assert world.states[-1] == READY


def test_release() -> None:
    world = World()
    world.start()
    world.run(5.0)
    world.keeper.release(world.now)
    for frame in world.keeper.take_frames():
        world.server.receive(frame)
    assert world.server.kinds()[-1] == msg.RELEASE
    assert world.keeper.lease is None
    assert world.keeper.deadline_s() is None


def test_release_without_a_lease_sends_nothing() -> None:
    world = World()
    world.is_cut = True
    world.start()
    world.keeper.release(world.now)
    assert world.keeper.take_frames() == []


def test_no_answer_is_said_and_survived(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.is_cut = True
    world.start()
    world.run(60.0)
    text = capsys.readouterr().err
    assert "warning: no DHCP answer for" in text
    assert "-no-dhcp" in text
    assert len(text.splitlines()) <= 6
    world.is_cut = False
    world.run(70.0)
    assert world.states[-1] == READY


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({}, "is there a DHCP server"),
        ({"FilterIPv4": 1}, "policy FilterIPv4 of this user lets no DHCP through"),
        ({"DHCPFilter": 1}, "policy DHCPFilter"),
        ({"CheckMac": 1}, "a session of ours that was not ended properly"),
    ],
)
def test_what_the_policy_says_of_a_missing_answer(
    policy: dict[str, int], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.is_cut = True
    world.keeper.policy = policy
    world.start()
    world.run(20.0)
    assert words in capsys.readouterr().err


def test_no_answer_ends_a_run_with_once() -> None:
    world = World(once=True)
    world.is_cut = True
    world.start()
    with pytest.raises(LeaseError, match=r"no DHCP answer for \d\d s") as caught:
        world.run(30.0)
    assert caught.value.exit_code == EXIT_LEASE


def test_hostile_frames_change_nothing() -> None:
    world = World()
    world.start()
    world.run(5.0)
    lease = world.keeper.lease
    for frame in (b"", bytes(14), b"\xff" * 42, bytes(12) + b"\x08\x06" + bytes(40)):
        world.keeper.receive(frame, world.now)
    world.run(1.0)
    assert world.keeper.lease is lease
    assert world.states[-1] == READY


# --- whom to watch ---


def lease_with(routers: list[str], prefix_len: int = 24, server_id: str = "10.0.0.9") -> Lease:
    lease = Lease("10.0.0.5", server_id, 600)
    lease.prefix_len = prefix_len
    lease.routers = routers
    return lease


def test_watch_targets() -> None:
    assert watch_targets(lease_with(["10.0.0.1"])) == ["10.0.0.1", "10.0.0.9"]
    assert watch_targets(lease_with(["10.9.0.1", "10.0.0.2"])) == ["10.0.0.2", "10.0.0.9"]
    assert watch_targets(lease_with([])) == ["10.0.0.9"]
    assert watch_targets(lease_with(["10.0.0.5"], server_id="192.0.2.1")) == []
    assert watch_targets(lease_with(["10.0.0.1"], 32)) == []


def test_without_a_neighbour_the_address_is_enough() -> None:
    world = World()
    world.server.network = {1: parse_ip("255.255.255.255")}
    world.start()
    world.run(2.0)
    assert world.states == [CONFIGURING, READY]
