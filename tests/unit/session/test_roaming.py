"""Following the host from network to network: who is told, what is moved, what is warned of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sevpn.config import Config
from sevpn.io.loop import now_s
from sevpn.session import roaming
from sevpn.session.hostside import HostSide
from sevpn.session.roaming import Roamer
from support.fake_host import FakeHost
from support.running import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sevpn.io.loop import Loop

SERVER = "198.51.100.10"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(monkeypatch)


def with_roamer(work: Callable[[Loop, Roamer], Awaitable[None]], **flags: bool) -> int:
    """Run `work`; return how often somebody was told."""
    told = []

    async def main(loop: Loop) -> None:
        config = Config(host="h", user="u", **flags)
        roamer = Roamer(loop, config, HostSide(loop, "/run/j"), "lo", 1)
        roamer.on_change = lambda: told.append(1)
        try:
            await work(loop, roamer)
        finally:
            roamer.close()
            await roamer.settle()

    run(main)
    return len(told)


def test_a_look_tells_and_moves_the_pin(host: FakeHost) -> None:
    async def work(_loop: Loop, roamer: Roamer) -> None:
        host.addresses = ("192.0.2.77", "192.0.2.78")
        roamer.follow(SERVER)
        await roamer.settle()
        assert roamer.addresses == ["192.0.2.77", "192.0.2.78"]
        assert not roamer.is_offline
        assert roamer.generation == 0  # the first look at a server is no change

    assert with_roamer(work) == 1
    assert host.names() == ["survey", "repin"]


def test_a_burst_is_one_look(host: FakeHost) -> None:
    async def work(_loop: Loop, roamer: Roamer) -> None:
        for _ in range(20):
            roamer.follow(SERVER)
        await roamer.settle()

    assert with_roamer(work) == 1
    assert host.names().count("survey") == 1


def test_change_during_a_look_is_looked_at_too(host: FakeHost) -> None:
    host.delay_s = 0.05

    async def work(loop: Loop, roamer: Roamer) -> None:
        roamer.follow(SERVER)
        while "survey" not in host.names():
            await loop.sleep(0.01)
        roamer.follow(SERVER)
        await roamer.settle()

    assert with_roamer(work) == 2
    assert host.names().count("survey") == 2


def test_no_way_at_all(host: FakeHost) -> None:
    host.addresses = ()

    async def work(_loop: Loop, roamer: Roamer) -> None:
        roamer.follow(SERVER)
        await roamer.settle()
        assert roamer.is_offline

    with_roamer(work)
    assert host.names() == ["survey"]  # the pin stays where it is


def test_no_dhcp_touches_nothing(host: FakeHost) -> None:
    async def work(_loop: Loop, roamer: Roamer) -> None:
        roamer.follow(SERVER)
        await roamer.settle()

    with_roamer(work, no_dhcp=True)
    assert host.names() == ["survey"]


@pytest.mark.parametrize("function", ["survey", "repin"])
def test_failed_look_is_survived(host: FakeHost, function: str) -> None:
    host.broken.add(function)

    async def work(_loop: Loop, roamer: Roamer) -> None:
        roamer.follow(SERVER)
        await roamer.settle()
        host.broken.clear()
        roamer.follow(SERVER)
        await roamer.settle()
        assert roamer.looks >= 1

    assert with_roamer(work) >= 1


def test_what_a_look_finds_is_told(host: FakeHost) -> None:
    """And what else is to be looked at is asked for."""
    host.is_default_void = True
    told: list[dict[str, object]] = []

    async def work(_loop: Loop, roamer: Roamer) -> None:
        roamer.on_found = told.append
        roamer.about = lambda: (("keep_inbound", "vpn0", False), ("10.0.0.5", 24, "10.0.0.1"))
        roamer.follow(SERVER)
        await roamer.settle()

    with_roamer(work)
    assert [(one["is_default_void"], one["in_force"]) for one in told] == [(True, host.in_force)]
    (asked,) = [arguments for name, arguments in host.calls if name == "survey"]
    assert asked[2:] == (("keep_inbound", "vpn0", False), ("10.0.0.5", 24, "10.0.0.1"))


def test_route_that_takes_traffic_out_is_warned_of_once(
    host: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(_loop: Loop, roamer: Roamer) -> None:
        roamer.follow(SERVER)
        await roamer.settle()
        host.routes = (*host.routes, ("8.0.0.0", 7, "eth0"))
        for _ in range(3):
            roamer.look()
            await roamer.settle()
        assert roamer.hijacks == [("8.0.0.0", 7, "eth0")]

    with_roamer(work, accept_default_gateway=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "TunnelVision" in line]
    assert len(lines) == 1
    assert "8.0.0.0/7 on eth0" in lines[0]


def test_news_that_change_nothing_are_looked_at_less_and_less(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roaming, "SETTLE_S", 0.01)

    async def work(loop: Loop, roamer: Roamer) -> None:
        roamer.follow(SERVER)
        end_s = now_s() + 1.0
        while now_s() < end_s:
            roamer.look()
            await loop.sleep(0.005)
        assert roamer.generation == 0
        assert roamer.looks < 12
        host.addresses = ("192.0.2.9",)
        generation = roamer.generation
        roamer.look()
        assert await roamer.doze(now_s() + 20.0)
        assert roamer.generation > generation

    with_roamer(work)
