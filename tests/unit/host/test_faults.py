"""Every effect fails, or is the last thing we do: afterwards the host is as before."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sevpn.host import fault, lock, worker
from support.host_world import Countdown, World, count_effects, in_world, run_and_die

pytestmark = pytest.mark.no_sanitizer


@in_world
def test_each_effect_fails_in_turn(world: World) -> None:
    steps = world.steps()
    first = worker.apply(world.journal, steps)
    worker.undo(world.journal, first["undo"])
    total = count_effects(lambda: worker.apply(world.journal, steps))
    worker.cleanup(world.state_dir)
    world.assert_as_before("counting")
    assert total >= 25
    for code in (errno.EPERM, errno.EEXIST, errno.ENOSPC, errno.EROFS):
        for number in range(total):
            refused = Countdown(number, functools.partial(_refuse, code))
            fault.hook = refused
            try:
                result = worker.apply(world.journal, steps)
            finally:
                fault.hook = None
            why = f"{os.strerror(code)} at {number} ({refused.names[number]})"
            assert result["error"] or result["warnings"] or _is_survived(refused, number), why
            if result["error"]:
                assert result["undo"] == [], why
                world.assert_as_before(why)
            left = worker.undo_everything(world.journal, result["undo"])
            assert left == [], why
            world.assert_as_before(why)


def _refuse(code: int, _name: str) -> None:
    raise OSError(code, os.strerror(code))


def _is_survived(refused: Countdown, number: int) -> bool:
    """Some effects have a second way: a missing hard link, an address without its rename."""
    return refused.names[number] in ("link", "create", "rename", "renamed", "netlink")


@in_world
def test_killed_at_each_effect_of_apply(world: World) -> None:
    steps = world.steps()
    total = count_effects(lambda: worker.apply(world.journal, steps))
    worker.cleanup(world.state_dir)
    world.assert_as_before("counting")
    for number in range(total):
        run_and_die(number, lambda: worker.apply(world.journal, steps))
        report = worker.cleanup_report(world.state_dir)
        assert report["left"] == [], number
        world.assert_as_before(f"killed at {number}")
        assert worker.cleanup(world.state_dir) == []


@in_world
def test_killed_at_each_effect_of_undo_and_of_cleanup(world: World) -> None:
    steps = world.steps()
    records = worker.apply(world.journal, steps)["undo"]
    total = count_effects(lambda: worker.undo(world.journal, records))
    for number in range(total):
        records = worker.apply(world.journal, steps)["undo"]
        run_and_die(number, functools.partial(worker.undo, world.journal, records))
        run_and_die(number // 2, lambda: worker.cleanup(world.state_dir))
        report = worker.cleanup_report(world.state_dir)
        assert report["left"] == [], number
        world.assert_as_before(f"killed at {number}")


@in_world
def test_a_state_directory_that_cannot_be_written(world: World) -> None:
    Path(world.state_dir).write_text("in the way")
    world.before = world.look()
    result = worker.apply(world.journal, world.steps())
    assert result["error"] is None
    (warning,) = result["warnings"]
    assert "killed" in warning
    assert worker.undo(world.journal, result["undo"])[:-1] == []
    assert world.look() == world.before
    assert "no lock" in str(lock.Lock(f"{world.state_dir}/x.lock").acquire("x"))


@in_world
def test_a_mounted_resolv_conf(world: World) -> None:
    real = world.directory / "real"
    shutil.copy2(world.resolv, real)
    os.chown(real, 12, 34)
    subprocess.run(["mount", "--bind", str(real), str(world.resolv)], check=True)
    world.before = world.look()
    assert lock.is_mount_point(str(world.resolv))
    inode = world.resolv.stat().st_ino
    step = world.dns_step("file")
    records = worker.apply(world.journal, [step])["undo"]
    assert b"nameserver 10.1.0.1" in real.read_bytes()
    assert worker.undo(world.journal, records) == []
    world.assert_as_before()
    total = count_effects(lambda: worker.apply(world.journal, [step]))
    worker.cleanup(world.state_dir)
    for number in range(total):
        run_and_die(number, lambda: worker.apply(world.journal, [step]))
        run_and_die(1, lambda: worker.cleanup(world.state_dir))
        run_and_die(2, lambda: worker.cleanup(world.state_dir))
        assert worker.cleanup_report(world.state_dir)["left"] == []
        world.assert_as_before(f"killed at {number}")
    assert world.resolv.stat().st_ino == inode


@in_world
def test_a_mount_the_kernel_does_not_list(world: World) -> None:
    """As seen by a process in a chroot: renaming says EBUSY, and only that."""
    subprocess.run(["mount", "--bind", str(world.resolv), str(world.resolv)], check=True)
    lock.is_mount_point = lambda path: False
    step = world.dns_step("file")
    result = worker.apply(world.journal, [step])
    assert result["error"] is None
    assert b"nameserver 10.1.0.1" in world.resolv.read_bytes()
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()


@in_world
def test_a_read_only_etc(world: World) -> None:
    mounted = str(world.directory)
    subprocess.run(["mount", "--bind", mounted, mounted], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", mounted], check=True)
    result = worker.apply(world.journal, world.steps())
    assert result["error"] is None
    assert "name servers: Read-only" in result["failed"]["dns"]
    assert worker.undo(world.journal, result["undo"]) == []
    world.assert_as_before()
