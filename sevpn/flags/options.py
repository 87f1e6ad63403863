"""The table of our flags: adding one is adding one line.

The first part is the Go tool's and must stay as it is; the second is ours. A flag whose
feature does not exist yet is not listed. Defaults are texts, read as if typed, and written
as Go would print them (`1m0s`, not `60s`), since the usage shows them.
"""

BOOL = "bool"
INT = "int"
STRING = "string"
STRINGS = "strings"  # a string that may be given again; Go's usage calls it a string, too
DURATION = "duration"


class Option:
    """One flag: `-name`, its kind, its default as text, and a line for the usage."""

    __slots__ = ("attribute", "default", "help", "is_hidden", "kind", "name")

    def __init__(
        self,
        name: str,
        kind: str,
        default: str,
        help: str,  # noqa: A002 (what it is called everywhere)
        *,
        attribute: str = "",
        is_hidden: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help
        self.attribute = attribute or name.replace("-", "_")
        self.is_hidden = is_hidden


_o = Option
# fmt: off
OPTIONS = (
    _o("host", STRING, "", "SoftEther server hostname or IP address (required)"),
    _o("user", STRING, "", "Authentication username (required)"),
    _o("pass", STRING, "", "Authentication password", attribute="password"),
    _o("port", INT, "443", "Server port"),
    _o("hub", STRING, "DEFAULT", "Virtual hub name"),
    _o("tap", STRING, "", "TAP interface name (chosen by the kernel if empty)"),
    _o("mac", STRING, "", "TAP interface MAC address, e.g. 5E:3B:6F:63:A8:3E (stable, made from machine, hub and user if empty)"),  # noqa: E501
    _o("plain-password", BOOL, "false", "Send the password as plaintext (for RADIUS or external authentication)"),  # noqa: E501
    _o("insecure", BOOL, "false", "Skip verification of the server's certificate"),
    _o("no-dhcp", BOOL, "false", "Disable the built-in DHCP client: the interface is up and bridged, nothing else is touched"),  # noqa: E501
    _o("accept-default-gateway", BOOL, "false", "Install the gateway from DHCP as default route"),
    _o("accept-static-routes", BOOL, "false", "Install the classless static routes from DHCP (options 121 and 249)"),  # noqa: E501
    _o("accept-dns", BOOL, "false", "Use the DNS servers from DHCP"),
    _o("policy-route-table", INT, "0", "Policy routing table number (0 = disabled)"),
    _o("reconnect-delay", DURATION, "5s", "Delay before the first reconnection attempt"),

    _o("keep-inbound", BOOL, "true", "With -accept-default-gateway: answer what comes in from outside the tunnel by the way it came"),  # noqa: E501
    _o("reconnect-max-delay", DURATION, "1m0s", "Longest delay between reconnection attempts, which repeated failures grow to"),  # noqa: E501
    _o("pass-file", STRING, "", "File that holds the password, - for standard input (SEVPN_PASS_FILE names one, too)"),  # noqa: E501
    _o("retry-refused", DURATION, "0s", "Wait so long after a refused login or certificate and try again (0s = end)"),  # noqa: E501
    _o("once", BOOL, "false", "End after the first failed or lost session, with its exit code, instead of reconnecting"),  # noqa: E501
    _o("ca-file", STRING, "", "File of additional certificates (PEM) to trust: a CA's, or the server's own"),  # noqa: E501
    _o("cert-sha256", STRINGS, "", "SHA-256 of the server's certificate (hex), or of its key (sha256//BASE64), to accept whatever the chain; may be repeated"),  # noqa: E501
    _o("congestion", STRING, "", "Congestion control of what is sent to the server: a name that the kernel knows, or auto (bbr, where it is known); the host's own if empty"),  # noqa: E501
    _o("state-dir", STRING, "/run/sevpn", "Directory for the journal of changes, locks and control socket"),  # noqa: E501
    _o("dns", STRING, "auto", "How -accept-dns sets DNS: auto, file, resolved, resolvconf or none"),
    _o("accept-ra", BOOL, "false", "Accept IPv6 router advertisements on the TAP"),
    _o("no-control", BOOL, "false", "Make no control socket: sevpn status and sevpn wait cannot ask this run"),  # noqa: E501
    _o("v", BOOL, "false", "Log more"),
    _o("quiet", BOOL, "false", "Log only warnings and errors"),
    _o("timestamps", BOOL, "false", "Begin each log line with the date and time"),
    _o("no-offload", BOOL, "false", "Do not use the kernel's segmentation offload on the TAP", is_hidden=True),  # noqa: E501
    _o("print-config", BOOL, "false", "Print the parsed configuration as JSON and exit"),
    _o("version", BOOL, "false", "Print the version and exit"),
)
# fmt: on

# Asked for instead of a session, so not part of what -print-config shows.
COMMANDS = ("print-config", "version")
