"""Plans applied to a real kernel, in a namespace of its own, seen from outside by `ip -j`.

Most tests end by comparing the whole namespace and resolv.conf with what they were.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from sevpn.errors import HostError
from sevpn.host import cleanup, journal, lock, resolv, worker
from support.host_world import MAC, OLD_RESOLV, SERVER, SERVER6, World, in_world, run_and_die
from support.private_netns import ip, ip_json, run_inside

pytestmark = pytest.mark.no_sanitizer


@in_world
def test_a_plan_is_applied_and_undone(world: World) -> None:
    result = worker.apply(world.journal, world.steps())
    assert result["error"] is None
    assert result["warnings"] == []
    routes = {(r["dst"], r.get("gateway"), r["dev"], r.get("metric")) for r in ip_json("route")}
    assert {
        ("default", "192.0.2.1", "lan", 100),
        ("default", "10.1.0.1", "vpn0", 50),
        (SERVER, "192.0.2.1", "lan", None),
        ("172.20.0.0/14", "10.1.0.1", "vpn0", None),
        ("10.99.0.0/16", None, "vpn0", None),
    } <= routes
    assert any(
        r["dst"] == SERVER6 and r["gateway"] == "2001:db8::1" for r in ip_json("-6", "route")
    )
    (policy,) = ip_json("route", "show", "table", "70000")
    assert (policy["dst"], policy["gateway"], policy["dev"]) == ("default", "10.1.0.1", "vpn0")
    (rule,) = [r for r in ip_json("rule") if r["src"] == "10.1.0.5"]
    assert rule["table"] == "70000"
    (link,) = ip_json("addr", "show", "vpn0")
    assert (link["address"], link["mtu"], "UP" in link["flags"]) == (MAC, 1400, True)
    (address,) = [one for one in link["addr_info"] if one["family"] == "inet"]
    assert address["local"] == "10.1.0.5"
    assert address["prefixlen"] == 16
    assert address["broadcast"] == "10.1.255.255"
    assert b"\nnameserver 10.1.0.1\nsearch lan.example\n" in world.resolv.read_bytes()
    assert world.resolv.stat().st_mode & 0o777 == 0o640
    assert len(journal.read(world.journal)) == len(result["undo"]) == len(world.steps())
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()
    assert worker.undo(world.journal, result["undo"]) == [], "undoing twice"
    world.assert_as_before()


@in_world
def test_what_was_there_before_us_is_left(world: World) -> None:
    ip("link", "set", "vpn0", "up", "mtu", "1400", "address", MAC)
    ip("addr", "add", "10.1.0.5/16", "brd", "10.1.255.255", "dev", "vpn0")
    ip("route", "add", "172.20.0.0/14", "via", "10.1.0.1", "dev", "vpn0")
    ip("route", "add", "default", "via", "10.1.0.1", "dev", "vpn0", "metric", "50")
    ip("route", "add", "default", "via", "10.1.0.1", "dev", "vpn0", "table", "70000")
    ip("route", "add", SERVER, "via", "192.0.2.1", "dev", "lan", "metric", "7")
    ip("rule", "add", "from", "10.1.0.5", "table", "70000")
    world.before = world.look()
    result = worker.apply(world.journal, world.steps())
    assert result["error"] is None
    kinds = [(r["kind"], r.get("network", r.get("path", ""))) for r in result["undo"]]
    assert ("address", "") not in kinds
    assert ("rule", "") not in kinds
    assert ("route", SERVER) not in kinds
    assert ("route", "0.0.0.0") not in kinds
    assert ("route", "172.20.0.0") not in kinds
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()


@in_world
def test_a_foreign_route_in_our_place_ends_the_plan(world: World) -> None:
    ip("route", "add", "default", "via", "192.0.2.9", "dev", "lan", "table", "70000")
    world.before = world.look()
    result = worker.apply(world.journal, world.steps())
    assert result["undo"] == []
    assert result["error"]["errno"] == errno.EEXIST
    assert "via 192.0.2.9 on lan" in result["error"]["message"]
    assert result["error"]["step"][0] == "route"
    world.assert_as_before()


@in_world
def test_a_half_refused_link_is_put_back_whole(world: World) -> None:
    """The kernel takes the MAC and then finds the MTU too small."""
    result = worker.apply(world.journal, [("link", "vpn0", MAC, 20, True)])
    assert result["error"]["errno"] == errno.EINVAL
    world.assert_as_before()


@in_world
def test_what_a_killed_child_made_is_undone_with_the_rest(world: World) -> None:
    steps = world.steps()
    known = worker.apply(world.journal, steps[:2])["undo"]
    run_and_die(9, lambda: worker.apply(world.journal, steps[2:]))
    assert len(journal.read(world.journal)) > len(known)
    assert worker.undo_everything(world.journal, known) == []
    world.assert_as_before()


@in_world
def test_one_senseless_record_keeps_no_other_from_being_undone(world: World) -> None:
    records = worker.apply(world.journal, world.steps())["undo"]
    (left,) = worker.undo(world.journal, [*records[:3], {"kind": "nonsense"}, *records[3:]])
    assert "nonsense could not be undone" in left
    world.assert_as_before()


@in_world
def test_an_optional_foreign_route_is_a_warning(world: World) -> None:
    ip("route", "add", "172.20.0.0/14", "via", "192.0.2.9", "dev", "lan")
    world.before = world.look()
    result = worker.apply(world.journal, world.steps())
    assert result["error"] is None
    assert any("172.20.0.0/14" in line for line in result["warnings"])
    worker.undo(world.journal, result["undo"])
    world.assert_as_before()


@in_world
def test_a_gateway_outside_the_subnet_works(world: World) -> None:
    steps = [
        ("link", "vpn0", None, None, True),
        ("address", "vpn0", "10.1.0.5", 32, None),
        ("route", "0.0.0.0", 0, "172.31.1.1", "vpn0", 50, 254),
    ]
    result = worker.apply(world.journal, steps)
    assert result["error"] is None
    assert any(r.get("gateway") == "172.31.1.1" for r in ip_json("route"))
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()


@in_world
def test_the_tap_died_with_the_run(world: World) -> None:
    worker.apply(world.journal, world.steps())
    ip("link", "del", "vpn0")
    report = worker.cleanup_report(world.state_dir)
    assert report["left"] == []
    assert not Path(world.journal).exists()
    assert world.resolv.read_bytes() == OLD_RESOLV
    assert [r for r in ip_json("route") if r["dst"] == SERVER] == []
    assert [r for r in ip_json("rule") if r["src"] == "10.1.0.5"] == []


@in_world
def test_what_somebody_else_changed_stays(world: World) -> None:
    records = worker.apply(world.journal, world.steps())["undo"]
    ip("route", "replace", SERVER, "via", "192.0.2.77", "dev", "lan")
    ip("link", "set", "vpn0", "mtu", "1280")
    ip("addr", "del", "10.1.0.5/16", "dev", "vpn0")
    ip("addr", "add", "10.1.0.5/24", "dev", "vpn0")
    world.resolv.write_bytes(b"nameserver 9.9.9.9\n")
    left = worker.undo(world.journal, records)
    assert len(left) == 4, left
    assert any("192.0.2.77" in line for line in left)
    assert any("mtu" in line for line in left)
    assert any("/24" in line for line in left)
    assert world.resolv.read_bytes() == b"nameserver 9.9.9.9\n"
    assert not Path(world.journal).exists(), "what was left on purpose is not tried again"
    assert not Path(f"{world.resolv}.before-sevpn").exists()


@in_world
def test_a_run_in_another_namespace_is_left_alone(world: World) -> None:
    records = worker.apply(world.journal, [("rule", "10.1.0.5", 9)])["undo"]
    text = Path(world.journal).read_text(encoding="utf-8")
    number = lock.namespace_id()
    other = os.stat(f"/proc/{os.getppid()}/ns/net").st_ino
    Path(world.journal).write_text(text.replace(str(number), str(other)), encoding="utf-8")
    report = worker.cleanup_report(world.state_dir)
    assert report["undone"] == []
    assert "another network namespace" in report["left"][0]
    gone = text.replace(str(number), "17")
    Path(world.journal).write_text(gone, encoding="utf-8")
    cleanup._namespace_exists = lambda number: False
    assert worker.cleanup(world.state_dir) == []
    assert not Path(world.journal).exists()
    assert any(r["src"] == "10.1.0.5" for r in ip_json("rule"))
    assert worker.undo("", records) == []


@in_world
def test_a_living_run_is_left_alone(world: World) -> None:
    worker.apply(world.journal, world.steps())
    held = lock.Lock(lock.tap_lock_path(world.journal))
    assert held.acquire("vpn0") is None
    report = worker.cleanup_report(world.state_dir)
    assert report["undone"] == report["left"] == []
    assert str(os.getpid()) in report["running"][0]
    held.release()
    assert worker.cleanup_report(world.state_dir)["left"] == []
    world.assert_as_before()


@in_world
def test_two_runs_share_the_pin_of_one_server(world: World) -> None:
    other = lock.journal_path(world.state_dir, "vpn1")
    one = worker.server_route(world.journal, SERVER)["undo"]
    two = worker.server_route(other, SERVER)["undo"]
    assert len(one) == len(two) == 1
    assert worker.undo(world.journal, one) == []
    assert [r["gateway"] for r in ip_json("route") if r["dst"] == SERVER] == ["192.0.2.1"]
    assert worker.undo(other, two) == []
    world.assert_as_before()


@in_world
def test_a_new_pin_is_not_found_through_the_tunnel(world: World) -> None:
    records = worker.apply(world.journal, world.steps())["undo"]
    ip("route", "del", "default", "metric", "100")
    ip("addr", "add", "203.0.113.5/24", "dev", "lan")
    ip("route", "add", "default", "via", "203.0.113.1", "metric", "200")
    moved = worker.server_route(world.journal, SERVER, "vpn0")
    assert moved["error"] is None
    assert [r["gateway"] for r in ip_json("route") if r["dst"] == SERVER] == ["203.0.113.1"]
    assert worker.undo(world.journal, records + moved["undo"]) == []
    assert [r for r in ip_json("route") if r["dst"] == SERVER] == []


@in_world
def test_servers_that_need_no_pin(world: World) -> None:
    for address in ("127.0.0.1", "192.0.2.2", "::1", "2001:db8::2"):
        assert worker.server_route(world.journal, address) == {
            "undo": [],
            "warnings": [],
            "notes": [],
            "failed": {},
            "error": None,
        }, address
    near = worker.server_route(world.journal, "192.0.2.50")
    assert near["undo"][0]["gateway"] is None
    assert worker.undo(world.journal, near["undo"]) == []
    ip("route", "del", "default")
    ip("-6", "route", "del", "default")
    for address in (SERVER, SERVER6):
        result = worker.server_route(world.journal, address)
        assert result["error"]["errno"] == errno.ENETUNREACH
        assert "no route" in result["error"]["message"]


@in_world
def test_own_networks(world: World) -> None:
    worker.apply(world.journal, world.steps())
    ip("route", "add", "172.31.1.1/32", "dev", "lan")
    assert sorted(worker.own_networks("vpn0")) == [("172.31.1.1", 32), ("192.0.2.0", 24)]


def test_without_rights_the_error_says_what_to_do() -> None:
    def inside() -> None:
        os.setresuid(65534, 65534, 65534)
        result = worker.apply("", [("link", "lo", None, None, True)])
        assert result["error"]["errno"] == errno.EPERM
        assert "CAP_NET_ADMIN" in result["error"]["hint"]

    run_inside(inside)


def test_an_interface_that_is_not_there() -> None:
    result = worker.apply("", [("address", "sv-none", "10.0.0.1", 24, None)])
    assert "sv-none" in result["error"]["message"]
    assert result["undo"] == []


def test_dropped_values_are_said() -> None:
    with pytest.raises(HostError):
        resolv.check(["not an address"], [])


@in_world
def test_cleaning_beside_a_living_run_is_quick_and_touches_nothing(world: World) -> None:
    """The living one has vpn0 and resolv.conf; a dead one left vpn1's journal and the same pin."""
    worker.apply(world.journal, world.steps())
    held = [
        lock.Lock(lock.tap_lock_path(world.journal)),
        lock.Lock(lock.resolv_lock_path(world.state_dir, str(world.resolv))),
    ]
    for one in held:
        one.acquire("x")
    before = world.look()
    dead = lock.journal_path(world.state_dir, "vpn1")
    worker.apply(dead, [("server_route", SERVER, "vpn1"), ("rule", "10.9.0.9", 9)])
    started = time.monotonic()
    report = cleanup.clean(world.state_dir, str(world.resolv))
    assert time.monotonic() - started < 20
    assert report["left"] == []
    assert len(report["undone"]) == 2
    assert len(report["running"]) == 1
    assert not Path(dead).exists()
    assert world.look() == before
    assert all(Path(one.path).exists() for one in held)
    assert cleanup.clean(world.state_dir, str(world.resolv))["undone"] == []
