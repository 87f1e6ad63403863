"""The log: one clean line per event, levels, time stamps, a lost stderr."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevpn import log


@pytest.fixture(autouse=True)
def usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "level", log.NORMAL)
    monkeypatch.setattr(log, "timestamps", False)


@given(st.text(), st.integers(0, 50))
def test_clean_gives_one_printable_line(text: str, limit: int) -> None:
    cleaned = log.clean(text, limit)
    assert cleaned.isprintable()
    assert len(cleaned) == min(len(text), limit)
    assert log.clean(cleaned, limit) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain ä 日本", "plain ä 日本"),
        ("a\r\nb\tc\0", "a  b c "),
        ("\x1b[31mred", " [31mred"),
        ("\x9b31m", " 31m"),
        ("left\u202eright", "left right"),
        ("line\u2028separator", "line separator"),
        ("\udcff", " "),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert log.clean(text) == cleaned


def test_clean_is_bounded() -> None:
    assert len(log.clean("x" * 1_000_000)) == 2000


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (log.QUIET, ["warning: w", "error: e (hint)"]),
        (log.NORMAL, ["i", "warning: w", "error: e (hint)"]),
        (log.VERBOSE, ["d", "i", "warning: w", "error: e (hint)"]),
    ],
)
def test_levels(
    level: int,
    shown: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(log, "level", level)
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e", "hint")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == shown
    assert captured.out == ""


def test_error_without_hint(capsys: pytest.CaptureFixture[str]) -> None:
    log.error("e")
    assert capsys.readouterr().err == "error: e\n"


def test_every_line_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    log.error("one\nerror: forged", "\x1b[2J")
    assert capsys.readouterr().err == "error: one error: forged ( [2J)\n"


def test_time_stamps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(log, "timestamps", True)
    log.info("event")
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d event\n", line)


class BrokenStream:
    def write(self, text: str) -> None:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, BrokenStream()])
def test_lost_stderr(stream: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    log.error("nobody reads this")


def test_the_journal_gets_priorities(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "is_journal", True)
    log.info("a")
    log.warning("b")
    log.error("c", "d")
    assert capsys.readouterr().err == "<6>a\n<4>warning: b\n<3>error: c (d)\n"
