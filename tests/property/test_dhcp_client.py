"""The DHCP client in random company: lost, doubled, reordered, damaged and hostile frames.

What must hold whatever comes: no exception; the deadline lies ahead after each tick; one
lease at most, told in the right order and never kept past its end; few frames a minute.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sevpn.dhcp import client as dhcp
from sevpn.dhcp import message as msg
from sevpn.dhcp.address import DhcpError, format_ip, parse_ip
from sevpn.dhcp.client import DhcpClient
from sevpn.dhcp.events import LeaseLost, LeaseObtained, LeaseRenewed
from sevpn.dhcp.frame import Datagram, build_udp_frame, parse_udp_frame
from support.dhcp_server import DNSMASQ, SECURENAT, DhcpServer
from support.dhcp_world import MAC, POOL, ROGUE_MAC, SERVER_MAC

HELD = (dhcp.BOUND, dhcp.RENEWING, dhcp.REBINDING)
FRAMES_PER_MINUTE = 100
FITTING = -1  # the kind an honest server would answer with

numbers = st.sampled_from([0, 1, 5, 9, 10, 20, 60, 3600, 0xFFFFFFFF]).map(
    lambda value: value.to_bytes(4, "big")
)


class Lie:
    """What a hostile server makes of one message of ours."""

    def __init__(self, kind: int, known: bool, address: str, values: dict[int, bytes]) -> None:
        self.kind = kind
        self.known = known  # under the chosen server's identity
        self.address = address
        self.values = values

    def __repr__(self) -> str:
        return f"Lie({self.kind}, {self.known}, {self.address!r}, {self.values})"

    def frame(self, to: bytes) -> bytes | None:
        datagram = parse_udp_frame(to)
        assert datagram is not None
        asked = msg.decode_message(datagram.payload)
        server_id = "10.0.0.1" if self.known else "10.0.0.2"
        wanted = asked.options.get(50, parse_ip(asked.client))
        kind = self.kind
        if kind == FITTING:
            kind = msg.OFFER if asked.kind == msg.DISCOVER else msg.ACK
        values = {53: bytes((kind,)), 54: parse_ip(server_id), **self.values}
        message = msg.Message(msg.OP_REPLY, asked.xid, asked.mac, values)
        message.your = self.address or format_ip(wanted)
        macs = (SERVER_MAC if self.known else ROGUE_MAC, b"\xff" * 6)
        try:
            payload = msg.encode_message(message)
            return build_udp_frame(macs, (server_id, "255.255.255.255"), (67, 68), payload)
        except DhcpError:
            return None


# Clever ones keep the client going from state to state as fast as they can; clumsy ones
# are wrong in any way.
clever_lies = st.builds(
    Lie,
    st.sampled_from([FITTING, FITTING, FITTING, msg.NAK]),
    st.just(True),
    st.sampled_from(["", "", "", "10.0.0.66"]),
    st.sampled_from([10, 10, 20]).map(lambda value: {51: value.to_bytes(4, "big")}),
)
clumsy_lies = st.builds(
    Lie,
    st.sampled_from([msg.OFFER, msg.ACK, msg.NAK, 0, 255]),
    st.sampled_from([True, True, False]),
    st.sampled_from(["", "", "10.0.0.10", "10.0.0.66", "127.0.0.1", "0.0.0.0"]),
    st.fixed_dictionaries(
        {51: numbers},
        optional={
            1: st.binary(max_size=4),
            58: numbers,
            59: numbers,
            54: st.binary(max_size=5),
            56: st.binary(max_size=200),
            119: st.binary(max_size=20),
            121: st.binary(max_size=20),
        },
    ),
)
lies = clever_lies | clumsy_lies


class Watch:
    """Drives a client and checks what must hold after each step."""

    def __init__(self, seed: int) -> None:
        self.now = 5000.0
        self.seed = seed
        self.client = DhcpClient(MAC, "box", self._random)
        self.held: str | None = None
        self.sent: list[tuple[float, bytes]] = []

    def _random(self, size: int) -> bytes:
        self.seed = (self.seed * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.seed >> 16).to_bytes(8, "big")[-size:]

    def collect(self) -> list[bytes]:
        """Check events and frames after a call; return the frames."""
        for event in self.client.take_events():
            if isinstance(event, LeaseObtained):
                assert self.held is None
                self.held = event.lease.address
            elif isinstance(event, LeaseRenewed):
                assert self.held is not None
                assert event.changed or event.lease.address == self.held
                self.held = event.lease.address
            elif isinstance(event, LeaseLost):
                assert self.held is not None
                assert event.reason.isascii()
                assert event.reason.isprintable()
                self.held = None
        lease = self.client.lease
        assert (lease is not None) == (self.client.state in HELD)
        assert self.held == (lease.address if lease is not None else None)
        assert (self.client.deadline() is None) <= (
            self.client.state == dhcp.STOPPED or (lease is not None and lease.expires_at() is None)
        )
        frames = self.client.take_frames()
        for frame in frames:
            self._check_frame(frame)
            self.sent.append((self.now, frame))
        return frames

    def _check_frame(self, frame: bytes) -> None:
        datagram = parse_udp_frame(frame)
        assert isinstance(datagram, Datagram)
        message = msg.decode_message(datagram.payload)
        assert (message.op, message.mac, datagram.source_mac) == (msg.OP_REQUEST, MAC, MAC)
        if message.kind == msg.REQUEST and message.client != "0.0.0.0":
            assert datagram.source == message.client

    def tick(self) -> list[bytes]:
        self.client.tick(self.now)
        deadline = self.client.deadline()
        assert deadline is None or deadline > self.now
        lease = self.client.lease
        expires_at = lease.expires_at() if lease is not None else None
        assert expires_at is None or expires_at > self.now
        return self.collect()

    def receive(self, frame: bytes) -> list[bytes]:
        self.client.receive(frame, self.now)
        return self.collect()

    def restart(self, address: str | None = None) -> list[bytes]:
        self.held = None  # start, release and stop tell nothing
        self.client.start(self.now, address)
        return self.collect()


class Play:
    """A client, an honest server and a wire on which everything can happen to answers.

    Each method is one step a script can name, with its one argument.
    """

    def __init__(self, seed: int, server: DhcpServer) -> None:
        self.watch = Watch(seed)
        self.server = server
        self.answers: list[bytes] = []
        self.restart(None)

    def carry(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.answers += self.server.receive(frame)

    def wait(self, seconds: float) -> None:
        self.watch.now += seconds
        self.carry(self.watch.tick())

    def deadline(self, _: None) -> None:
        self.watch.now = max(self.watch.now, self.watch.client.deadline() or 0.0)
        self.carry(self.watch.tick())

    def deliver(self, at: int) -> None:
        if self.answers:  # any but 0 is a reordering
            self.carry(self.watch.receive(self.answers.pop(at % len(self.answers))))

    def double(self, at: int) -> None:
        if self.answers:
            self.carry(self.watch.receive(self.answers[at % len(self.answers)]))

    def drop(self, at: int) -> None:
        if self.answers:
            del self.answers[at % len(self.answers)]

    def lie(self, lie: Lie) -> None:
        frame = lie.frame(self.watch.sent[-1][1])
        self.carry(self.watch.receive(frame) if frame is not None else [])

    def damage(self, where: tuple[int, int]) -> None:
        if self.answers:
            damaged = bytearray(self.answers[0])
            damaged[where[0] % len(damaged)] = where[1]
            self.carry(self.watch.receive(bytes(damaged)))

    def noise(self, frame: bytes) -> None:
        self.carry(self.watch.receive(frame))

    def refuse(self, _: None) -> None:
        self.server.refused = set() if self.server.refused else {POOL[0]}

    def decline(self, _: None) -> None:
        self.watch.client.decline(self.watch.now)
        self.carry(self.watch.collect())

    def release(self, _: None) -> None:
        self.watch.held = None  # start, release and stop tell nothing
        self.watch.client.release(self.watch.now)
        self.carry(self.watch.collect())

    def stop(self, _: None) -> None:
        self.watch.held = None
        self.watch.client.stop()
        self.carry(self.watch.collect())

    def restart(self, address: str | None) -> None:
        self.carry(self.watch.restart(address))


steps = st.one_of(
    st.tuples(st.just("wait"), st.floats(0, 40)),
    st.tuples(st.sampled_from(["deliver", "drop", "double"]), st.integers(0, 5)),
    st.tuples(st.just("deliver"), st.just(0)),
    st.tuples(st.just("lie"), lies),
    st.tuples(st.just("damage"), st.tuples(st.integers(0, 500), st.integers(0, 255))),
    st.tuples(st.just("noise"), st.binary(max_size=80)),
    st.tuples(st.sampled_from(["deadline", "decline", "release", "stop", "refuse"]), st.none()),
    st.tuples(st.just("restart"), st.sampled_from([None, POOL[1], "127.0.0.1"])),
)


@given(
    st.lists(steps, min_size=5, max_size=80),
    st.integers(0, 2**32),
    st.sampled_from([DNSMASQ, SECURENAT]),
    st.sampled_from([20, 3600, 0xFFFFFFFF]),
)
@settings(max_examples=150)
def test_random_interaction(
    script: list[tuple[str, object]], seed: int, style: str, lease_s: int
) -> None:
    server = DhcpServer(SERVER_MAC, "10.0.0.1", list(POOL), lease_s=lease_s, style=style)
    play = Play(seed, server)
    for verb, value in script:
        getattr(play, verb)(value)
    # Left alone with an honest server, it always comes to a lease.
    server.refused = set()
    server.bindings = {}
    play.restart(None)
    for _ in range(200):
        while play.answers:
            play.deliver(0)
        if play.watch.client.state == dhcp.BOUND:
            break
        play.deadline(None)
    assert play.watch.client.state == dhcp.BOUND


@given(
    st.lists(
        st.lists(clever_lies, max_size=2) | st.lists(lies, max_size=3), min_size=1, max_size=8
    ),
    st.integers(0, 2**32),
    st.booleans(),
)
@settings(max_examples=100)
def test_no_server_makes_the_client_busy(
    answers: list[list[Lie]], seed: int, at_the_last_moment: bool
) -> None:
    """A server that answers each frame, at once or as late as it can, with any lies."""
    watch = Watch(seed)
    pending = watch.restart()
    turn = 0
    while watch.now < 5300.0 and len(watch.sent) < 2000:
        deadline = watch.client.deadline()
        if at_the_last_moment and deadline is not None:
            watch.now = max(watch.now, deadline - 0.001)
        frames, pending = pending, []
        for frame in frames:
            for lie in answers[turn % len(answers)]:
                told = lie.frame(frame)
                pending += watch.receive(told) if told is not None else []
            turn += 1
        if pending:
            continue
        deadline = watch.client.deadline()
        if deadline is None:
            break
        watch.now = max(watch.now, deadline)
        pending = watch.tick()
    times = [at for at, _ in watch.sent]
    for first in range(len(times)):
        last = first + FRAMES_PER_MINUTE
        assert last >= len(times) or times[last] - times[first] > 60.0
