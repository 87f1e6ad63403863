"""The gateway watch: pure, so time is an argument."""

from __future__ import annotations

import itertools

import pytest

from sevpn.dhcp.arp import build_arp_reply, build_arp_request, parse_arp
from sevpn.session import health
from sevpn.session.health import ANSWERED, ASKING, SILENT, GatewayWatch

MAC = b"\x5e\0\0\0\0\1"
GATEWAY_MAC = b"\x02\0\0\0\0\xfe"
ADDRESS, GATEWAY = "10.0.0.5", "10.0.0.1"
BROADCAST = b"\xff" * 6


def watch_at(now_s: float = 100.0) -> GatewayWatch:
    return GatewayWatch(MAC, ADDRESS, [GATEWAY], now_s)


def answer(sender: str = GATEWAY, to: bytes = MAC) -> bytes:
    return build_arp_reply(GATEWAY_MAC, sender, to, ADDRESS)


def run_silently(watch: GatewayWatch, until_s: float) -> list[tuple[float, bytes]]:
    """Tick at the deadlines only; return the questions and their times."""
    asked = []
    while watch.deadline_s() <= until_s:
        now_s = watch.deadline_s()
        watch.tick(now_s)
        assert watch.deadline_s() > now_s
        asked += [(now_s, frame) for frame in watch.take_frames()]
    return asked


def test_asks_at_once() -> None:
    watch = watch_at()
    (frame,) = watch.take_frames()
    arp = parse_arp(frame)
    assert arp is not None
    assert (arp.sender, arp.target, arp.sender_mac) == (ADDRESS, GATEWAY, MAC)
    assert frame[:6] == BROADCAST
    assert watch.state == ASKING
    assert watch.take_frames() == []


def test_answer_opens() -> None:
    watch = watch_at()
    watch.take_frames()
    watch.receive(answer(), 100.1)
    assert watch.state == ANSWERED
    assert watch.peer_mac == GATEWAY_MAC
    assert watch.deadline_s() == 100.1 + health.ASK_IDLE_S
    watch.tick(102.0)
    assert watch.take_frames() == []


def test_later_questions_are_unicast() -> None:
    watch = watch_at()
    watch.take_frames()
    watch.receive(answer(), 100.0)
    watch.tick(watch.deadline_s())
    (frame,) = watch.take_frames()
    assert frame[:6] == GATEWAY_MAC


def test_silence_and_back() -> None:
    watch = watch_at()
    watch.take_frames()
    watch.receive(answer(), 100.0)
    asked = run_silently(watch, 100.0 + health.ASK_IDLE_S + 0.01)
    assert watch.state == ANSWERED
    asked += run_silently(watch, 110.0)
    assert watch.state == SILENT
    # Three unicast questions; then everybody is asked, for the gateway may have changed.
    assert [frame[:6] for _, frame in asked[:4]] == [GATEWAY_MAC] * 3 + [BROADCAST]
    watch.receive(answer(), 111.0)
    assert watch.state == ANSWERED


def test_silence_is_noticed_in_seconds() -> None:
    watch = watch_at(0.0)
    watch.receive(answer(), 0.0)
    while watch.state == ANSWERED:
        run_silently(watch, watch.deadline_s())
    assert watch.deadline_s() < health.ASK_IDLE_S + 5


def test_questions_become_rare() -> None:
    watch = watch_at(0.0)
    asked = run_silently(watch, 600.0)
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(asked)]
    assert max(gaps) <= health.ASK_IDLE_S + 1e-6
    assert len(asked) < 600 / health.ASK_IDLE_S + 20


def test_doubt_asks_at_once() -> None:
    watch = watch_at()
    watch.take_frames()
    watch.receive(answer(), 100.0)
    watch.ask_now(101.0)
    assert watch.deadline_s() == 101.0
    watch.tick(101.0)
    assert len(watch.take_frames()) == 1
    watch.ask_now(200.0)
    assert watch.deadline_s() < 200.0


@pytest.mark.parametrize(
    "frame",
    [
        answer(sender="10.0.0.2"),
        answer(to=GATEWAY_MAC),
        build_arp_request(GATEWAY_MAC, GATEWAY, ADDRESS),
        answer()[:30],
        b"",
        bytes(60),
    ],
)
def test_other_frames_are_no_answer(frame: bytes) -> None:
    watch = watch_at()
    watch.receive(frame, 100.1)
    assert watch.state == ASKING


def test_another_candidate_may_answer() -> None:
    """A gateway that keeps silent to ARP is no proof against the LAN: the server may answer."""
    watch = GatewayWatch(MAC, ADDRESS, [GATEWAY, "10.0.0.9"], 0.0)
    asked = set()
    for turn in range(4):
        watch.tick(turn * 0.31)
        asked |= {arp.target for arp in map(parse_arp, watch.take_frames()) if arp is not None}
    assert asked == {GATEWAY, "10.0.0.9"}
    watch.receive(answer("10.0.0.9"), 1.3)
    assert watch.state == ANSWERED
    assert watch.target == "10.0.0.9"


def test_nobody_has_ever_answered() -> None:
    watch = GatewayWatch(MAC, ADDRESS, [GATEWAY], 0.0)
    now = 0.0
    while watch.state == ASKING:
        now = watch.deadline_s()
        watch.tick(now)
    assert watch.state == SILENT
    assert 2.0 < now < 5.0


# --- what a person should know of the LAN ---


def test_two_hosts_answer_for_the_gateway() -> None:
    """Both hear the first question, so their answers come together; said once."""
    watch = watch_at()
    other = build_arp_reply(b"\x02\0\0\0\0\xfd", GATEWAY, MAC, ADDRESS)
    watch.receive(answer(), 100.001)
    watch.receive(other, 100.002)
    (text,) = watch.take_warnings()
    assert "02:00:00:00:00:fe and 02:00:00:00:00:fd" in text
    assert watch.take_warnings() == []


def test_a_router_that_was_replaced_is_no_second_one() -> None:
    watch = watch_at()
    watch.receive(answer(), 100.0)
    run_silently(watch, 110.0)
    watch.receive(build_arp_reply(b"\x02\0\0\0\0\xfd", GATEWAY, MAC, ADDRESS), 110.0)
    assert watch.take_warnings() == []
    assert watch.peer_mac == b"\x02\0\0\0\0\xfd"


def test_own_mac_comes_out_of_the_tunnel() -> None:
    """Two machines with one MAC get one address, and each other's frames."""
    watch = watch_at()
    for _ in range(100):
        watch.receive(build_arp_request(MAC, ADDRESS, GATEWAY), 100.0)
    (text,) = watch.take_warnings()
    assert "own MAC 5e:00:00:00:00:01" in text
    assert watch.state == ASKING


def test_a_hostile_lan_does_not_fill_the_log() -> None:
    watch = watch_at()
    said = 0
    for number in range(1000):
        watch.receive(build_arp_reply(number.to_bytes(6, "big"), GATEWAY, MAC, ADDRESS), 100.0)
        said += len(watch.take_warnings())
    assert said <= health.WARNINGS_MAX
