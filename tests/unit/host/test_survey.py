"""The ways to the servers as they would be without us, and the routes of others."""

from __future__ import annotations

import pytest

from sevpn.host import worker
from support.host_world import SERVER, SERVER6, World, in_world
from support.private_netns import ip

pytestmark = pytest.mark.no_sanitizer

LAN = {
    "source": "192.0.2.2",
    "gateway": "192.0.2.1",
    "ifname": "lan",
    "addresses": ["192.0.2.2"],
}


@in_world
def test_the_way_is_the_same_before_and_after_us(world: World) -> None:
    before = worker.survey("vpn0", [SERVER, SERVER6])["paths"]
    assert before[SERVER] == LAN
    way6 = before[SERVER6]
    assert (way6["source"], way6["gateway"]) == ("2001:db8::2", "2001:db8::1")
    assert "2001:db8::2" in way6["addresses"]
    records = worker.apply(world.journal, world.steps())["undo"]
    assert worker.survey("vpn0", [SERVER, SERVER6])["paths"] == before
    pin = [r for r in records if r.get("network") == SERVER]
    worker.undo(world.journal, pin)
    assert worker.survey("vpn0", [SERVER])["paths"][SERVER] == LAN, "not through the tunnel"


@in_world
def test_a_new_network_shows_at_once(world: World) -> None:
    worker.apply(world.journal, world.steps())
    ip("addr", "add", "203.0.113.5/24", "dev", "lan")
    ip("route", "add", "default", "via", "203.0.113.1", "metric", "20")
    path = worker.survey("vpn0", [SERVER])["paths"][SERVER]
    assert (path["source"], path["gateway"]) == ("203.0.113.5", "203.0.113.1")
    assert path["addresses"] == ["192.0.2.2", "203.0.113.5"]
    ip("route", "del", "default", "metric", "20")
    ip("route", "del", "default", "metric", "100")
    assert worker.survey("vpn0", [SERVER])["paths"] == {SERVER: None}


@in_world
def test_neighbours_this_host_and_several_next_hops(world: World) -> None:
    near = worker.survey("vpn0", ["192.0.2.50"])["paths"]["192.0.2.50"]
    assert (near["source"], near["gateway"], near["ifname"]) == ("192.0.2.2", None, "lan")
    own = worker.survey("vpn0", ["192.0.2.2"])["paths"]["192.0.2.2"]
    assert own["source"] == "192.0.2.2"
    hops = ["nexthop", "via", "192.0.2.8", "nexthop", "via", "192.0.2.9"]
    ip("route", "replace", "default", "metric", "100", *hops)
    worker.apply(world.journal, world.steps())
    assert worker.survey("vpn0", [SERVER])["paths"][SERVER]["gateway"] == "192.0.2.8"


@in_world
def test_routes_of_others(world: World) -> None:
    worker.apply(world.journal, world.steps())
    assert worker.survey("vpn0", [])["routes"] == []
    ip("route", "add", "0.0.0.0/1", "via", "192.0.2.66", "dev", "lan")
    ip("route", "add", "128.0.0.0/1", "dev", "lan")
    ip("route", "add", "198.51.100.7", "dev", "lan")
    ip("route", "add", "172.31.1.1", "dev", "lan")
    ip("route", "add", "10.9.0.0/16", "via", "172.31.1.1", "dev", "lan")
    ip("route", "add", "blackhole", "10.10.0.0/16")
    ip("route", "add", "10.11.0.0/16", "dev", "vpn0")
    assert sorted(worker.survey("vpn0", [])["routes"]) == [
        ("0.0.0.0", 1, "lan"),
        ("10.9.0.0", 16, "lan"),
        ("128.0.0.0", 1, "lan"),
        ("198.51.100.7", 32, "lan"),
    ]
