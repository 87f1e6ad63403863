"""A lease put into force, changed, renewed and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sevpn.config import Config
from sevpn.dhcp.lease import Lease
from sevpn.host import plan
from sevpn.session.hostside import HostSide
from sevpn.session.network import Network, describe_lease, describe_steps
from support.fake_host import FakeHost
from support.running import run

if TYPE_CHECKING:
    from sevpn.io.loop import Loop


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(monkeypatch)


def lease_of(address: str = "10.0.0.5", lease_s: int = 3600) -> Lease:
    lease = Lease(address, "10.0.0.1", lease_s)
    lease.prefix_len = 24
    lease.routers = ["10.0.0.1"]
    return lease


def network_of(loop: Loop, **flags: bool) -> Network:
    config = Config(host="h", user="u", **flags)
    return Network(loop, config, HostSide(loop, "/run/j"), "vpn0")


def addresses(host: FakeHost) -> list[str]:
    return [step[2] for step in host.now if step[0] == "address"]


def test_want_and_clear(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        network = network_of(loop)
        lease = lease_of()
        network.want(lease)
        assert network.is_busy
        await network.settle()
        assert [network.applied] == [lease]
        assert addresses(host) == ["10.0.0.5"]
        await network.clear()
        assert not network.applied
        assert host.now == []
        await network.clear()

    run(work)


def test_changed_address(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        network = network_of(loop, accept_default_gateway=True)
        network.want(lease_of())
        await network.settle()
        network.want(lease_of("10.0.0.6"))
        await network.settle()
        assert addresses(host) == ["10.0.0.6"]
        assert sorted(s[0] for s in host.now) == ["address", "default_route", "keep_inbound"]

    run(work)
    assert host.changes() == ["apply", "undo", "apply"]


def test_the_last_wish_counts(host: FakeHost) -> None:
    """Wishes that come during a change are not queued: only the newest is brought about."""
    host.delay_s = 0.02

    async def work(loop: Loop) -> None:
        network = network_of(loop)
        for last in range(5, 15):
            network.want(lease_of(f"10.0.0.{last}"))
        await network.settle()
        assert addresses(host) == ["10.0.0.14"]
        network.want(lease_of("10.0.0.20"))
        network.want(None)
        await network.settle()
        assert host.now == []

    run(work)
    assert host.names().count("apply") <= 3
    assert host.most_running == 1


def test_renewal_touches_nothing(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        network = network_of(loop)
        network.want(lease_of())
        await network.settle()
        before = len(host.calls)
        renewed = lease_of(lease_s=7200)
        network.renew(renewed)
        assert network.applied is renewed
        assert not network.is_busy
        assert len(host.calls) == before

    run(work)


def test_renewal_during_a_change(host: FakeHost) -> None:
    host.delay_s = 0.02

    async def work(loop: Loop) -> None:
        network = network_of(loop)
        network.want(lease_of())
        renewed = lease_of(lease_s=7200)
        network.renew(renewed)
        await network.settle()
        assert network.applied is renewed
        assert addresses(host) == ["10.0.0.5"]

    run(work)


def test_failure_is_kept_until_the_next_session(host: FakeHost) -> None:
    """It ends this session; the next one starts without it, or no session would ever last."""

    async def work(loop: Loop) -> None:
        network = network_of(loop)
        host.fail.add("address")
        network.want(lease_of())
        await network.settle()
        assert str(network.failure) == "address refused"
        await network.clear()
        assert not network.failure
        host.fail.clear()
        network.want(lease_of())
        await network.settle()
        assert not network.failure
        assert addresses(host) == ["10.0.0.5"]

    run(work)


def test_own_networks_are_asked_for_static_routes_only(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        for wanted in (False, True):
            network = network_of(loop, accept_static_routes=wanted)
            lease = lease_of()
            lease.has_classless = True
            lease.routes = [("192.168.1.0", 24, "10.0.0.1"), ("172.16.0.0", 12, "10.0.0.1")]
            network.want(lease)
            await network.settle()

    run(work)
    assert [name for name in host.names() if name != "in_force"] == [
        "apply",
        "own_networks",
        "apply",
    ]
    routes = [step for step in host.now if "172.16.0.0" in repr(step)]
    assert len(routes) == 1
    assert "192.168.1.0" not in repr(host.now)  # our own network is not given away


def test_describe_lease() -> None:
    lease = lease_of()
    assert describe_lease(lease) == "10.0.0.5/24 from 10.0.0.1, for 3600 s, gateway 10.0.0.1"
    lease.lease_s = 0xFFFFFFFF
    lease.dns = ["10.0.0.2", "10.0.0.3"]
    lease.routers = []
    assert describe_lease(lease) == "10.0.0.5/24 from 10.0.0.1, for ever, DNS 10.0.0.2 10.0.0.3"


def test_describe_steps() -> None:
    steps = [
        ("address", "vpn0", "10.0.0.5", 24, None),
        ("optional", ("route", "172.16.0.0", 12, "10.0.0.1", "vpn0", 0, 254)),
        ("route", "0.0.0.0", 0, None, "vpn0", 0, 7),
        ("rule", "10.0.0.5", 7),
    ]
    assert describe_steps(steps) == (
        "172.16.0.0/12 via 10.0.0.1 dev vpn0, default dev vpn0 table 7, rule from 10.0.0.5 table 7"
    )
    assert describe_steps(steps[:1]) == ""


def held(host: FakeHost) -> list[tuple[Any, ...]]:
    return [arguments for name, arguments in host.calls if name == "hold_inbound"]


def test_the_way_back_is_kept_with_the_default_route_only(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        for flags in ({}, {"accept_default_gateway": True, "keep_inbound": False}):
            network = network_of(loop, **flags)
            network.want(lease_of())
            await network.settle()
            assert network.about() == (None, ("10.0.0.5", 24, "10.0.0.1"))
            await network.clear()
        network = network_of(loop, accept_default_gateway=True)
        assert network.about() == (None, None)
        network.want(lease_of())
        assert network.about() == (None, None)
        await network.settle()
        assert network.about()[0] == ("keep_inbound", "vpn0", False)
        kinds = [plan.bare(step)[0] for step in host.now]
        assert kinds.index("keep_inbound") < kinds.index("default_route")

    run(work)


def test_what_is_out_of_order_is_mended(host: FakeHost) -> None:
    """A stronger default route of somebody, and rules that somebody flushed."""
    host.is_default_void = host.is_inbound_stale = True

    async def work(loop: Loop) -> None:
        network = network_of(loop, accept_default_gateway=True)
        network.heed(host.do_survey("vpn0", [], *network.about()))
        assert not network.is_busy, "nothing is in force yet"
        network.want(lease_of())
        await network.settle()
        network.heed(host.do_survey("vpn0", [], *network.about()))
        assert network.is_busy
        await network.settle()
        assert host.now.count(("default_route", "10.0.0.1", "vpn0", 50)) == 2
        ((_journal, step, old),) = held(host)
        assert step == ("keep_inbound", "vpn0", False)
        assert [record["step"] for record in old] == [list(step)]
        host.is_default_void = False
        network.heed(host.do_survey("vpn0", [], *network.about()))
        assert not network.is_busy
        await network.clear()

    run(work)
    assert len(held(host)) == 1


def test_what_cannot_be_mended_is_said(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    host.is_inbound_stale = True
    host.fail.add("hold_inbound")

    async def work(loop: Loop) -> None:
        network = network_of(loop, accept_default_gateway=True)
        network.want(lease_of())
        await network.settle()
        network.heed(host.do_survey("vpn0", [], *network.about()))
        await network.settle()
        assert network.applied is not None

    run(work)
    assert "warning: hold refused" in capsys.readouterr().err


def test_a_later_change_of_the_host_is_judged(
    host: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """IPv6 comes up beside the tunnel, and goes again."""

    async def work(loop: Loop) -> None:
        network = network_of(loop, accept_default_gateway=True)
        network.want(lease_of())
        await network.settle()
        assert not network.falls_short
        for ifname in ("eth0", "eth0", ""):
            host.in_force["default6"] = ifname
            network.heed(host.do_survey("vpn0", [], *network.about()))
            assert network.falls_short == bool(ifname)

    run(work)
    assert capsys.readouterr().err.count("IPv6 traffic leaves by eth0") == 1
