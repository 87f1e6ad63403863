"""What the user asked for: one attribute per flag.

Layer 0: knows only the flags' table; what reads the command line is imported when needed.
The order of a start is `parse_args`, then -version and -print-config, then
`flags.validate.validate`: values are judged only by what uses them.
"""

from sevpn.flags.errors import FlagError, HelpRequested
from sevpn.flags.options import COMMANDS, DURATION, OPTIONS

__all__ = ["Config", "FlagError", "HelpRequested", "parse_args", "to_json"]

# mypy takes it for true; at run time `typing` is not loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sevpn.flags.goflag import Value


class Config:
    """The flags' values; `args` are the arguments behind the flags.

    `Config(host="h", port=992)` gives every other flag its default; an attribute is named
    as the flag with `_` for `-`, but -pass is `password`. Units: durations are seconds.
    """

    __slots__ = (*(option.attribute for option in OPTIONS), "args")

    if TYPE_CHECKING:
        host: str
        user: str
        password: str
        port: int
        hub: str
        tap: str
        mac: str
        plain_password: bool
        insecure: bool
        no_dhcp: bool
        accept_default_gateway: bool
        accept_static_routes: bool
        accept_dns: bool
        policy_route_table: int
        reconnect_delay: float
        keep_inbound: bool
        reconnect_max_delay: float
        pass_file: str
        retry_refused: float
        once: bool
        ca_file: str
        cert_sha256: list[str]
        congestion: str
        state_dir: str
        dns: str
        accept_ra: bool
        no_control: bool
        v: bool
        quiet: bool
        timestamps: bool
        no_offload: bool
        print_config: bool
        version: bool
        args: list[str]

    def __init__(self, **values: "Value") -> None:
        from sevpn.flags.goflag import parse_value

        self.args = []
        for option in OPTIONS:
            setattr(self, option.attribute, parse_value(option.kind, option.default))
        for attribute, value in values.items():
            setattr(self, attribute, value)


def parse_args(argv: "Sequence[str]") -> Config:
    """Read the arguments behind the program's name; the values are not judged yet.

    Raises: FlagError (a UsageError: print it, then its `usage`; exit 2), HelpRequested
    (print its text, the usage; exit 0).
    """
    from sevpn.flags.goflag import parse

    values, args = parse(argv)
    config = Config(**values)
    config.args = args
    return config


def to_json(config: Config) -> str:
    """Return what -print-config shows: one JSON object on one line, ASCII only.

    Keys are the flags' names in the order of their table, then `args`. Units: durations are
    seconds. The password is only told to be there (`***`) or not (empty).
    """
    from sevpn import jsontext

    members: dict[str, jsontext.Json] = {}
    for option in OPTIONS:
        if option.name in COMMANDS:
            continue
        value = getattr(config, option.attribute)
        if option.name == "pass":
            value = "***" if value else ""
        elif option.kind == DURATION and value == int(value):
            value = int(value)  # 5, not 5.0
        members[option.name] = value
    members["args"] = config.args
    return jsontext.to_json(members)
