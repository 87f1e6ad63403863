"""A loop that a test turns itself, and a run's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sevpn.io.loop import Loop, now_s
from sevpn.session.state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def state() -> RunState:
    return RunState(now_s())


@pytest.fixture
def turn(loop: Loop) -> Callable[..., None]:
    """Turn the loop for a little."""

    def turned(seconds: float = 0.02) -> None:
        loop.run(loop.spawn("turn", loop.sleep(seconds)))

    return turned
