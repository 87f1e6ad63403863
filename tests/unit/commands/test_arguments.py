"""Flags of the sub-commands: Go's syntax, a table each."""

import pytest

from sevpn.commands.arguments import OPTIONS, read
from sevpn.errors import UsageError
from sevpn.flags.errors import FlagError, HelpRequested


def test_defaults() -> None:
    assert read("status", []) == {"json": False, "tap": "", "state_dir": "/run/sevpn"}
    assert read("wait", []) == {"timeout": 0.0, "tap": "", "state_dir": "/run/sevpn"}
    assert read("cleanup", []) == {"quiet": False, "state_dir": "/run/sevpn"}


def test_given() -> None:
    argv = ["-json", "--tap=vpn0", "-state-dir", "/x"]
    assert read("status", argv) == {"json": True, "tap": "vpn0", "state_dir": "/x"}
    assert read("wait", ["-timeout", "1m30s"])["timeout"] == 90.0


@pytest.mark.parametrize("command", OPTIONS)
def test_refused(command: str) -> None:
    with pytest.raises(FlagError, match="^flag provided but not defined: -host$") as caught:
        read(command, ["-host", "x"])
    assert caught.value.advice == f"see sevpn {command} -h"
    with pytest.raises(HelpRequested, match=f"^Usage of sevpn {command}:\n"):
        read(command, ["-h"])
    with pytest.raises(UsageError, match="takes only flags, not 'vpn0'"):
        read(command, ["vpn0"])
    with pytest.raises(UsageError, match="-state-dir is empty"):
        read(command, ["-state-dir", ""])


def test_a_timeout_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="must not be negative"):
        read("wait", ["-timeout", "-1s"])
    with pytest.raises(FlagError, match='invalid value "5" for flag -timeout'):
        read("wait", ["-timeout", "5"])
