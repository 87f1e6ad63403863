"""What the kernel does, asked in a namespace of its own."""

from __future__ import annotations

import pytest

from sevpn.host import worker
from support.host_world import World, in_world
from support.private_netns import ip

pytestmark = pytest.mark.no_sanitizer
TUNNEL = ("vpn0", "10.1.0.5", 16, "10.1.0.1")


@in_world
def test_a_whole_plan(world: World) -> None:
    worker.apply(world.journal, world.steps())
    found = worker.in_force(*TUNNEL)
    assert found["has_default"]
    assert found["neighbour"] == "vpn0"
    assert found["overlap"] == ""
    assert found["default6"] == "lan"  # the world has IPv6 of its own
    ip("-6", "route", "add", "unreachable", "default", "metric", "1")
    assert worker.in_force(*TUNNEL)["default6"] == ""


@in_world
def test_without_a_plan(world: World) -> None:
    found = worker.in_force(*TUNNEL)
    assert not found["has_default"]
    assert found["neighbour"] != "vpn0"


@in_world
def test_a_default_route_that_another_beats(world: World) -> None:
    worker.apply(world.journal, world.steps())
    ip("route", "add", "default", "via", "192.0.2.1", "dev", "lan", "metric", "1")
    assert not worker.in_force(*TUNNEL)["has_default"]
    worker.apply(world.journal, [("default_route", "10.1.0.1", "vpn0", 50)])
    found = worker.in_force(*TUNNEL)
    assert found["has_default"]
    assert found["has_halves"]


@in_world
def test_the_same_network_on_another_link(world: World) -> None:
    ip("addr", "add", "10.1.0.9/16", "dev", "lan")
    worker.apply(world.journal, world.steps())
    found = worker.in_force(*TUNNEL)
    assert found["overlap"] == "lan"
    assert found["neighbour"] == "lan"
