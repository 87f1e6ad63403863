"""Where a run stands, for the log, `sevpn status`, `sevpn wait` and systemd. Layer 3.

    connecting -> authenticating -> configuring -> ready <-> degraded
        ^                                            |          |
        +------------- reconnecting <----------------+----------+

READY means usable: the address is set and the gateway has answered (with -no-dhcp: the
tunnel stands). DEGRADED: the session stands, but the gateway does not answer.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTING = "connecting"
AUTHENTICATING = "authenticating"
CONFIGURING = "configuring"
READY = "ready"
DEGRADED = "degraded"
RECONNECTING = "reconnecting"
REFUSED = "refused"  # the login or the certificate; tried again after -retry-refused
STOPPING = "stopping"


class RunState:
    """The present state, since when, and what a person may ask about.

    `listeners` are called with the new state after each change.
    """

    __slots__ = (
        "last_error",
        "last_error_s",
        "listeners",
        "name",
        "reconnects",
        "renewals",
        "resumes",
        "since_s",
    )

    def __init__(self, now_s: float) -> None:
        self.name = CONNECTING
        self.since_s = now_s  # monotonic
        self.last_error = ""
        self.last_error_s = 0.0  # when that was
        self.reconnects = 0
        self.renewals = 0
        self.resumes = 0
        self.listeners: list[Callable[[str], None]] = []

    def enter(self, name: str, now_s: float) -> None:
        """Change to a state; nothing happens when it is the present one."""
        if name == self.name:
            return
        self.name = name
        self.since_s = now_s
        for listener in self.listeners:
            listener(name)

    def fail(self, message: str, now_s: float) -> None:
        """Note what went wrong; the state is another matter."""
        self.last_error = message
        self.last_error_s = now_s
