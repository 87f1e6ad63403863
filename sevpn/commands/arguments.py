"""The flags of the sub-commands. Layer 6, pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sevpn.errors import UsageError
from sevpn.flags.goflag import defaults, parse
from sevpn.flags.options import BOOL, DURATION, STRING, Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sevpn.flags.goflag import Value

_STATE_DIR = Option("state-dir", STRING, "/run/sevpn", "The -state-dir that sevpn was started with")
_TAP = Option("tap", STRING, "", "Only the sevpn with this TAP interface (all of them if empty)")

OPTIONS = {
    "status": (
        Option("json", BOOL, "false", "Print a JSON object for each sevpn, one a line"),
        _TAP,
        _STATE_DIR,
    ),
    "wait": (
        Option("timeout", DURATION, "0s", "How long to wait at most (without limit if 0s)"),
        _TAP,
        _STATE_DIR,
    ),
    "cleanup": (
        Option("quiet", BOOL, "false", "Say nothing when there is nothing to clean up"),
        _STATE_DIR,
    ),
}


def read(command: str, argv: Sequence[str]) -> dict[str, Value]:
    """Return the value of every flag of `command`.

    Raises: FlagError, HelpRequested, UsageError for what is no flag or cannot work.
    """
    options = OPTIONS[command]
    given, rest = parse(argv, f"sevpn {command}", options)
    if rest:
        raise UsageError(
            f"sevpn {command} takes only flags, not {rest[0]!r}", f"see sevpn {command} -h"
        )
    values = defaults(options) | given
    if not values["state_dir"]:
        raise UsageError("-state-dir is empty", "leave it out for /run/sevpn")
    timeout_s = values.get("timeout", 0.0)
    if isinstance(timeout_s, float) and timeout_s < 0:
        raise UsageError("-timeout must not be negative", "give a duration, as in -timeout 30s")
    return values
