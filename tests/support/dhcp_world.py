"""A DHCP client, servers and a virtual clock in one small world, for pair tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sevpn.dhcp import message as msg
from sevpn.dhcp.client import DhcpClient
from sevpn.dhcp.events import Event, LeaseLost, LeaseObtained
from sevpn.dhcp.frame import parse_udp_frame
from support.dhcp_server import DhcpServer

if TYPE_CHECKING:
    from collections.abc import Callable

MAC = bytes.fromhex("5e0000000001")
SERVER_MAC = bytes.fromhex("5e00000000aa")
ROGUE_MAC = bytes.fromhex("5e00000000bb")
POOL = ["10.0.0.10", "10.0.0.11", "10.0.0.12"]


class World:
    """A client, servers and a clock; `deliver` decides which frames of ours arrive."""

    def __init__(self, *servers: DhcpServer) -> None:
        self.now = 1000.0
        self.servers = list(servers)
        counter = iter(range(1, 10**9))
        self.client = DhcpClient(MAC, "box", lambda size: next(counter).to_bytes(8, "big")[-size:])
        self.events: list[Event] = []
        self.sent: list[tuple[float, bytes]] = []
        self.deliver: Callable[[bytes], bool] = lambda frame: True

    def settle(self) -> None:
        """Carry frames until nobody has any more."""
        while frames := self.client.take_frames():
            for frame in frames:
                self.sent.append((self.now, frame))
                if self.deliver(frame):
                    for server in self.servers:
                        for answer in server.receive(frame):
                            self.client.receive(answer, self.now)
        self.events += self.client.take_events()

    def start(self, previous_address: str | None = None) -> None:
        self.client.start(self.now, previous_address)
        self.settle()

    def run(self, seconds: float) -> None:
        """Let time pass, waking the client at its deadlines only."""
        end = self.now + seconds
        while True:
            deadline = self.client.deadline()
            if deadline is None or deadline > end:
                break
            self.now = deadline
            self.client.tick(self.now)
            after = self.client.deadline()
            assert after is None or after > self.now
            self.settle()
        self.now = end

    def taken(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def kinds_sent(self) -> list[int]:
        return [self.message(frame).kind for _, frame in self.sent]

    @staticmethod
    def message(frame: bytes) -> msg.Message:
        datagram = parse_udp_frame(frame)
        assert datagram is not None
        return msg.decode_message(datagram.payload)


def server(**changes: object) -> DhcpServer:
    """Return the home server with the attributes of `changes` set."""
    made = DhcpServer(SERVER_MAC, "10.0.0.1", list(POOL))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def obtained(world: World) -> str:
    """Return the address of the one LeaseObtained that must have come."""
    (event,) = [event for event in world.taken() if isinstance(event, LeaseObtained)]
    assert world.client.lease is event.lease
    return event.lease.address


def reasons(events: list[Event]) -> list[str]:
    """Return why leases were lost, in order."""
    return [event.reason for event in events if isinstance(event, LeaseLost)]
