"""The server's host route, moved from network to network without a moment without it."""

from __future__ import annotations

import errno
import functools
import os
import subprocess
from typing import Any

import pytest

from sevpn.host import fault, journal, lock, worker
from support.host_world import (
    SERVER,
    SERVER6,
    Countdown,
    World,
    count_effects,
    in_world,
    run_and_die,
    wait_for_carrier,
)
from support.private_netns import ip, ip_json

pytestmark = pytest.mark.no_sanitizer


def pins(address: str = SERVER) -> list[tuple[Any, ...]]:
    family = "-6" if ":" in address else "-4"
    found = [r for r in ip_json(family, "route", "show", "proto", "83") if r["dst"] == address]
    return [(r.get("gateway"), r["dev"]) for r in found]


def connect(world: World, address: str = SERVER) -> dict[str, Any]:
    """Apply the whole plan; return the pin's record."""
    records = worker.apply(world.journal, world.steps())["undo"]
    return next(r for r in records if r.get("network") == address)


def move() -> None:
    """Come into another network on the same interface."""
    ip("addr", "add", "203.0.113.5/24", "dev", "lan")
    ip("route", "add", "default", "via", "203.0.113.1", "metric", "20")
    ip("route", "del", "default", "metric", "100")
    ip("-6", "addr", "add", "2001:db8:7::5/64", "dev", "lan")
    ip("-6", "route", "replace", "default", "via", "2001:db8:7::1")


@pytest.mark.parametrize(
    ("address", "old", "new"),
    [
        (SERVER, "192.0.2.1", "203.0.113.1"),
        (SERVER6, "2001:db8::1", "2001:db8:7::1"),
    ],
)
def test_a_pin_moves_to_the_new_gateway(address: str, old: str, new: str) -> None:
    @in_world
    def inside(world: World) -> None:
        record = connect(world, address)
        assert pins(address) == [(old, "lan")]
        move()
        with subprocess.Popen(
            ["ip", "-6" if ":" in address else "-4", "monitor", "route"],
            stdout=subprocess.PIPE,
            text=True,
        ) as monitor:
            assert monitor.stdout is not None
            ip("route", "add", "10.200.0.1", "dev", "lan")  # until it listens ...
            result = worker.repin(world.journal, record, address, "vpn0")
            worker.repin(world.journal, None, address, "vpn0")
            monitor.terminate()
            events = monitor.stdout.read()
        ip("route", "del", "10.200.0.1", "dev", "lan")
        assert f"Deleted {address}" not in events
        assert result["error"] is None
        (moved,) = result["undo"]
        assert (moved["gateway"], moved["is_pin"]) == (new, True)
        assert pins(address) == [(new, "lan")]
        standing = [r for r in journal.read(world.journal) if r.get("network") == address]
        assert moved in standing
        assert record not in standing
        again = worker.repin(world.journal, moved, address, "vpn0")
        assert (again["undo"], again["error"]) == ([], None)
        assert worker.undo_everything(world.journal, [record, moved]) == []
        assert pins(address) == []
        assert not journal.read(world.journal)

    inside()


@in_world
def test_the_pins_interface_vanished(world: World) -> None:
    ip("link", "add", "wlan", "type", "veth", "peer", "name", "wpeer")
    ip("link", "set", "wlan", "up")
    ip("link", "set", "wpeer", "up")
    ip("addr", "add", "203.0.113.5/24", "dev", "wlan")
    ip("route", "add", "default", "via", "203.0.113.1", "metric", "20")
    record = connect(world)
    assert pins() == [("203.0.113.1", "wlan")]
    ip("link", "del", "wlan")
    assert pins() == []
    (moved,) = worker.repin(world.journal, record, SERVER, "vpn0")["undo"]
    assert pins() == [("192.0.2.1", "lan")]
    assert worker.undo_everything(world.journal, [moved]) == []
    world.assert_as_before()


@in_world
def test_a_pulled_cable_is_the_last_choice(world: World) -> None:
    ip("link", "add", "wlan", "type", "veth", "peer", "name", "wpeer")
    ip("link", "set", "wlan", "up")
    ip("link", "set", "wpeer", "up")
    ip("addr", "add", "203.0.113.5/24", "dev", "wlan")
    ip("route", "add", "default", "via", "203.0.113.1", "metric", "500")
    wait_for_carrier("wlan", True)
    record = connect(world)
    ip("link", "set", "peer", "down")
    wait_for_carrier("lan", False)
    (moved,) = worker.repin(world.journal, record, SERVER, "vpn0")["undo"]
    assert pins() == [("203.0.113.1", "wlan")]
    ip("link", "set", "peer", "up")
    wait_for_carrier("lan", True)
    (back,) = worker.repin(world.journal, moved, SERVER, "vpn0")["undo"]
    assert pins() == [("192.0.2.1", "lan")]
    assert worker.undo_everything(world.journal, [back]) == []


@in_world
def test_without_any_way_the_old_pin_stays(world: World) -> None:
    record = connect(world)
    ip("route", "del", "default", "metric", "100")
    result = worker.repin(world.journal, record, SERVER, "vpn0")
    assert result["undo"] == []
    assert result["error"]["errno"] == errno.ENETUNREACH
    assert pins() == [("192.0.2.1", "lan")]
    assert record in journal.read(world.journal)
    assert worker.undo_everything(world.journal, []) == []
    assert pins() == []


@in_world
def test_somebody_elses_host_route_is_respected(world: World) -> None:
    record = connect(world)
    ip("route", "replace", SERVER, "via", "192.0.2.77", "dev", "lan")
    result = worker.repin(world.journal, record, SERVER, "vpn0")
    assert (result["undo"], result["error"]) == ([], None)
    (left,) = worker.undo_everything(world.journal, [record])
    assert "192.0.2.77" in left


@in_world
def test_two_runs_move_the_pin_they_share(world: World) -> None:
    other = lock.journal_path(world.state_dir, "vpn1")
    (one,) = worker.server_route(world.journal, SERVER)["undo"]
    (two,) = worker.server_route(other, SERVER)["undo"]
    move()
    (one,) = worker.repin(world.journal, one, SERVER, "vpn0")["undo"]
    (two,) = worker.repin(other, two, SERVER, "vpn1")["undo"]
    assert worker.undo(world.journal, [one]) == []
    assert pins() == [("203.0.113.1", "lan")]
    assert worker.undo(other, [two]) == []
    assert pins() == []


@in_world
def test_the_administrators_source_address_is_kept(world: World) -> None:
    ip("addr", "add", "192.0.2.7/24", "dev", "lan")
    ip("route", "add", "default", "via", "192.0.2.1", "metric", "20", "src", "192.0.2.7")
    (record,) = worker.server_route(world.journal, SERVER, "vpn0")["undo"]
    (route,) = ip_json("route", "show", SERVER)
    assert route["prefsrc"] == "192.0.2.7"
    paths = worker.survey("vpn0", [SERVER])["paths"]
    assert paths[SERVER]["source"] == "192.0.2.7"
    assert worker.undo(world.journal, [record]) == []
    assert pins() == []


@in_world
def test_killed_or_refused_at_each_effect_of_a_move(world: World) -> None:
    move()
    world.before = world.look()

    def prepare() -> dict[str, Any]:
        """Leave a pin of the old network standing."""
        ip("route", "add", "default", "via", "192.0.2.1", "metric", "5")
        record: dict[str, Any] = worker.server_route(world.journal, SERVER)["undo"][0]
        ip("route", "del", "default", "metric", "5")
        return record

    repin = functools.partial(worker.repin, world.journal)
    record = prepare()
    total = count_effects(lambda: repin(record, SERVER, "vpn0"))
    worker.cleanup(world.state_dir)
    world.assert_as_before("counting")
    assert total >= 3
    for number in range(total):
        record = prepare()
        run_and_die(number, lambda record=record: repin(record, SERVER, "vpn0"))  # type: ignore[misc]
        assert len(pins()) == 1, number
        assert worker.cleanup_report(world.state_dir)["left"] == [], number
        world.assert_as_before(f"killed at {number}")
        record = prepare()
        fault.hook = Countdown(number, _refuse)
        try:
            result = repin(record, SERVER, "vpn0")
        finally:
            fault.hook = None
        assert len(pins()) == 1, number
        assert worker.undo_everything(world.journal, [record, *result["undo"]]) == []
        world.assert_as_before(f"refused at {number}")


def _refuse(_name: str) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))
