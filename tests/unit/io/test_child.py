"""Calls in a forked child: results, errors, death, time-outs, no zombie."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from sevpn import log
from sevpn.errors import HostError
from sevpn.io import child
from sevpn.io.child import ChildError
from sevpn.io.loop import Cancelled, Loop
from support.started import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGETS = "support.child_targets"


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = len(os.listdir("/proc/self/fd"))
    made = Loop()
    yield made
    made.close()
    assert len(os.listdir("/proc/self/fd")) <= before  # garbage of others may go
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # no zombie, no child left


def call(loop: Loop, name: str, *args: object, timeout_s: float = 10.0) -> Any:
    found: list[object] = []

    async def main() -> None:
        target = f"{TARGETS}:{name}"
        found.append(await child.call(loop, target, *args, timeout_s=timeout_s))

    loop.run(loop.spawn("main", main()))
    return found[0]


def test_result(loop: Loop) -> None:
    values = [1, 2.5, "ä\udc80", b"\0", None, True, [1, {"a": (1, 2)}], 2**70]
    assert call(loop, "echo", *values) == values
    assert call(loop, "pid") != os.getpid()


def test_large_result(loop: Loop) -> None:
    assert len(call(loop, "large", 3_000_000)) == 3_000_000


def test_result_that_is_too_large(loop: Loop) -> None:
    with pytest.raises(ChildError, match="answered too much"):
        call(loop, "large", child.MAX_RESULT_BYTES + 1)


def test_host_error_is_carried(loop: Loop) -> None:
    with pytest.raises(HostError, match="^no such device$") as caught:
        call(loop, "host_error")
    assert (caught.value.hint, caught.value.errno) == ("plug it in", 19)
    assert type(caught.value) is HostError


@pytest.mark.parametrize(
    ("name", "message"), [("other_error", "wrong"), ("server_error", "refused")]
)
def test_other_errors_become_host_errors(loop: Loop, name: str, message: str) -> None:
    with pytest.raises(HostError, match=message):
        call(loop, name)


@pytest.mark.parametrize("name", ["bug", "not_to_marshal", "missing"])
def test_bug_is_one_line(loop: Loop, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildError, match=f"{TARGETS}:{name} failed: ") as caught:
        call(loop, name)
    assert str(caught.value).isprintable()
    assert capfd.readouterr().err == ""


def test_unknown_module(loop: Loop) -> None:
    async def main() -> None:
        await child.call(loop, "sevpn.nothing:function")

    with pytest.raises(ChildError, match="ModuleNotFoundError"):
        loop.run(loop.spawn("main", main()))


@pytest.mark.parametrize("name", ["die", "leave", "half_an_answer"])
def test_death(loop: Loop, name: str) -> None:
    with pytest.raises(ChildError, match="died"):
        call(loop, name)


def test_timeout_kills(loop: Loop, tmp_path: Path) -> None:
    started = tmp_path / "pid"
    before_s = time.monotonic()
    with pytest.raises(ChildError, match=r"took more than 0\.2 seconds"):
        call(loop, "sleep", 60.0, str(started), timeout_s=0.2)
    assert time.monotonic() - before_s < 20
    assert not os.path.exists(f"/proc/{started.read_text()}")


def test_cancel_kills(loop: Loop, tmp_path: Path) -> None:
    started = tmp_path / "pid"

    async def work() -> None:
        await child.call(loop, f"{TARGETS}:sleep", 60.0, str(started))

    async def main() -> None:
        task = loop.spawn("work", work())
        while not started.exists() or not started.read_text():
            await loop.sleep(0.01)
        loop.cancel(task)
        await loop.join(task)
        assert isinstance(task.error, Cancelled)

    before_s = time.monotonic()
    loop.run(loop.spawn("main", main()))
    assert time.monotonic() - before_s < 20
    assert not os.path.exists(f"/proc/{started.read_text()}")


def test_signals_of_a_terminal_do_not_reach_it(loop: Loop) -> None:
    """An undo must not be cut in the middle by the ^C that caused it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    assert call(loop, "ignored_signals") == [int(number) for number in numbers]


def test_many_at_once(loop: Loop) -> None:
    found: list[Any] = []

    async def one(number: int) -> None:
        found.append(await child.call(loop, f"{TARGETS}:echo", number))

    async def main() -> None:
        for task in [loop.spawn("one", one(n)) for n in range(5)]:
            await loop.join(task)

    loop.run(loop.spawn("main", main()))
    assert sorted(found) == [[n] for n in range(5)]


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_lost_stderr_is_survived(redirect: str) -> None:
    """Nobody can read the log any more: that must end neither a call nor a session."""
    program = (
        "from sevpn import log\n"
        "from sevpn.io import child\n"
        "from sevpn.io.loop import Loop\n"
        "loop = Loop()\n"
        "async def main():\n"
        "    log.error('lost')\n"
        f"    print(await child.call(loop, '{TARGETS}:echo', 1))\n"
        "    log.info('lost')\n"
        "loop.run(loop.spawn('main', main()))\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, program],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout == "[1]\n"


def test_debug_log_names_a_bug(
    loop: Loop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "level", log.VERBOSE)
    with pytest.raises(ChildError):
        call(loop, "bug")
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "ZeroDivisionError: no way" in lines[0]
