"""The real systemd-resolved, openresolv and Debian's resolvconf, told what a lease says.

Not run by build/test: installing these packages would take over the machine's own
/etc/resolv.conf, so they are only downloaded (apt) and unpacked to .cache, and the machine
needs a dbus-daemon. Everything runs in a namespace whose /run and /etc parts are its own.

    .venv/bin/pytest tests/manual
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sevpn.host import lock, worker
from support.host_world import World, count_effects, in_world, run_and_die
from support.private_netns import ip
from support.require import require

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = Path(__file__).resolve().parents[2] / ".cache/debs"
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
</policy></busconfig>"""
REAL_RESOLV = Path("/etc/resolv.conf")


def unpack(package: str) -> Path:
    """Return the directory with the files of a Debian package."""
    target = CACHE / package
    if not target.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", package], cwd=CACHE, check=False)
        files = sorted(CACHE.glob(f"{package}_*.deb"))
        require(files, f"apt-get download {package} failed")
        subprocess.run(["dpkg", "-x", str(files[-1]), str(target)], check=True)
    return target


def cover(path: str) -> None:
    """Make a directory ours: what is written there stays in memory."""
    layers = f"/mnt/layers{path}"
    for name in ("upper", "work"):
        Path(layers, name).mkdir(parents=True)
    options = f"lowerdir={path},upperdir={layers}/upper,workdir={layers}/work"
    subprocess.run(["mount", "-t", "overlay", "sevpn-test", "-o", options, path], check=True)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def prepare(world: World) -> None:
    """Bring up a link with an address; resolv.conf is the real path from now on."""
    cover("/etc")
    subprocess.run(["mount", "-t", "tmpfs", "sevpn-test", "/run"], check=True)
    REAL_RESOLV.unlink(missing_ok=True)
    world.resolv = REAL_RESOLV
    worker.apply("", world.steps()[3:5])
    world.state_dir = "/run/sevpn"
    world.journal = lock.journal_path(world.state_dir, "vpn0")


def start_resolved() -> Callable[[str], str]:
    """Start a bus and the real systemd-resolved; return what runs resolvectl."""
    files = unpack("systemd-resolved")
    shared = unpack("libsystemd-shared")
    libraries = {"LD_LIBRARY_PATH": str(next(shared.rglob("libsystemd-shared-*.so")).parent)}
    with Path("/etc/passwd").open("a", encoding="utf-8") as file:
        file.write("systemd-resolve:x:996:996::/:/usr/sbin/nologin\n")
    with Path("/etc/group").open("a", encoding="utf-8") as file:
        file.write("systemd-resolve:x:996:\n")
    for directory in ("/run/dbus", "/run/systemd", "/run/systemd/resolve", "/etc/systemd"):
        Path(directory).mkdir(exist_ok=True)
    os.chown("/run/systemd/resolve", 996, 996)
    bus = Path("/run/dbus/test.conf")
    bus.write_text(BUS, encoding="utf-8")
    # They end with the namespace's mounts: the test kills them before.
    _daemons.append(subprocess.Popen(["dbus-daemon", f"--config-file={bus}", "--nofork"]))
    wait_for(Path("/run/dbus/system_bus_socket").exists)
    program = next(files.rglob("lib/systemd/systemd-resolved"))
    _daemons.append(subprocess.Popen([str(program)], env={**os.environ, **libraries}))
    wait_for(Path("/run/systemd/resolve/stub-resolv.conf").exists)
    REAL_RESOLV.symlink_to("/run/systemd/resolve/stub-resolv.conf")
    resolvectl = next(files.rglob("bin/resolvectl"))

    def ask(*words: str) -> str:
        result = subprocess.run(
            [str(resolvectl), "--no-pager", *words],
            env={**os.environ, **libraries, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout

    def is_answering() -> bool:
        try:
            return "vpn0" in ask("status")
        except subprocess.CalledProcessError:
            return False

    wait_for(is_answering)
    return ask


_daemons: list[subprocess.Popen[bytes]] = []


def stop_daemons() -> None:
    for daemon in reversed(_daemons):
        daemon.kill()
        daemon.wait()


def with_resolved(test: Callable[[World, Callable[..., str]], None]) -> Callable[[], None]:
    @in_world
    def inside(world: World) -> None:
        prepare(world)
        try:
            test(world, start_resolved())
        finally:
            stop_daemons()

    def runs() -> None:
        require(shutil.which("dbus-daemon"), "apt install dbus")
        unpack("systemd-resolved")
        unpack("libsystemd-shared")
        inside()

    runs.__name__ = test.__name__
    return runs


@with_resolved
def test_resolved(world: World, ask: Callable[..., str]) -> None:
    before = ask("status", "vpn0")
    result = worker.apply(world.journal, [world.dns_step("auto")])
    print(result)
    print(ask("status", "vpn0"))
    assert (result["error"], result["warnings"]) == (None, [])
    assert result["notes"] == ["DNS set in systemd-resolved for the link vpn0"]
    assert "10.1.0.1" in ask("dns", "vpn0")
    assert ask("domain", "vpn0").split()[-2:] == ["lan.example", "~."]
    assert ask("default-route", "vpn0").split()[-1] == "yes"
    assert REAL_RESOLV.is_symlink()
    assert worker.undo(world.journal, result["undo"]) == []
    assert ask("status", "vpn0") == before
    assert not Path(world.journal).exists()


@with_resolved
def test_resolved_without_default_route(world: World, ask: Callable[..., str]) -> None:
    step = world.dns_step("resolved", has_default=False)
    result = worker.apply(world.journal, [step])
    assert ask("domain", "vpn0").split()[-1] == "lan.example"
    assert ask("default-route", "vpn0").split()[-1] == "no"
    worker.undo(world.journal, result["undo"])
    result = worker.apply(world.journal, [(*step[:2], [], *step[3:])])
    assert ask("default-route", "vpn0").split()[-1] == "yes"
    worker.undo(world.journal, result["undo"])
    assert "10.1.0.1" not in ask("dns")


@with_resolved
def test_resolved_had_settings_before(world: World, ask: Callable[..., str]) -> None:
    ask("dns", "vpn0", "192.0.2.53")
    ask("domain", "vpn0", "old.example")
    before = ask("status", "vpn0")
    result = worker.apply(world.journal, [world.dns_step("resolved")])
    assert ask("status", "vpn0") != before
    assert worker.undo(world.journal, result["undo"]) == []
    assert ask("status", "vpn0") == before


@with_resolved
def test_resolved_changed_by_somebody(world: World, ask: Callable[..., str]) -> None:
    result = worker.apply(world.journal, [world.dns_step("resolved")])
    ask("dns", "vpn0", "192.0.2.53")
    (left,) = worker.undo(world.journal, result["undo"])
    assert "somebody else" in left
    assert "192.0.2.53" in ask("dns", "vpn0")


@with_resolved
def test_resolved_killed_at_each_effect(world: World, ask: Callable[..., str]) -> None:
    before = ask("status", "vpn0")
    apply = functools.partial(worker.apply, world.journal, [world.dns_step("resolved")])
    total = count_effects(apply)
    assert total >= 9
    for number in range(total):
        worker.cleanup(world.state_dir)
        assert ask("status", "vpn0") == before, number
        run_and_die(number, apply)
    worker.cleanup(world.state_dir)
    assert ask("status", "vpn0") == before
    apply()
    ip("link", "del", "vpn0")
    assert worker.cleanup_report(world.state_dir)["left"] == []
    assert not Path(world.journal).exists()


def install(package: str) -> None:
    """Put a package's files into /usr and /etc of this mount namespace."""
    cover("/usr")
    for directory in ("sbin", "lib", "etc"):
        shutil.copytree(unpack(package) / directory, f"/{directory}", dirs_exist_ok=True)
    os.environ["PATH"] = "/usr/bin:/bin"


@pytest.mark.parametrize("package", ["openresolv", "resolvconf"])
def test_resolvconf(package: str) -> None:
    @in_world
    def inside(world: World) -> None:
        prepare(world)
        install(package)
        if package == "resolvconf":
            for directory in ("resolvconf", "resolvconf/interface"):
                Path("/run", directory).mkdir()
            Path("/etc/resolvconf/run").symlink_to("/run/resolvconf")
            REAL_RESOLV.symlink_to("/etc/resolvconf/run/resolv.conf")
            Path("/run/resolvconf/enable-updates").touch()
        resolvconf = "/usr/sbin/resolvconf"
        lan = b"nameserver 192.0.2.1\nsearch home.example\n"
        subprocess.run([resolvconf, "-a", "lan.dhcp"], input=lan, check=True)
        before = REAL_RESOLV.read_text(encoding="utf-8")
        print(before)
        assert "nameserver 192.0.2.1" in before
        result = worker.apply(world.journal, [world.dns_step("auto")])
        print(result)
        now = REAL_RESOLV.read_text(encoding="utf-8")
        print(now)
        assert (result["error"], result["warnings"]) == (None, [])
        assert result["notes"] == ["DNS set through resolvconf for vpn0"]
        servers = [line for line in now.splitlines() if line.startswith("nameserver")]
        assert servers[0] == "nameserver 10.1.0.1"
        assert "lan.example" in now
        assert worker.undo(world.journal, result["undo"]) == []
        assert REAL_RESOLV.read_text(encoding="utf-8") == before
        assert worker.undo(world.journal, result["undo"]) == [], "twice"
        apply = functools.partial(worker.apply, world.journal, [world.dns_step("auto")])
        for number in range(count_effects(apply)):
            run_and_die(number, apply)
            assert worker.cleanup_report(world.state_dir)["left"] == []
            assert REAL_RESOLV.read_text(encoding="utf-8") == before, number

    unpack(package)
    inside()
