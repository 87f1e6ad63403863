"""The two ways in which reading the arguments ends without a configuration.

Both know the command that was read, by default sevpn itself.
"""

from sevpn.errors import UsageError

# mypy takes it for true; at run time `typing` is not loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sevpn.flags.options import Option


class FlagError(UsageError):
    """The arguments cannot be read: print the text, which is Go's, then `advice`; exit 2."""

    def __init__(
        self, message: str, program: str = "sevpn", options: "Sequence[Option] | None" = None
    ) -> None:
        super().__init__(message)
        self._program = program
        self._options = options

    @property
    def advice(self) -> str:
        """What to do, on one line."""
        from sevpn.flags.advice import advice

        return advice(str(self), self._program, self._options)


class HelpRequested(Exception):
    """-h or -help was given: its text is the help, for stdout; exit 0."""

    def __init__(self, program: str = "sevpn", options: "Sequence[Option] | None" = None) -> None:
        super().__init__()
        self._program = program
        self._options = options

    def __str__(self) -> str:
        if self._program == "sevpn":
            from sevpn.flags.help import HELP

            return HELP
        from sevpn.flags.usage import usage_text

        return usage_text(self._program, self._options)
