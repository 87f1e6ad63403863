"""Getting a session back: again and again within its time, at once after a roam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from sevpn.errors import CertificateError, ServerError, TransportError
from sevpn.io.loop import Cancelled, Loop, now_s
from sevpn.session import resume as resume_module
from sevpn.session.resume import resume
from support.running import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn.session.login import Established, LoginAgent
    from sevpn.session.roaming import Roamer


class Session:
    class welcome:  # noqa: N801 - stands for an attribute
        session_name = "SID"
        timeout_ms = 600


class Roam:
    def __init__(self) -> None:
        self.generation = 0
        self.is_offline = False
        self.loop: Loop

    async def doze(self, deadline_s: float) -> bool:
        generation = self.generation
        while self.generation == generation and now_s() < deadline_s:
            await self.loop.doze(deadline_s)
        return self.generation != generation


class Agent:
    """Plays the attempts in order: an error, a result, or seconds of waiting for ever."""

    moves = False
    lookup_s = 0.0

    def __init__(self, loop: Loop, *attempts: object) -> None:
        self.loop = loop
        self.attempts = list(attempts)
        self.begun: list[float] = []
        self.cancelled = 0
        self.lookups = 0
        self.watch = Stopwatch()

    async def has_moved(self, _session: object) -> bool:
        self.lookups += 1
        await self.loop.sleep(self.lookup_s)
        return self.moves

    async def resume(self, _session: object) -> object:
        self.begun.append(self.watch.seconds)
        attempt = self.attempts.pop(0) if len(self.attempts) > 1 else self.attempts[0]
        if attempt == "hang":
            try:
                await self.loop.sleep(60)
            except Cancelled:
                self.cancelled += 1
                raise
        if isinstance(attempt, Exception):
            raise attempt
        return attempt


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume_module, "INTERVAL_S", 0.1)


def run(
    *attempts: object, roam: Roam | None = None, later: Callable[[Loop, Any], None] | None = None
) -> tuple[object, Agent]:
    loop = Loop()
    roam = roam or Roam()
    roam.loop = loop
    agent = Agent(loop, *attempts)
    found: list[object] = []

    async def main() -> None:
        found.append(
            await resume(
                loop,
                cast("LoginAgent", agent),
                cast("Roamer", roam),
                cast("Established", Session()),
            )
        )

    task = loop.spawn("main", main())

    async def beside() -> None:
        await loop.sleep(0.15)
        if later is not None:
            later(loop, task)

    loop.spawn("beside", beside())
    loop.run(task)
    loop.close()
    return (found or [None])[0], agent


LOST = TransportError("lost")


def test_first_attempt() -> None:
    new = object()
    assert run(new)[0] is new


def test_tried_again_at_intervals() -> None:
    new = object()
    found, agent = run(LOST, LOST, new)
    assert found is new
    gaps = [b - a for a, b in zip(agent.begun, agent.begun[1:], strict=False)]
    assert min(gaps) >= 0.099


@pytest.mark.parametrize("code", [13, 14, 15])
def test_gone(code: int) -> None:
    found, agent = run(ServerError(code, "gone"), object())
    assert found is None
    assert len(agent.begun) == 1


def test_other_codes_are_tried_again() -> None:
    new = object()
    assert run(ServerError(2, "busy"), new)[0] is new


def test_server_with_another_certificate_is_left_to_a_login() -> None:
    """Once may be a portal in between that goes away; a restarted server stays as it is."""
    stranger, new = CertificateError("shows another certificate"), object()
    assert run(stranger, LOST, stranger, new)[0] is new
    found, agent = run(LOST, stranger, stranger, new)
    assert found is None
    assert len(agent.begun) == 3


def test_time_is_limited() -> None:
    watch = Stopwatch()
    found, agent = run(LOST)
    assert found is None
    assert 0.5 < watch.seconds < 20
    assert 1 <= len(agent.begun) <= 7


def test_hanging_attempt_is_given_up_in_time() -> None:
    watch = Stopwatch()
    found, agent = run("hang")
    assert found is None
    assert agent.cancelled == 1
    assert watch.seconds < 20


def test_roam_starts_the_next_attempt_at_once() -> None:
    roam = Roam()
    new = object()

    def change(loop: Loop, task: Any) -> None:
        roam.generation += 1
        loop.poke(task)

    found, agent = run("hang", new, roam=roam, later=change)
    assert found is new
    assert agent.cancelled == 1
    assert agent.begun[1] < 20


def test_without_a_network_nothing_is_tried() -> None:
    roam = Roam()
    roam.is_offline = True
    new = object()

    def change(loop: Loop, task: Any) -> None:
        roam.is_offline = False
        roam.generation += 1
        loop.poke(task)

    found, agent = run(new, roam=roam, later=change)
    assert found is new
    assert agent.begun[0] > 0.1


def test_server_that_moved_is_left_to_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agent, "moves", True)
    watch = Stopwatch()
    found, agent = run(LOST)
    assert found is None
    assert len(agent.begun) == 1
    assert watch.seconds < 20


def test_lookups_end_with_the_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow DNS delays nothing and outlives nothing."""
    monkeypatch.setattr(Agent, "lookup_s", 60.0)
    new = object()
    found, agent = run(LOST, LOST, new)
    assert found is new
    assert agent.lookups == 1
    assert agent.watch.seconds < 20


def test_cancel() -> None:
    def cancel(loop: Loop, task: Any) -> None:
        loop.cancel(task)

    found, agent = run("hang", later=cancel)
    assert found is None
    assert agent.cancelled == 1


def test_news_that_change_nothing_do_not_hurry() -> None:
    """A host of containers has news all the time; the server must not pay for it."""

    def nag(loop: Loop, task: Any) -> None:
        async def forever() -> None:
            while not task.done:
                loop.poke(task)
                await loop.sleep(0.005)

        loop.spawn("nag", forever())

    found, agent = run(LOST, LOST, object(), later=nag)
    assert found is not None
    gaps = [b - a for a, b in zip(agent.begun, agent.begun[1:], strict=False)]
    assert min(gaps) >= 0.099
