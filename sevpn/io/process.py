"""What this process does to itself: secrets out of `ps` and core files, priority. Layer 2."""

from sevpn._process import forbid_core_dumps, hide_argument, hide_variable, prefer_this_process
from sevpn.io.files import read_text

_ARG_START_FIELD = 48  # proc(5), /proc/pid/stat, counted from 1
_ARG_END_FIELD = 49
_ENV_START_FIELD = 50
_ENV_END_FIELD = 51
# Frames that wait for a busy host are a slow network: 15 us of a ping's 150 were that. The
# official client takes -20.
_NICE = -10


def hide_secret() -> None:
    """Star the password in `ps`, and where the unit gave it in the environment; no core files.

    /proc/self/environ is for root and ourselves, but so are many things that end in a report.
    """
    fields = read_text("/proc/self/stat").rpartition(")")[2].split()

    def area(start: int, end: int) -> tuple[int, int]:
        try:
            # Behind the closing parenthesis stands field 3.
            return int(fields[start - 3]), int(fields[end - 3])
        except (IndexError, ValueError):
            return 0, 0

    hide_argument(*area(_ARG_START_FIELD, _ARG_END_FIELD), b"pass")
    hide_variable(*area(_ENV_START_FIELD, _ENV_END_FIELD), b"SEVPN_FLAGS")
    forbid_core_dumps()


def come_first() -> None:
    """Run before ordinary processes, where that is allowed and nobody chose otherwise."""
    prefer_this_process(_NICE)
