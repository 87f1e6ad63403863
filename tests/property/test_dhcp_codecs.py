"""DHCP and ARP codecs: round trips, and from any bytes a value, None or DhcpError."""

from hypothesis import given
from hypothesis import strategies as st

from sevpn.dhcp import arp, options
from sevpn.dhcp import message as msg
from sevpn.dhcp.address import DhcpError, format_ip, network_of
from sevpn.dhcp.domains import decode_domain, decode_search, encode_search, is_domain_name
from sevpn.dhcp.frame import build_udp_frame, parse_udp_frame
from sevpn.dhcp.lease import build_lease
from sevpn.dhcp.routes import Route, decode_routes, encode_routes

ips = st.binary(min_size=4, max_size=4).map(format_ip)
macs = st.binary(min_size=6, max_size=6)
ports = st.integers(0, 65535)
hosts = st.tuples(st.integers(1, 126), st.integers(0, 2**24 - 1)).map(
    lambda parts: format_ip(bytes((parts[0],)) + parts[1].to_bytes(3, "big"))
)
labels = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,20}[A-Za-z0-9_])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=5).map(".".join)
option_values = st.dictionaries(
    st.integers(1, 254).filter(lambda code: code != options.OVERLOAD),
    st.binary(max_size=600),
    max_size=4,
)


@st.composite
def a_route(draw: st.DrawFn) -> Route:
    prefix_len = draw(st.integers(0, 32))
    return network_of(draw(ips), prefix_len), prefix_len, draw(hosts)


@given(option_values)
def test_options_round_trip_also_when_split(values: dict[int, bytes]) -> None:
    into: dict[int, bytes] = {}
    options.collect_options(options.encode_options(values), into)
    assert into == values


@given(option_values, st.data())
def test_any_split_of_any_value_joins_to_it(values: dict[int, bytes], data: st.DataObject) -> None:
    """RFC 3396: parts of any size, in any interleaving that keeps each one's order."""
    queues: list[list[tuple[int, bytes]]] = []
    for code, value in values.items():
        parts: list[tuple[int, bytes]] = []
        rest = value
        while rest or not parts:
            size = data.draw(st.integers(1, 255))
            parts.append((code, rest[:size]))
            rest = rest[size:]
        queues.append(parts)
    area = b""
    while queues:
        queue = data.draw(st.sampled_from(queues))
        code, part = queue.pop(0)
        area += bytes(data.draw(st.integers(0, 2))) + bytes((code, len(part))) + part
        queues = [queue for queue in queues if queue]
    into: dict[int, bytes] = {}
    options.collect_options(area, into)
    assert into == values


@given(st.lists(a_route(), min_size=1, max_size=30, unique_by=lambda route: route[:2]))
def test_routes_round_trip(routes: list[Route]) -> None:
    assert decode_routes(encode_routes(routes)) == routes


@given(st.binary(max_size=300))
def test_any_bytes_as_routes(value: bytes) -> None:
    for network, prefix_len, _ in decode_routes(value) or []:
        assert network_of(network, prefix_len) == network


@given(st.lists(names, min_size=1, max_size=20, unique=True))
def test_search_lists_round_trip(search: list[str]) -> None:
    assert decode_search(encode_search(search)) == search


@given(
    st.lists(
        st.one_of(
            labels.map(lambda label: bytes((len(label),)) + label.encode()),
            st.just(b"\0"),
            st.integers(0, 60).map(lambda at: bytes((0xC0, at))),
            st.binary(max_size=4),
        ),
        max_size=60,
    ).map(b"".join)
)
def test_any_bytes_as_names(value: bytes) -> None:
    for name in decode_search(value) or []:
        assert is_domain_name(name)
        assert name.isascii()
        assert name.isprintable()
    domain = decode_domain(value)
    assert domain is None or is_domain_name(domain)


@given(st.binary(max_size=400))
def test_any_bytes_as_scalars(value: bytes) -> None:
    text = options.decode_text(value)
    assert text.isascii()
    assert "\n" not in text
    assert options.decode_addresses(value) is None or len(value) % 4 == 0
    options.decode_address(value)
    options.decode_number(value, 4)


@given(
    st.tuples(macs, macs), st.tuples(ips, ips), st.tuples(ports, ports), st.binary(max_size=1472)
)
def test_frames_round_trip(
    between: tuple[bytes, bytes],
    addresses: tuple[str, str],
    numbers: tuple[int, int],
    payload: bytes,
) -> None:
    frame = build_udp_frame(between, addresses, numbers, payload)
    assert len(frame) == 42 + len(payload)
    found = parse_udp_frame(frame + bytes(3))
    assert found is not None
    assert (found.source_mac, found.destination_mac) == between
    assert (found.source, found.destination) == addresses
    assert (found.source_port, found.destination_port) == numbers
    assert found.payload == payload


@given(
    st.sampled_from([msg.OP_REQUEST, msg.OP_REPLY]),
    st.integers(0, 2**32 - 1),
    macs,
    option_values,
    st.tuples(ips, ips, ips, ips),
    st.tuples(ports, ports),
)
def test_messages_round_trip(
    op: int,
    xid: int,
    mac: bytes,
    values: dict[int, bytes],
    addresses: tuple[str, str, str, str],
    numbers: tuple[int, int],
) -> None:
    message = msg.Message(op, xid, mac, values)
    message.client, message.your, message.server, message.relay = addresses
    message.secs, message.flags = numbers
    back = msg.decode_message(msg.encode_message(message))
    assert (back.op, back.xid, back.mac, back.options) == (op, xid, mac, values)
    assert (back.client, back.your, back.server, back.relay) == addresses
    assert (back.secs, back.flags, back.kind) == (*numbers, message.kind)


def judge(frame: bytes) -> None:
    """Take a frame as far as a client would; nothing but DhcpError may come out."""
    try:
        datagram = parse_udp_frame(frame)
        if datagram is not None:
            lease = build_lease(msg.decode_message(datagram.payload), datagram.source_mac, 0.0)
            assert lease.t1_s < lease.t2_s < lease.lease_s or lease.lease_s == 0xFFFFFFFF
            assert 8 <= lease.prefix_len <= 32
    except DhcpError:
        pass
    arp.parse_arp(frame)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x08\x00", b"\x08\x06", b"\x08\x00\x45"]))
def test_any_bytes_as_a_frame(tail: bytes, head: bytes) -> None:
    judge(bytes(12) + head + tail)
    judge(tail)


@given(
    option_values,
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=6),
    st.integers(0, 2000),
)
def test_damaged_replies(
    values: dict[int, bytes], damage: list[tuple[int, int]], keep: int
) -> None:
    needed = {53: b"\x05", 54: bytes((10, 0, 0, 1)), 51: (60).to_bytes(4, "big")}
    message = msg.Message(msg.OP_REPLY, 1, bytes(6), {**needed, **values})
    message.your = "10.0.0.9"
    try:
        payload = msg.encode_message(message)
        whole = build_udp_frame((bytes(6), bytes(6)), ("10.0.0.1", "10.0.0.9"), (67, 68), payload)
    except DhcpError:
        return  # larger than a frame
    frame = bytearray(whole)
    frame[40:42] = b"\0\0"  # no UDP checksum: let the damage through to what lies behind
    judge(bytes(frame))
    for at, byte in damage:
        if at < len(frame):
            frame[at] = byte
    judge(bytes(frame))
    judge(bytes(frame[:keep]))


@given(macs, ips, ips, macs, ips)
def test_arp_round_trip(mac: bytes, sender: str, target: str, other: bytes, address: str) -> None:
    packet = arp.parse_arp(arp.build_arp_reply(mac, sender, other, target))
    assert packet is not None
    assert (packet.operation, packet.sender_mac, packet.sender) == (arp.REPLY, mac, sender)
    assert (packet.target_mac, packet.target) == (other, target)
    packet = arp.parse_arp(arp.build_arp_announcement(mac, address))
    assert packet is not None
    assert (packet.sender, packet.target) == (address, address)
    assert not arp.is_conflict(packet, mac, address)


@given(
    st.lists(st.one_of(st.floats(0, 0.5), st.binary(max_size=60)), max_size=30),
    st.binary(min_size=1),
)
def test_a_probe_ends_within_a_second_whatever_comes(
    steps: list[float | bytes], noise: bytes
) -> None:
    probe = arp.AddressProbe(bytes(6), "10.0.0.9", lambda size: noise[:1] * size)
    now = 0.0
    probe.start(now)
    for step in steps:
        if isinstance(step, bytes):
            probe.receive(bytes(12) + b"\x08\x06" + step, now)
        elif (deadline := probe.deadline()) is not None:
            now = max(now, min(now + step, deadline))
            probe.tick(now)
    while (deadline := probe.deadline()) is not None:
        now = deadline
        probe.tick(now)
        assert (after := probe.deadline()) is None or after > now
    assert now < 1.0
    assert len(probe.take_frames()) <= arp.PROBES
    assert probe.result in (arp.FREE, arp.CONFLICT)
