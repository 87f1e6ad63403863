"""Changes of the host one at a time, their records, and the undo at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sevpn.errors import HostError
from sevpn.session.hostside import HostSide
from support.fake_host import FakeHost
from support.running import run

if TYPE_CHECKING:
    from sevpn.io.loop import Loop

A, B, C = ("address", "a"), ("route", "b"), ("rule", "c")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(monkeypatch)


def test_apply_and_undo(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        side = HostSide(loop, "/run/j")
        await side.apply([A, B])
        assert host.now == [A, B]
        await side.undo(side.records[1:])
        assert host.now == [A]
        assert [record["step"] for record in side.records] == [list(A)]
        await side.undo_everything()
        assert host.now == []
        assert side.records == []

    run(work)
    assert host.names() == ["apply", "undo", "undo_everything"]
    assert {args[0] for _, args in host.calls} == {"/run/j"}


def test_nothing_to_do_costs_no_child(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        side = HostSide(loop, "/run/j")
        await side.apply([])
        await side.undo([])
        await side.undo_everything()

    run(work)
    assert host.calls == []


@pytest.mark.parametrize("how", ["refused", "died"])
def test_failure(host: FakeHost, how: str) -> None:
    """It is told once; even then the end looks for what the child journalled."""

    async def work(loop: Loop) -> None:
        side = HostSide(loop, "/run/j")
        (host.fail if how == "refused" else host.broken).add(
            "route" if how == "refused" else "apply"
        )
        with pytest.raises(HostError, match=how) as caught:
            await side.apply([B])
        if how == "refused":
            assert (caught.value.hint, caught.value.errno) == ("do it", 1)
        host.fail.clear()
        host.broken.clear()
        await side.apply([C])
        await side.undo_everything()

    run(work)
    assert host.names() == ["apply", "apply", "undo_everything"]


def test_undo_that_cannot(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    async def work(loop: Loop) -> None:
        side = HostSide(loop, "/run/j")
        await side.apply([A])
        host.fail.add("undo")
        await side.undo(side.records)
        await side.apply([A])
        host.broken.add("undo_everything")
        await side.undo_everything()

    run(work)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: left one thing"
    assert "could not restore the host's configuration" in lines[1]


def test_one_change_at_a_time(host: FakeHost) -> None:
    """Also when several wait for the same change to end."""
    host.delay_s = 0.02

    async def work(loop: Loop) -> None:
        side = HostSide(loop, "/run/j")

        async def change(step: tuple[str, str]) -> None:
            await side.apply([step])

        tasks = [loop.spawn("change", change(step)) for step in (A, B, C)]
        tasks.append(loop.spawn("repin", side.repin("192.0.2.1", "vpn0")))
        for task in tasks:
            await loop.join(task)
        assert len(side.records) == 4

    run(work)
    assert host.most_running == 1
    assert sorted(host.now) == [A, B, C]


def test_cancelled_change_goes_on_and_is_undone(host: FakeHost) -> None:
    host.delay_s = 0.03

    async def work(loop: Loop) -> None:
        side = HostSide(loop, "/run/j")

        async def bring_up() -> None:
            try:
                await side.apply([A])
            finally:
                await side.undo_everything()
                assert host.now == []

        task = loop.spawn("up", bring_up())
        await loop.sleep(0.01)
        loop.cancel(task)
        await loop.join(task)

    run(work)
    assert host.names() == ["apply", "undo_everything"]
    assert host.most_running == 1


def test_repin_moves_one_record(host: FakeHost) -> None:
    async def work(loop: Loop) -> None:
        side = HostSide(loop, "/run/j")
        await side.apply([A])
        await side.repin("192.0.2.1", "vpn0")
        await side.repin("192.0.2.1", "vpn0")
        assert [bool(record.get("is_pin")) for record in side.records] == [True, False]
        host.broken.add("repin")
        with pytest.raises(HostError):
            await side.repin("192.0.2.1", "vpn0")
        assert len(side.records) == 2

    run(work)
