"""When a segment is dropped, with time as an argument: microseconds throughout."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sevpn._standing import StandingQueue

MS = 1000
S = 1000 * MS


class Path:
    """A queue that is `sojourn_us` deep in front of a path; `run` lets time pass."""

    def __init__(
        self, rtt_us: int, *, min_rtt_us: int = 0, rate: int = 10**6, slow_start: bool = False
    ) -> None:
        self.queue = StandingQueue()
        self.now_us = 10 * S
        self.answer_us = 0
        self.rtt_us, self.min_rtt_us = rtt_us, min_rtt_us or rtt_us
        self.rate = rate
        self.slow_start = slow_start

    def run(self, sojourn_us: int, until_us: int, growth: float = 1.0) -> list[int]:
        """Ask and answer; return the times of the drops, one segment is read each ms."""
        drops = []
        end_us = self.now_us + until_us
        while self.now_us < end_us:
            self.now_us += MS
            if self.answer_us and self.now_us >= self.answer_us:
                self.queue.answered(self.now_us)
                self.answer_us = 0
            if self.queue.wants_to_ask(self.now_us):
                self.rate = int(self.rate * growth)
                self.queue.path(
                    self.now_us, self.rtt_us, self.min_rtt_us, self.slow_start, self.rate
                )
                self.queue.asked(self.now_us)
                self.answer_us = self.now_us + sojourn_us
            if self.queue.is_overdue(self.now_us):
                drops.append(self.now_us)
        return drops


def test_what_is_short_is_never_dropped() -> None:
    assert Path(20 * MS).run(11 * MS, 10 * S) == []


@pytest.mark.parametrize("rtt_ms", [1, 20, 80, 160])
def test_a_standing_queue_is_dropped_from_after_an_interval(rtt_ms: int) -> None:
    path = Path(rtt_ms * MS)
    start_us = path.now_us
    drops = path.run(3 * rtt_ms * MS + 20 * MS, 8 * S)
    assert drops
    # A sender must have had the time to hear of the first one.
    assert drops[0] - start_us >= max(100 * MS, rtt_ms * MS)
    gaps = [late - early for early, late in pairwise(drops)]
    assert min(gaps) >= max(100, rtt_ms) * MS // 4
    assert gaps[0] > gaps[-1]


def test_distance_gives_room_to_the_sender() -> None:
    """0.6 of a round trip keeps a path of 80 ms full after a drop; that is not too much."""
    path = Path(80 * MS)
    path.run(0, 2 * S)  # its rate has not grown for long
    assert path.run(40 * MS, 5 * S) == []
    assert path.run(60 * MS, 5 * S) != []


def test_a_path_that_still_opens_is_left_alone() -> None:
    path = Path(80 * MS, slow_start=True)
    assert path.run(300 * MS, 3 * S, growth=1.2) == []
    assert path.run(300 * MS, 3 * S) != []  # it has found its rate: bbr never leaves slow start


def test_more_is_allowed_while_nothing_waits_at_a_bottleneck() -> None:
    growing = Path(80 * MS)
    assert growing.run(120 * MS, 3 * S, growth=1.1) == []
    queued = Path(110 * MS, min_rtt_us=80 * MS)
    assert queued.run(120 * MS, 3 * S, growth=1.1) != []


def test_what_waits_at_the_bottleneck_counts() -> None:
    path = Path(200 * MS, min_rtt_us=80 * MS)
    assert path.run(5 * MS, 3 * S) != []


def test_an_empty_queue_ends_it() -> None:
    path = Path(20 * MS)
    assert path.run(200 * MS, 3 * S)
    path.queue.empty()
    assert not path.queue.is_overdue(path.now_us)
    assert path.run(5 * MS, 3 * S) == []


def test_an_answer_that_never_comes() -> None:
    """While it is missing the queue is at least so old; an empty queue means it was lost."""
    queue = StandingQueue()
    queue.path(10 * S, 20 * MS, 20 * MS, False, 10**6)
    queue.asked(10 * S)
    assert not queue.wants_to_ask(11 * S)
    found = [queue.is_overdue(10 * S + at * MS) for at in range(1, 1000)]
    assert any(found)
    queue.empty()
    assert queue.wants_to_ask(12 * S)
    assert not queue.is_overdue(12 * S)


def test_without_a_path_nothing_is_judged() -> None:
    queue = StandingQueue()
    queue.asked(10 * S)
    assert not any(queue.is_overdue(10 * S + at * MS) for at in range(1, 3000))
