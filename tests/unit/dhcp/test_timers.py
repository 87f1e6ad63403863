"""Waiting times, with the figures of RFC 2131."""

import pytest

from sevpn.dhcp.timers import (
    INFINITE_S,
    lease_times,
    renewal_delay,
    restart_delay,
    retry_delay,
)


def test_retransmission_doubles_from_one_second_to_sixty_four() -> None:
    middles = [(retry_delay(sent, 0) + retry_delay(sent, 255)) / 2 for sent in range(1, 11)]
    assert middles == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64]
    assert retry_delay(1, 0) == 0.75
    assert retry_delay(4, 255) == 9.0
    assert retry_delay(10**9, 0) == 63.0


def test_the_first_restart_is_immediate_and_the_next_are_not() -> None:
    assert [restart_delay(failures, 0) for failures in (1, 2, 3)] == [0.0, 0.75, 1.5]


@pytest.mark.parametrize(
    ("t1_s", "t2_s", "expected"),
    [
        (None, None, (1800, 3150)),
        (600, 1200, (600, 1200)),
        (600, None, (600, 3150)),
        (None, 2000, (1800, 2000)),
        (3600, 3700, (1800, 3150)),
        (1200, 600, (1800, 3150)),
        (1200, 1200, (1800, 3150)),
        (0, 0, (1800, 3150)),
        (1, 2, (1800, 3150)),
        (INFINITE_S, INFINITE_S, (1800, 3150)),
    ],
)
def test_t1_and_t2(t1_s: int | None, t2_s: int | None, expected: tuple[int, int]) -> None:
    assert lease_times(3600, t1_s, t2_s) == expected


def test_an_infinite_lease_is_never_renewed() -> None:
    assert lease_times(INFINITE_S, 10, 20) == (INFINITE_S, INFINITE_S)


def test_renewal_waits_half_of_the_rest_and_at_least_a_minute() -> None:
    assert renewal_delay(2700, 2700) == 1350
    assert renewal_delay(100, 2700) == 60
    assert renewal_delay(40, 2700) == 40


def test_renewal_of_a_short_lease_still_gets_several_tries() -> None:
    # A lease of 20 s: T1 10, T2 17.5.
    at, sent = 0.0, 0
    while at < 7.5:
        sent += 1
        at += renewal_delay(7.5 - at, 7.5)
    assert sent == 3
    assert at == 7.5
