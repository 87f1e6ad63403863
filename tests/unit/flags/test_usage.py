"""The usage, in the form of Go's PrintDefaults."""

import pytest

from sevpn.flags import usage
from sevpn.flags.options import BOOL, DURATION, INT, OPTIONS, STRING, Option
from sevpn.flags.usage import usage_text

# Printed by Go 1.26 for the same flags.
GO_USAGE = """\
Usage of x:
  -b\tone letter, boolean
  -bb
    \ttwo letters, true (default true)
  -d duration
    \ta duration (default 1m0s)
  -i int
    \tan int (default -7)
  -q string
    \tquoted (default "a \\"b\\"\\t\\u00ad\u00f6")
  -z string
    \tzero
  -zd duration
    \tzero
  -zi int
    \tzero
"""


def test_it_is_what_go_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    options = (
        Option("z", STRING, "", "zero"),
        Option("zi", INT, "0", "zero"),
        Option("zd", DURATION, "0s", "zero"),
        Option("hidden", BOOL, "false", "not shown", is_hidden=True),
        Option("q", STRING, 'a "b"\t\u00ad\u00f6', "quoted"),
        Option("i", INT, "-7", "an int"),
        Option("d", DURATION, "1m0s", "a duration"),
        Option("bb", BOOL, "true", "two letters, true"),
        Option("b", BOOL, "false", "one letter, boolean"),
    )
    monkeypatch.setattr(usage, "OPTIONS", options)
    assert usage_text("x") == GO_USAGE


def test_every_flag_but_the_hidden_is_shown_once_and_in_order() -> None:
    lines = usage_text().splitlines()
    shown = [line.split()[0][1:] for line in lines if line.startswith("  -")]
    assert shown == sorted(option.name for option in OPTIONS if not option.is_hidden)
    assert lines[0] == "Usage of sevpn:"
    assert '    \tVirtual hub name (default "DEFAULT")' in lines
    assert "  -v\tLog more" in lines
