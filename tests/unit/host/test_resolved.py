"""systemd-resolved told and taken back, over a bus of our own making (the real: tests/manual)."""

from __future__ import annotations

import functools
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sevpn.host import bus, fault, resolved, worker
from sevpn.host.dbus import DBusError
from support.fake_resolved import FakeResolved
from support.host_world import Countdown, World, count_effects, in_world, run_and_die
from support.private_netns import ip

if TYPE_CHECKING:
    from collections.abc import Callable

# The service is a thread, and what dies on purpose is forked beside it.
pytestmark = [
    pytest.mark.no_sanitizer,
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

OURS = {"dns": ["10.1.0.1"], "domains": [("lan.example", False), (".", True)], "is_default": True}


def with_resolved(test: Callable[[World, FakeResolved, int], None]) -> Callable[[], None]:
    """Run a test in a world whose resolv.conf leads to a resolved that knows vpn0."""

    @in_world
    def inside(world: World) -> None:
        world.resolv.write_bytes(b"# stub\nnameserver 127.0.0.53\noptions edns0\n")
        world.before = world.look()
        number = socket.if_nametoindex("vpn0")
        with FakeResolved("/mnt/bus", [number]) as service:
            test(world, service, number)

    inside.__name__ = test.__name__
    return inside


@with_resolved
def test_set_and_taken_back(world: World, service: FakeResolved, number: int) -> None:
    result = worker.apply(world.journal, [world.dns_step("auto")])
    assert (result["error"], result["warnings"]) == (None, [])
    assert result["notes"] == ["DNS set in systemd-resolved for the link vpn0"]
    assert service.links[number] == OURS
    assert worker.undo(world.journal, result["undo"]) == []
    assert service.calls[-1] == "RevertLink"
    world.assert_as_before()
    assert worker.undo(world.journal, result["undo"]) == []


@with_resolved
def test_without_the_default_route(world: World, service: FakeResolved, number: int) -> None:
    step = world.dns_step("resolved", has_default=False)
    result = worker.apply(world.journal, [step])
    assert result["notes"] == []
    assert service.links[number]["domains"] == [("lan.example", False)]
    assert not service.links[number]["is_default"]
    worker.undo(world.journal, result["undo"])
    worker.apply(world.journal, [(*step[:2], [], *step[3:])])
    assert service.links[number] == {"dns": ["10.1.0.1"], "domains": [], "is_default": True}


@with_resolved
def test_settings_from_before_come_back(world: World, service: FakeResolved, number: int) -> None:
    old = {"dns": ["2001:db8::53"], "domains": [("old.example", True)], "is_default": True}
    service.links[number] = dict(old)
    result = worker.apply(world.journal, [world.dns_step("auto")])
    assert service.links[number] == OURS
    assert worker.undo(world.journal, result["undo"]) == []
    assert service.links[number] == old


@with_resolved
def test_somebody_elses_settings_stay(world: World, service: FakeResolved, number: int) -> None:
    result = worker.apply(world.journal, [world.dns_step("auto")])
    service.links[number]["dns"] = ["192.0.2.53"]
    (left,) = worker.undo(world.journal, result["undo"])
    assert left == "DNS of vpn0 in systemd-resolved left as it is: somebody else changed it"
    assert service.links[number]["dns"] == ["192.0.2.53"]


@with_resolved
def test_killed_or_refused_at_each_effect(world: World, service: FakeResolved, number: int) -> None:
    apply = functools.partial(worker.apply, world.journal, [world.dns_step("resolved")])
    total = count_effects(apply)
    worker.cleanup(world.state_dir)
    for at in range(total):
        run_and_die(at, apply)
        assert worker.cleanup_report(world.state_dir)["left"] == [], at
        assert service.links[number]["domains"] == [], at
        world.assert_as_before(f"killed at {at}")
        fault.hook = Countdown(at, _refuse)
        try:
            result = apply()
        finally:
            fault.hook = None
        if result["error"]:
            assert service.links[number] == FakeResolved.fresh(), at
        assert worker.undo_everything(world.journal, result["undo"]) == []
        world.assert_as_before(f"refused at {at}")


def _refuse(_name: str) -> None:
    raise DBusError("no")


@with_resolved
def test_in_auto_a_refusal_leads_to_the_file(
    world: World, service: FakeResolved, number: int
) -> None:
    service.refuse["SetLinkDomains"] = "org.freedesktop.resolve1.LinkBusy"
    result = worker.apply(world.journal, [world.dns_step("auto")])
    assert result["error"] is None
    (warning,) = result["warnings"]
    assert "refused by SetLinkDomains" in warning
    assert result["notes"] == [f"DNS written to {world.resolv}"]
    assert service.links[number] == FakeResolved.fresh()
    assert b"nameserver 10.1.0.1" in world.resolv.read_bytes()
    worker.undo(world.journal, result["undo"])
    world.assert_as_before()
    wanted = worker.apply(world.journal, [world.dns_step("resolved")])
    assert "LinkBusy" in wanted["error"]["message"] or "refused" in wanted["error"]["message"]
    world.assert_as_before()


@with_resolved
def test_it_does_not_run(world: World, service: FakeResolved, number: int) -> None:
    result = worker.apply(world.journal, [world.dns_step("auto")])
    service.is_running = False
    assert worker.undo(world.journal, result["undo"]) == []
    missing = worker.apply(world.journal, [world.dns_step("resolved")])
    assert "does not run" in missing["error"]["message"]


@with_resolved
def test_an_old_one_has_no_default_route_switch(
    world: World, service: FakeResolved, number: int
) -> None:
    service.refuse["SetLinkDefaultRoute"] = "org.freedesktop.DBus.Error.UnknownMethod"
    result = worker.apply(world.journal, [world.dns_step("resolved")])
    assert result["error"] is None
    assert service.links[number]["dns"] == ["10.1.0.1"]


@with_resolved
def test_the_link_is_gone(world: World, service: FakeResolved, number: int) -> None:
    worker.apply(world.journal, [world.dns_step("resolved")])
    ip("link", "del", "vpn0")
    report = worker.cleanup_report(world.state_dir)
    assert report["left"] == []
    assert not Path(world.journal).exists()


@with_resolved
def test_a_bus_that_refuses_us(world: World, service: FakeResolved, number: int) -> None:
    records = worker.apply(world.journal, [world.dns_step("resolved")])["undo"]
    service.greeting = b"REJECTED EXTERNAL\r\n"
    (message,) = worker.undo(world.journal, records)
    assert message.endswith("could not be undone: the system bus does not let us in")
    service.greeting = b"x" * 5000
    with pytest.raises(DBusError, match="another language"):
        bus.Bus()


@in_world
def test_no_bus_at_all(world: World) -> None:
    import os

    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/mnt/none"
    result = worker.apply(world.journal, [world.dns_step("resolved")])
    assert "cannot be reached" in result["error"]["message"]
    world.assert_as_before()


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("unix:path=/run/a%20b,guid=1", "/run/a b"),
        ("tcp:host=x;unix:abstract=/x", "\0/x"),
    ],
)
def test_bus_addresses(address: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    assert bus.socket_path() == path


@pytest.mark.parametrize("address", ["", "tcp:host=x", "unix:path=%zz"])
def test_no_bus_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    with pytest.raises(DBusError):
        bus.socket_path()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"nameserver 127.0.0.53\n", True),
        (b"#nameserver 127.0.0.53\nnameserver 192.0.2.1\n", False),
        (b"nameserver\n\xff", False),
        (None, False),
    ],
)
def test_who_is_in_charge(tmp_path: Path, content: Any, expected: bool) -> None:
    path = tmp_path / "resolv.conf"
    if content is not None:
        path.write_bytes(content)
    assert resolved.is_in_charge(str(path)) is expected
    path.unlink(missing_ok=True)
    path.symlink_to("/run/systemd/resolve/stub-resolv.conf")
    assert resolved.is_in_charge(str(path))
