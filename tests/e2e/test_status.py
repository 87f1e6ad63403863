"""`sevpn status`, `sevpn wait` and `sevpn cleanup` beside a sevpn at work, and systemd's side."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from lab.client import TAP, Sevpn, flags, program
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq
from lab.process import wait_for
from lab.server import LAN_IP, LAN_TAP, USER
from lab.topology import BLACK_HOLE_IP, SERVER_IP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from lab.server import SoftEther
    from lab.topology import Namespace, Topology

NOBODY = "65534"
STATE_DIR = "/run/sevpn"

TEXT, NUMBER = str, (int, float)
MAYBE = type(None)
# What `-json` promises: a key and the types of its value, dicts by their own keys.
SCHEMA: dict[str, Any] = {
    "format": int,
    "version": TEXT,
    "pid": int,
    "started": TEXT,
    "state": TEXT,
    "since": TEXT,
    "since_s": NUMBER,
    "server": {"host": TEXT, "address": TEXT, "port": int, "product": TEXT},
    "session": {
        "name": TEXT,
        "hub": TEXT,
        "user": TEXT,
        "cipher": TEXT,
        "congestion": TEXT,
        "local_address": TEXT,
        "timeout_s": NUMBER,
    },
    "tap": {"name": TEXT, "mac": TEXT, "namespace": int},
    "lease": {
        "address": TEXT,
        "prefix_len": int,
        "gateway": TEXT,
        "server": TEXT,
        "dns": list,
        "domain": TEXT,
        "mtu": (int, MAYBE),
        "lease_s": int,
        "renew_in_s": int,
        "rebind_in_s": int,
        "expires_in_s": int,
    },
    "routes": list,
    "rules": list,
    "dns": {"servers": list, "search": list},
    "shortfalls": list,
    "hijacks": list,
    "counters": dict,
    "last_error": (dict, MAYBE),
}
COUNTERS = {
    *("reconnects", "resumes", "renewals", "frames_up", "frames_down", "bytes_up", "bytes_down"),
    *("drops_up", "drops_down", "drops_capture", "drops_invalid", "tap_drops", "bad_checksums"),
    *("tls_bytes_in", "tls_bytes_out", "dhcp_strangers", "dhcp_malformed"),
}


def command(host: Namespace, *words: str) -> CompletedProcess[str]:
    return host.run(*program(), *words, check=False)


def status(host: Namespace, *words: str) -> dict[str, Any]:
    """Return the one report of `sevpn status -json`, {} when there is none."""
    done = command(host, "status", "-json", *words)
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    assert done.returncode == (0 if found else 10), done.stderr
    return found


def wait_state(host: Namespace, name: str, timeout_s: float = 10.0) -> dict[str, Any]:
    def reached() -> dict[str, Any]:
        found = status(host)
        return found if found.get("state") == name else {}

    return wait_for(reached, timeout_s, f"the state {name}")


def assert_matches(found: Any, schema: Any, where: str = "report") -> None:
    if isinstance(schema, dict):
        assert found.keys() == schema.keys(), where
        for key, inner in schema.items():
            assert_matches(found[key], inner, f"{where}.{key}")
    else:
        assert isinstance(found, schema), f"{where}: {found!r}"


@contextlib.contextmanager
def mute_gateway(server: SoftEther) -> Iterator[None]:
    """The LAN's gateway answers no ARP, while all else goes on."""
    run = server.namespace.run
    run("nft", "add table arp mute")
    run("nft", "add chain arp mute in { type filter hook input priority 0; policy accept; }")
    run("nft", f'add rule arp mute in iifname "{LAN_TAP}" drop')
    try:
        yield
    finally:
        run("nft", "delete table arp mute")


def test_a_whole_life(host: Namespace, server: SoftEther) -> None:
    """Connecting, ready, degraded, ready again, gone; the report holds what it promises."""
    assert status(host) == {}
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        wanted = ("-accept-default-gateway", "-accept-dns", "-policy-route-table", "200")
        with Sevpn(host, *flags(*wanted)) as run:
            assert command(host, "wait", "-timeout", "60s").returncode == 0
            found = status(host)
            assert_matches(found, SCHEMA)
            assert found["counters"].keys() >= COUNTERS
            assert found["state"] == "ready"
            assert found["pid"] == run.process.pid
            assert found["server"]["address"] == SERVER_IP
            assert found["session"]["name"] == server.sessions()[0].name
            assert found["session"]["user"] == USER
            assert found["tap"]["mac"] == run.mac()
            assert f"{found['lease']['address']}/24" == run.address()
            assert found["lease"]["gateway"] == LAN_IP
            lease = found["lease"]
            assert 0 < lease["renew_in_s"] < lease["rebind_in_s"] < lease["expires_in_s"]
            assert lease["expires_in_s"] <= lease["lease_s"]
            assert {route["table"] for route in found["routes"]} == {254, 200}
            assert found["rules"] == [{"from": lease["address"], "table": 200}]
            assert found["dns"]["servers"] == found["lease"]["dns"]
            assert found["last_error"] is None
            before = found["counters"]
            assert host.ping(LAN_IP)
            after = status(host)["counters"]
            assert after["frames_up"] >= before["frames_up"] + 3
            assert after["bytes_down"] > before["bytes_down"]

            text = command(host, "status").stdout
            print(f"\n{text}")
            assert text.startswith(f"sevpn {found['version']} on {TAP}, process {run.process.pid}")
            assert f"address      {run.address()}, gateway {LAN_IP}" in text
            with mute_gateway(server):
                began_s = time.monotonic()
                wait_state(host, "degraded")
                print(f"degraded after {time.monotonic() - began_s:.1f} s")
                done = command(host, "wait", "-timeout", "500ms")
                assert done.returncode == 9
                assert f"not ready after 0.5 s: {TAP} is degraded" in done.stderr
            assert command(host, "wait", "-timeout", "60s").returncode == 0
            assert status(host)["pid"] == run.process.pid
            run.stop()
    assert status(host) == {}
    assert list(host.path(STATE_DIR).iterdir()) == []


def test_while_connecting(host: Namespace) -> None:
    with Sevpn(host, *flags(host=BLACK_HOLE_IP)) as run:
        found = wait_state(host, "connecting")
        assert found["session"] is None
        assert found["server"]["address"] is None
        assert "not connected" in command(host, "status").stdout
        began_s = time.monotonic()
        done = command(host, "wait", "-timeout", "1s")
        assert done.returncode == 9
        assert time.monotonic() - began_s >= 1.0
        run.stop()


def test_not_ready_when_the_path_dies(
    topology: Topology, host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    with Sevpn(host, *flags()) as run:
        assert command(host, "wait", "-timeout", "60s").returncode == 0
        with topology.cut():
            began_s = time.monotonic()
            wait_for(lambda: status(host)["state"] != "ready", 20.0, "another state than ready")
            print(f"\nnot ready after {time.monotonic() - began_s:.1f} s")
            assert "no sign of life" not in run.log  # said before the connection is given up
            wait_for(lambda: status(host)["last_error"], 30.0, "an error")
        assert command(host, "wait", "-timeout", "60s").returncode == 0
        found = status(host)
        assert found["counters"]["reconnects"] + found["counters"]["resumes"] >= 1
        run.stop()


def test_wait_for_one_that_is_started_later(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    with host.start(*program(), "wait", "-timeout", "20s", "-tap", TAP) as waiting:
        with Sevpn(host, *flags()) as run:
            assert waiting.wait(20.0) == 0
            assert run.address()
            run.stop()


def test_wait_ends_with_the_run(host: Namespace) -> None:
    with Sevpn(host, *flags(host=BLACK_HOLE_IP)) as run:
        wait_state(host, "connecting")
        with host.start(*program(), "wait") as waiting:
            run.stop()
            assert waiting.wait(10.0) == 10
            assert "no sevpn runs" in waiting.text("err")


def test_no_control(host: Namespace) -> None:
    with Sevpn(host, *flags("-no-control", host=BLACK_HOLE_IP)) as run:
        wait_for(lambda: list(host.path(STATE_DIR).glob(f"{TAP}@*.lock")), 5.0, "the lock")
        done = command(host, "status")
        assert done.returncode == 10
        assert f"a sevpn (process {run.process.pid}) runs on {TAP}" in done.stderr
        assert not list(host.path(STATE_DIR).glob("*.sock"))
        run.stop()


def test_two_at_once(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    # The second one without a lease: one network on two links is no "ready", and rightly so.
    with Sevpn(host, *flags()) as one, Sevpn(host, *flags("-no-dhcp", tap="vpn1")) as two:
        assert command(host, "wait", "-timeout", "20s").returncode == 0
        assert command(host, "wait", "-timeout", "20s", "-tap", "vpn1").returncode == 0
        lines = command(host, "status", "-json").stdout.splitlines()
        pids = {found["tap"]["name"]: found["pid"] for found in map(json.loads, lines)}
        assert pids == {TAP: one.process.pid, "vpn1": two.process.pid}
        assert status(host, "-tap", "vpn1")["pid"] == two.process.pid
        two.stop()
        assert status(host)["pid"] == one.process.pid
        one.stop()


def test_another_user_is_refused(host: Namespace) -> None:
    stranger = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    with Sevpn(host, *flags(host=BLACK_HOLE_IP)) as run:
        wait_state(host, "connecting")
        for mode, words in ((0o700, "cannot read"), (0o755, "no permission to ask")):
            host.path(STATE_DIR).chmod(mode)
            done = host.run(*stranger, *program(), "status", check=False)
            assert done.returncode == 4, done.stderr
            assert words in done.stderr
        # Even where the file's mode lets everybody in, the server looks who it is.
        next(host.path(STATE_DIR).glob("*.sock")).chmod(0o666)
        done = host.run(*stranger, *program(), "status", check=False)
        assert done.returncode == 10
        assert "refuses to answer: permission denied" in done.stderr
        host.path(STATE_DIR).chmod(0o700)
        run.stop()


def test_after_a_kill(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """The dead one's socket misleads nobody; cleanup undoes the rest, once."""
    with Sevpn(host, *flags("-accept-default-gateway", "-accept-dns")) as run:
        assert command(host, "wait", "-timeout", "60s").returncode == 0
        done = command(host, "cleanup")
        assert done.returncode == 0
        assert done.stdout.startswith("left alone: ")
        assert str(run.process.pid) in done.stdout
        assert host.ping(LAN_IP)
        run.process.signal(signal.SIGKILL)
        run.process.wait(5.0)
        assert list(host.path(STATE_DIR).glob("*.sock"))
        assert status(host) == {}
        # A child that was changing something finishes first, and holds what its parent held.
        wait_for(
            lambda: command(host, "wait", "-timeout", "100ms").returncode == 10,
            5.0,
            "nobody to wait for",
        )
        done = command(host, "cleanup")
        print(f"\n{done.stdout}")
        assert done.returncode == 0
        assert "undone" in done.stdout
        done = command(host, "cleanup")
        assert (done.returncode, done.stdout) == (0, "nothing to clean up\n")
    with Sevpn(host, *flags()) as run:  # the socket is replaced
        assert command(host, "wait", "-timeout", "60s").returncode == 0
        run.stop()


def test_read_only_state_directory(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """It can be asked all the same, by a name without a file, and by nobody else."""
    where = "/proc/sevpn"  # even root makes no directory there
    with Sevpn(host, *flags("-state-dir", where, "-v")) as run:
        run.wait_address()
        assert command(host, "wait", "-timeout", "20s", "-state-dir", where).returncode == 0
        assert status(host, "-state-dir", where)["pid"] == run.process.pid
        stranger = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        done = host.run(*stranger, *program(), "status", "-state-dir", where, check=False)
        assert done.returncode == 10
        run.stop()


def test_systemd(topology: Topology, host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """READY=1 when it serves, the states, WATCHDOG=1 in time, STOPPING=1 at the end."""
    path = str(topology.scratch / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(15.0)
        env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        with Sevpn(host, *flags(), env=env) as run:
            got: list[str] = []
            while not got or got[-1] != "STATUS=ready":
                got.append(systemd.recv(4096).decode())
            assert host.ping(LAN_IP, count=1)
            assert got[0] == "STATUS=connecting\nREADY=1"
            assert "STATUS=configuring" in got
            assert "WATCHDOG=1" in got
            run.stop()
        systemd.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(systemd.recv(4096).decode())
        assert "STATUS=stopping\nSTOPPING=1" in got
        assert sum("READY=1" in text for text in got) == 1
    os.unlink(path)
