"""A little world to change and to put back: a namespace with a LAN and a TAP.

A veth "lan" with 192.0.2.2/24 and default routes, a TAP "vpn0", a resolv.conf and a state
directory. What a test does to it is compared by `World.assert_as_before`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sevpn.host import fault, lock
from support.private_netns import ip, ip_json, run_forked, run_inside, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = "198.51.100.10"
SERVER6 = "2001:db8:9::1"
OLD_RESOLV = b"# the administrator's\nnameserver 192.0.2.1\n"
MAC = "5e:3b:6f:63:a8:3e"


class World:
    """The namespace under test, its resolv.conf and its state directory."""

    def __init__(self) -> None:
        # In memory, in our mount namespace: gone with it.
        subprocess.run(["mount", "-t", "tmpfs", "sevpn-test", "/mnt"], check=True)
        self.directory = Path("/mnt/etc")
        self.directory.mkdir()
        self.resolv = self.directory / "resolv.conf"
        self.resolv.write_bytes(OLD_RESOLV)
        self.resolv.chmod(0o640)
        os.chown(self.resolv, 12, 34)
        self.state_dir = "/mnt/run"
        self.journal = lock.journal_path(self.state_dir, "vpn0")
        with contextlib.suppress(OSError):  # not everywhere is IPv6
            Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0", encoding="ascii")
        ip("link", "add", "lan", "type", "veth", "peer", "name", "peer")
        for name in ("lo", "peer", "lan"):
            ip("link", "set", name, "up")
        ip("addr", "add", "192.0.2.2/24", "dev", "lan")
        ip("route", "add", "default", "via", "192.0.2.1", "metric", "100")
        ip("-6", "addr", "add", "2001:db8::2/64", "dev", "lan")
        ip("-6", "route", "add", "default", "via", "2001:db8::1")
        ip("tuntap", "add", "vpn0", "mode", "tap")
        # Once up, it has its queueing discipline for good.
        ip("link", "set", "vpn0", "up")
        ip("link", "set", "vpn0", "down")
        wait_for_carrier("lan", True)
        wait_for_ipv6()
        self.before = self.look()

    def look(self) -> dict[str, Any]:
        """Return everything that has to be as before in the end."""
        status = self.resolv.lstat()
        path = Path("/proc/sys/net/ipv6/conf/vpn0/accept_ra")
        return {
            **snapshot(),
            "accept_ra": path.read_text() if path.exists() else None,
            "resolv": (self.resolv.read_bytes(), oct(status.st_mode), status.st_uid, status.st_gid),
            "files": sorted(path.name for path in self.directory.iterdir() if path.is_file()),
        }

    def steps(self) -> list[tuple[Any, ...]]:
        """Return a plan with every kind of step."""
        return [
            ("server_route", SERVER, None),
            ("server_route", SERVER6, None),
            ("optional", ("sysctl", "net/ipv6/conf/vpn0/accept_ra", "0")),
            ("link", "vpn0", MAC, 1400, True),
            ("address", "vpn0", "10.1.0.5", 16, "10.1.255.255"),
            ("optional", ("route", "172.20.0.0", 14, "10.1.0.1", "vpn0", 0, 254)),
            ("optional", ("route", "10.99.0.0", 16, None, "vpn0", 0, 254)),
            ("default_route", "10.1.0.1", "vpn0", 50),
            ("route", "0.0.0.0", 0, "10.1.0.1", "vpn0", 0, 70_000),
            ("rule", "10.1.0.5", 70_000),
            ("optional", self.dns_step("file")),
        ]

    def dns_step(self, mode: str, *, has_default: bool = True) -> tuple[Any, ...]:
        """Return the step that sets name servers in this world."""
        servers, search = ["10.1.0.1"], ["lan.example"]
        return ("dns", servers, search, mode, "vpn0", has_default, str(self.resolv))

    def assert_as_before(self, why: str = "") -> None:
        """Compare all with the start; no journal may be left either."""
        now = self.look()
        for key, value in self.before.items():
            assert now[key] == value, f"{why}: {key} changed"
        state = Path(self.state_dir)
        left = [path.name for path in state.iterdir()] if state.is_dir() else []
        assert left == [], f"{why}: left in the state directory"


def wait_for_carrier(ifname: str, is_there: bool) -> None:
    """Wait until the kernel marks the routes of an interface so; it takes up to a second."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        routes = ip_json("route", "show", "dev", ifname)
        if routes and all(("linkdown" in r["flags"]) != is_there for r in routes):
            return
        time.sleep(0.01)
    raise AssertionError(f"the carrier of {ifname} is not as wanted")


def wait_for_ipv6() -> None:
    """Wait until the kernel's own work on addresses is done: it adds routes by and by."""
    deadline = time.monotonic() + 5
    earlier = None
    while time.monotonic() < deadline:
        now = ip_json("-6", "route", "show", "table", "all")
        if now == earlier and not any(ip_json("-6", "addr", "show", "tentative")):
            return
        earlier = now
        time.sleep(0.02)
    raise AssertionError("the IPv6 routes do not come to rest")


def in_world(test: Callable[[World], None]) -> Callable[[], None]:
    """Run a test in a namespace of its own with a fresh world."""

    def inside() -> None:
        test(World())

    def runs_inside() -> None:
        run_inside(inside)

    runs_inside.__name__ = test.__name__
    return runs_inside


class Countdown:
    """A fault hook: does something at the n-th effect, and counts all of them."""

    def __init__(self, at: int, action: Callable[[str], None]) -> None:
        self.at = at
        self.action = action
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self.at:
            self.action(name)


def no_action(_name: str) -> None:
    pass


def die(_name: str) -> None:
    os._exit(0)


def run_and_die(number: int, function: Callable[[], object]) -> None:
    """Run `function` in a forked child that dies at its effect `number`."""

    def doomed() -> None:
        fault.hook = Countdown(number, die)
        function()

    assert run_forked(doomed) == ""


def count_effects(function: Callable[[], object]) -> int:
    counter = Countdown(-1, no_action)
    fault.hook = counter
    try:
        function()
    finally:
        fault.hook = None
    return len(counter.names)
