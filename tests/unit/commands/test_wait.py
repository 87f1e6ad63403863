"""`sevpn wait`: 0 when ready, 9 when the time is up, 10 when nobody runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sevpn.commands import wait as command
from sevpn.commands.wait import main
from sevpn.errors import NotReadyError, NotRunningError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., Any]
    Later = Callable[..., None]

GRACE_S = 0.4


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "START_GRACE_S", GRACE_S)
    monkeypatch.setattr(command, "POLL_S", 0.01)


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    return ["-state-dir", str(tmp_path)]


def test_ready_already(start: Start, where: list[str]) -> None:
    start().enter("ready")
    assert main(where) == 0
    assert main([*where, "-timeout", "1s"]) == 0


def test_ready_in_a_moment(start: Start, later: Later, where: list[str]) -> None:
    run = start()
    later(0.2, lambda: run.enter("ready"))
    before_s = time.monotonic()
    assert main(where) == 0
    assert time.monotonic() - before_s >= 0.2


def test_only_just_starting(start: Start, later: Later, where: list[str]) -> None:
    later(0.2, lambda: start().enter("ready"))
    assert main(where) == 0


def test_time_is_up(start: Start, where: list[str]) -> None:
    run = start()
    run.state.fail("no route", 1.0)
    with pytest.raises(NotReadyError, match=r"^not ready after 0\.2 s: vpn0 is connecting$") as up:
        main([*where, "-timeout", "200ms"])
    assert up.value.exit_code == 9


def test_all_of_them(start: Start, later: Later, where: list[str]) -> None:
    start("vpn0").enter("ready")
    slow = start("vpn1")
    assert main([*where, "-tap", "vpn0"]) == 0
    with pytest.raises(NotReadyError, match="vpn1 is connecting$"):
        main([*where, "-timeout", "100ms"])
    later(0.1, lambda: slow.enter("ready"))
    assert main(where) == 0


@pytest.mark.parametrize("timeout", [[], ["-timeout", "100ms"]])
def test_nobody_runs(where: list[str], timeout: list[str]) -> None:
    with pytest.raises(NotRunningError, match="^no sevpn runs$"):
        main([*where, *timeout])


def test_a_timeout_is_used_to_its_end(
    start: Start, later: Later, where: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while nobody runs yet: the service may be started after us."""
    monkeypatch.setattr(command, "START_GRACE_S", 0.0)
    later(0.3, lambda: start().enter("ready"))
    assert main([*where, "-timeout", "60s"]) == 0


def test_the_run_ends_meanwhile(start: Start, later: Later, where: list[str]) -> None:
    run = start()
    later(0.1, run.end)
    with pytest.raises(NotRunningError):
        main(where)


def test_the_run_is_started_again(start: Start, later: Later, where: list[str]) -> None:
    run = start()

    def again() -> None:
        run.end()
        start().enter("ready")

    later(0.1, again)
    assert main(where) == 0


def test_no_control(start: Start, where: list[str]) -> None:
    start(socket=False)
    with pytest.raises(NotRunningError, match="cannot be asked"):
        main(where)
