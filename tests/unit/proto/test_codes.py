"""The table of server errors: complete, readable, and the important ones by value."""

from __future__ import annotations

import pytest

from sevpn.errors import EXIT_NETWORK, EXIT_REFUSED, BusyError, ServerError
from sevpn.proto.codes import (
    CODES,
    RETRY_AT_ONCE,
    RETRY_NO,
    RETRY_SLOW,
    RETRY_YES,
    error_for,
    explain_refusal,
    retry_of,
)

# Every code of protocol.md 5.4.
LISTED = [
    *range(1, 24), 33, 49, 51, 52, 56, 63, 68, 69, 81, 85, 87, 101, 103, 104, 105, 106, 107, 108,
    109, 111, 113, 114, 115, 119, 120, 123, 124, 125, 126, 127, 128, 129, 130, 131, 138, 143, 147,
    148, 149, 150, 151, 152,
]  # fmt: skip


def test_the_table_is_the_protocols() -> None:
    assert sorted(CODES) == LISTED


@pytest.mark.parametrize("code", LISTED)
def test_each_entry_reads_well(code: int) -> None:
    meaning, remedy, retry = CODES[code]
    assert meaning
    assert meaning.isprintable()
    assert remedy.isprintable()
    assert not meaning.endswith(".")
    assert retry in {RETRY_NO, RETRY_SLOW, RETRY_YES, RETRY_AT_ONCE}
    assert retry_of(code) == retry


def test_a_wrong_password() -> None:
    error = error_for(9)
    assert isinstance(error, ServerError)
    assert error.code == 9
    assert error.exit_code == EXIT_REFUSED
    assert "password is wrong" in str(error)
    assert "-pass" in error.hint


@pytest.mark.parametrize("code", [3, 4, 7, 8, 9, 12, 107, 108])
def test_what_must_never_be_hammered(code: int) -> None:
    assert retry_of(code) == RETRY_NO


def test_slow_and_at_once() -> None:
    assert [retry_of(code) for code in (10, 16, 20, 21)] == [RETRY_SLOW] * 4
    assert [retry_of(code) for code in (13, 14)] == [RETRY_AT_ONCE] * 2


@pytest.mark.parametrize("code", [24, 999, 0xFFFFFFFF])
def test_an_unknown_code_shows_its_number(code: int) -> None:
    assert str(code) in str(error_for(code))
    assert retry_of(code) == RETRY_SLOW


def refusal(
    code: int = 9, *, plain: bool = False, password: bool = True, took_s: float = 0.1
) -> ServerError:
    return explain_refusal(
        error_for(code), plain_password=plain, has_password=password, took_s=took_s
    )


def test_temporary_refusals_are_worth_another_try() -> None:
    for code, (_, _, retry) in CODES.items():
        error = error_for(code)
        assert isinstance(error, BusyError) == (retry != RETRY_NO), code
        assert error.exit_code == (EXIT_REFUSED if retry == RETRY_NO else EXIT_NETWORK)
    assert isinstance(error_for(10), BusyError)
    assert isinstance(error_for(16), BusyError)


def test_a_wrong_password_says_what_may_be_meant() -> None:
    assert "need -plain-password" in refusal().hint
    assert "certificate" in refusal().hint
    assert "plain-password" not in refusal(plain=True).hint
    assert refusal(password=False).hint.startswith("no password was given")
    assert "password" not in refusal(8, password=False).hint


def test_a_late_refusal_is_radius_that_is_down() -> None:
    """And a directory that locks accounts is not asked again soon."""
    late = refusal(plain=True, took_s=15.0)
    assert isinstance(late, BusyError)
    assert late.patience_s >= 300
    assert "RADIUS" in late.hint
    assert not isinstance(refusal(plain=True, took_s=5.0), BusyError)
    assert not isinstance(refusal(took_s=15.0), BusyError)
