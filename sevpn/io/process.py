"""What this process does to itself: secrets out of `ps` and core files, priority. Layer 2."""

from sevpn._process import forbid_core_dumps, overwrite_arguments, prefer_this_process
from sevpn.io.files import read_text

_ARG_START_FIELD = 48  # proc(5), /proc/pid/stat, counted from 1
_ARG_END_FIELD = 49
# Frames that wait for a busy host are a slow network: 15 us of a ping's 150 were that. The
# official client takes -20.
_NICE = -10


def hide_secret(secret: str) -> None:
    """Overwrite a secret given as an argument, and forbid core dumps.

    A short secret may be part of other words of the command line; those are starred too.
    """
    fields = read_text("/proc/self/stat").rpartition(")")[2].split()
    try:
        # Behind the closing parenthesis stands field 3.
        start, end = int(fields[_ARG_START_FIELD - 3]), int(fields[_ARG_END_FIELD - 3])
    except (IndexError, ValueError):
        start = end = 0
    if secret and start:
        overwrite_arguments(start, end, secret.encode("utf-8", "surrogateescape"))
    forbid_core_dumps()


def come_first() -> None:
    """Run before ordinary processes, where that is allowed and nobody chose otherwise."""
    prefer_this_process(_NICE)
