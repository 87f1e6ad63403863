"""The two ways in which reading the arguments ends without a configuration.

Both come with the usage; where it goes is told in `usage`.
"""

from sevpn.errors import UsageError


class FlagError(UsageError):
    """The arguments cannot be read: print the text, which is Go's, then `usage`; exit 2."""

    @property
    def usage(self) -> str:
        """The usage, many lines with a newline at the end."""
        from sevpn.flags.usage import usage_text

        return usage_text()


class HelpRequested(Exception):
    """-h or -help was given: its text is the usage; exit 0."""

    def __str__(self) -> str:
        from sevpn.flags.usage import usage_text

        return usage_text()
