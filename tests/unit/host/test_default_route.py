"""Where packets to the rest of the world really go, whatever default routes there are."""

from __future__ import annotations

from typing import Any

import pytest

from sevpn.host import plan, worker
from support.host_world import SERVER, World, in_world
from support.private_netns import ip, ip_json

pytestmark = pytest.mark.no_sanitizer

STEP = ("default_route", "10.1.0.1", "vpn0", 50)
HALVES = {"0.0.0.0/1", "128.0.0.0/1"}
ANYWHERE = ("1.2.3.4", "126.9.9.9", "128.0.0.1", "203.0.113.77")


def device_to(address: str) -> str:
    (route,) = ip_json("route", "get", address)
    return str(route["dev"])


def halves() -> set[str]:
    return {r["dst"] for r in ip_json("route") if r["dev"] == "vpn0"} & HALVES


def connect(world: World) -> dict[str, Any]:
    result = worker.apply(world.journal, world.steps())
    assert result["error"] is None
    assert [device_to(address) for address in ANYWHERE] == ["vpn0"] * 4
    assert device_to(SERVER) == "lan"
    return result


@in_world
def test_a_weaker_default_needs_nothing_more(world: World) -> None:
    result = connect(world)
    assert halves() == set()
    assert result["notes"] == result["warnings"] == []
    assert worker.survey("vpn0", [])["is_default_void"] is False
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()


@pytest.mark.parametrize("metric", ["0", "50"])
def test_a_stronger_default_is_beaten(metric: str) -> None:
    @in_world
    def inside(world: World) -> None:
        ip("route", "add", "default", "via", "192.0.2.9", "dev", "lan", "metric", metric)
        world.before = world.look()
        result = connect(world)
        assert halves() == HALVES
        assert result["warnings"] == []
        (note,) = result["notes"]
        assert f"via 192.0.2.9 on lan has metric {metric} " in note
        assert worker.survey("vpn0", [])["is_default_void"] is False
        made = [r for r in result["undo"] if r["step"] == list(STEP)]
        assert len(made) == (3 if metric == "0" else 2)
        to_undo, _ = plan.change_plan(result["undo"], [STEP], [])
        assert to_undo == made, "a lease without gateway takes all of them back"
        assert worker.undo(world.journal, result["undo"]) == []
        world.assert_as_before()

    inside()


@in_world
def test_a_stronger_default_that_comes_later(world: World) -> None:
    result = connect(world)
    ip("route", "add", "default", "via", "192.0.2.9", "dev", "lan")
    assert device_to("1.2.3.4") == "lan"
    assert worker.survey("vpn0", [])["is_default_void"] is True
    more = worker.apply(world.journal, [STEP])
    assert len(more["undo"]) == 2
    assert len(more["notes"]) == 1
    assert [device_to(address) for address in ANYWHERE] == ["vpn0"] * 4
    assert worker.survey("vpn0", [])["is_default_void"] is False
    again = worker.apply(world.journal, [STEP])
    assert (again["undo"], again["notes"], again["error"]) == ([], [], None)
    assert worker.undo(world.journal, result["undo"] + more["undo"]) == []
    ip("route", "del", "default", "via", "192.0.2.9", "dev", "lan")
    world.assert_as_before()


@in_world
def test_halves_of_another_vpn(world: World) -> None:
    ip("route", "add", "default", "via", "192.0.2.9", "dev", "lan")
    ip("route", "add", "128.0.0.0/1", "via", "192.0.2.9", "dev", "lan", "metric", "50")
    world.before = world.look()
    result = worker.apply(world.journal, world.steps())
    assert result["undo"] == []
    assert "128.0.0.0/1 with metric 50 already, via 192.0.2.9" in result["error"]["message"]
    world.assert_as_before()
