"""The parts of a run that can be asked about. Layer 5."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn._bridge import Bridge
    from sevpn.config import Config
    from sevpn.session.leasing import LeaseKeeper
    from sevpn.session.login import Established
    from sevpn.session.network import Network
    from sevpn.session.roaming import Roamer
    from sevpn.session.state import RunState


class View:
    """References only: what is read is always the present.

    `session` is the one that is established now; the supervisor keeps it up to date.
    """

    __slots__ = (
        "bridge",
        "config",
        "keeper",
        "mac",
        "network",
        "roamer",
        "session",
        "started_s",
        "state",
        "tap_name",
    )

    def __init__(
        self,
        config: "Config",
        state: "RunState",
        tap_name: str,
        mac: bytes,
        bridge: "Bridge",
        network: "Network",
        keeper: "LeaseKeeper | None",
        roamer: "Roamer",
        started_s: float,
    ) -> None:
        self.config = config
        self.state = state
        self.tap_name = tap_name
        self.mac = mac
        self.bridge = bridge
        self.network = network
        self.keeper = keeper  # None with -no-dhcp
        self.roamer = roamer
        self.started_s = started_s
        self.session: Established | None = None
