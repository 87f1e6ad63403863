"""Run one coroutine on a loop of its own and give back what it returns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from sevpn.io.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")


def run(make: Callable[[Loop], Coroutine[Any, Any, T]]) -> T:
    """Run `make(loop)` to its end; raises what it raises."""
    loop = Loop()
    found: list[T] = []

    async def main() -> None:
        found.append(await make(loop))

    try:
        loop.run(loop.spawn("main", main()))
    finally:
        loop.close()
    return found[0]


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun_s
