"""What comes in from outside the tunnel is answered by the way it came."""

from __future__ import annotations

from typing import Any

import pytest

from sevpn.host import cleanup, fault, inbound, plan, worker
from support.host_world import World, count_effects, in_world, run_and_die
from support.private_netns import ip, ip_json

pytestmark = pytest.mark.no_sanitizer

STEP = ("keep_inbound", "vpn0", True)
OWN, OWN6 = "192.0.2.2", "2001:db8::2"
FAR, FAR6 = "203.0.113.77", "2001:db8:77::1"


def steps(world: World) -> list[tuple[Any, ...]]:
    """The plan of all kinds, with ours where the session plan has it."""
    made = world.steps()
    at = next(i for i, step in enumerate(made) if step[0] == "default_route")
    return [*made[:at], ("optional", STEP), *made[at:]]


def connect(world: World) -> dict[str, Any]:
    result = worker.apply(world.journal, steps(world))
    assert (result["error"], result["failed"]) == (None, {})
    # An IPv6 default route of the tunnel's, as a router advertisement makes one.
    ip("-6", "route", "add", "default", "dev", "vpn0", "metric", "1")
    return result


def way(to: str, source: str | None = None) -> tuple[str, str | None]:
    """Return (interface, gateway) of a packet to somewhere, from an address or from none yet."""
    family = ["-6"] if ":" in to else []
    sources = ["from", source] if source else []
    (route,) = ip_json(*family, "route", "get", to, *sources)
    return route["dev"], route.get("gateway")


def is_stale() -> bool:
    found: bool = worker.survey("vpn0", [], STEP)["is_inbound_stale"]
    return found


def hold(world: World, result: dict[str, Any]) -> dict[str, Any]:
    """As a session does: what stands takes the place of what stood."""
    old = [record for record in result["undo"] if record["step"] == list(STEP)]
    found = worker.hold_inbound(world.journal, STEP, old)
    assert found["error"] is None
    others = [record for record in result["undo"] if record not in old]
    return {**result, "undo": others + found["undo"]}


def finish(world: World, result: dict[str, Any]) -> None:
    ip("-6", "route", "del", "default", "dev", "vpn0")
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()


@in_world
def test_answers_leave_by_the_old_way(world: World) -> None:
    result = connect(world)
    assert not is_stale()
    assert way(FAR, OWN) == ("lan", "192.0.2.1")
    assert way(FAR6, OWN6) == ("lan", "2001:db8::1")
    assert way(FAR)[0] == way(FAR6)[0] == "vpn0", "a new connection goes into the tunnel"
    assert way("192.0.2.9", OWN) == ("lan", None), "the neighbours are neighbours"
    assert way("172.20.0.9", OWN)[0] == "vpn0", "what has a route of its own takes it"
    finish(world, result)


@in_world
def test_halves_are_passed_over_as_well(world: World) -> None:
    ip("route", "add", "default", "via", "192.0.2.9", "dev", "lan")  # metric 0
    world.before = world.look()
    result = connect(world)
    assert way(FAR)[0] == "vpn0"
    assert way(FAR, OWN) == ("lan", "192.0.2.9"), "the strongest of the old ones"
    finish(world, result)


@in_world
def test_follows_the_host(world: World) -> None:
    """A new address and a new gateway: what was kept for the old ones goes."""
    result = connect(world)
    ip("addr", "add", "192.0.2.3/24", "dev", "lan")
    ip("route", "replace", "default", "via", "192.0.2.8", "metric", "100")
    assert is_stale()
    result = hold(world, result)
    assert not is_stale()
    assert way(FAR, "192.0.2.3") == way(FAR, OWN) == ("lan", "192.0.2.8")
    ip("addr", "del", "192.0.2.3/24", "dev", "lan")
    assert is_stale()
    before = [record["id"] for record in result["undo"]]
    result = hold(world, result)
    assert not is_stale()
    assert {record["id"] for record in result["undo"]} < set(before), "the others were left alone"
    assert [rule for rule in ip_json("rule") if rule.get("src") == "192.0.2.3"] == []
    ip("route", "replace", "default", "via", "192.0.2.1", "metric", "100")
    finish(world, result)


@in_world
def test_what_somebody_flushes_is_made_again(world: World) -> None:
    """systemd-networkd removes rules that it does not know when it starts."""
    result = connect(world)
    for priority in (inbound.PRIORITY_MAIN, inbound.PRIORITY_DEFAULTS):
        ip("rule", "del", "priority", str(priority))
    ip("route", "flush", "table", str(inbound.table_of("vpn0")))
    assert is_stale()
    result = hold(world, result)
    assert not is_stale()
    assert way(FAR, OWN) == ("lan", "192.0.2.1")
    finish(world, result)


@in_world
def test_no_other_default_route_is_nothing_to_keep(world: World) -> None:
    ip("route", "del", "default", "metric", "100")
    ip("-6", "route", "del", "default")
    result = worker.apply(world.journal, [STEP])
    assert (result["undo"], result["error"]) == ([], None)
    assert not is_stale()
    ip("route", "add", "default", "via", "192.0.2.1", "metric", "100")
    assert is_stale(), "until a network comes up"
    result = hold(world, result)
    assert len(result["undo"]) == 3
    assert worker.undo(world.journal, result["undo"]) == []
    ip("-6", "route", "add", "default", "via", "2001:db8::1")
    world.assert_as_before()


@in_world
def test_ipv6_is_left_alone_without_advertisements(world: World) -> None:
    step = ("keep_inbound", "vpn0", False)
    result = worker.apply(world.journal, [step])
    assert {record.get("address", OWN) for record in result["undo"]} == {OWN}
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()


@in_world
def test_of_two_tunnels_each_takes_back_its_own(world: World) -> None:
    ip("tuntap", "add", "vpn1", "mode", "tap")
    other = ("keep_inbound", "vpn1", True)
    one = worker.apply(world.journal, [STEP])["undo"]
    two = worker.apply(world.journal, [other])["undo"]
    assert worker.undo(world.journal, one) == []
    assert not worker.survey("vpn1", [], other)["is_inbound_stale"]
    assert worker.undo(world.journal, two) == []
    ip("link", "del", "vpn1")
    world.assert_as_before()


@in_world
def test_killed_at_any_moment(world: World) -> None:
    """Also in the middle of following: the journal knows all that stands."""

    def work() -> None:
        result = worker.apply(world.journal, [STEP])
        ip("route", "replace", "default", "via", "192.0.2.8", "metric", "100")
        hold(world, result)

    def clean() -> None:
        cleanup.clean(world.state_dir)
        ip("route", "replace", "default", "via", "192.0.2.1", "metric", "100")

    count = count_effects(work)
    clean()
    world.assert_as_before("all")
    assert count > 12
    for number in range(count):
        run_and_die(number, work)
        clean()
        world.assert_as_before(f"killed at {number}")
    assert fault.hook is None


def test_the_plan_undoes_it_with_the_default_route() -> None:
    record = {"kind": "rule", "step": list(STEP)}
    default = ("default_route", "10.1.0.1", "vpn0", 50)
    to_undo, _ = plan.change_plan([record], [("optional", STEP), default], [])
    assert to_undo == [record]
