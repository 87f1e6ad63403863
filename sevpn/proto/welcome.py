"""The server's answer to our login: a Welcome, a redirect, a refusal, or "wait".

Layer 1, pure. Source: protocol.md 5.
"""

from __future__ import annotations

from sevpn.constants import (
    SESSION_KEY_BYTES,
    TICKET_BYTES,
    TIMEOUT_DEFAULT_MS,
    TIMEOUT_MAX_MS,
    TIMEOUT_MIN_MS,
)
from sevpn.errors import HandshakeError
from sevpn.log import clean
from sevpn.proto.reply import is_noop, raise_refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.proto.pack import Pack

NAME_MAX_CHARACTERS = 255
MESSAGE_MAX_BYTES = 8_000  # an operator's message may have 80 kB; we show its start
CONNECTIONS_MAX = 32  # protocol.md 5.1
PORTS_MAX = 64
CERTIFICATE_MAX_BYTES = 100_000

DIRECTION_BOTH = 0  # protocol.md 6.8
DIRECTION_TO_CLIENT = 1
DIRECTION_TO_SERVER = 2

# protocol.md 5.2. Spelled by us, so that a peer's spelling and inventions stay outside.
POLICY_NAMES = (
    "Access DHCPFilter DHCPNoServer DHCPForce NoBridge NoRouting PrivacyFilter NoServer "
    "CheckMac CheckIP ArpDhcpOnly MonitorPort NoBroadcastLimiter FixPassword NoQoS "
    "RSandRAFilter RAFilter DHCPv6Filter DHCPv6NoServer NoRoutingV6 CheckIPv6 NoServerV6 "
    "NoSavePassword FilterIPv4 FilterIPv6 FilterNonIP NoIPv6DefaultRouterInRA "
    "NoIPv6DefaultRouterInRAWhenIPv6 Ver3 MaxConnection TimeOut MaxMac MaxIP MaxUpload "
    "MaxDownload MultiLogins MaxIPv6 AutoDisconnect VLanId"
)


class Welcome:
    """A session was granted; the tunnel starts with the next byte.

    `session_name`, `connection_name`: cleaned text. `session_key`: 20 bytes, secret.
    `max_connection`: 1..32. `timeout_ms`: 5000..60000. `half_connection`,
    `use_compress`, `qos`, `udp` (UDP acceleration): what the server decided.
    `vlan_id`: 0 = none. `message`: cleaned text of the operator, maybe "".
    `policy`: name of protocol.md 5.2 -> number, only those that were sent.
    """

    __slots__ = (
        "connection_name",
        "half_connection",
        "max_connection",
        "message",
        "policy",
        "qos",
        "session_key",
        "session_name",
        "timeout_ms",
        "udp",
        "use_compress",
        "vlan_id",
    )

    def __init__(self, pack: Pack) -> None:
        """Raises HandshakeError if the Pack is no Welcome, or one without encryption."""
        self.session_name = clean(pack.str("session_name"), NAME_MAX_CHARACTERS)
        self.connection_name = clean(pack.str("connection_name"), NAME_MAX_CHARACTERS)
        self.session_key = pack.data("session_key")
        if not self.session_name or not self.connection_name:
            raise HandshakeError("the server's welcome names no session")
        if len(self.session_key) != SESSION_KEY_BYTES:
            raise HandshakeError(f"the server's welcome has no {SESSION_KEY_BYTES}-byte key")
        if not pack.int("use_encrypt"):
            raise HandshakeError(
                "the server refuses to encrypt the tunnel",
                "ask its operator to allow encryption; sevpn sends nothing in the clear",
            )
        self.max_connection = min(max(pack.int("max_connection"), 1), CONNECTIONS_MAX)
        timeout_ms = pack.int("timeout") or TIMEOUT_DEFAULT_MS
        self.timeout_ms = min(max(timeout_ms, TIMEOUT_MIN_MS), TIMEOUT_MAX_MS)
        self.half_connection = pack.int("half_connection") != 0
        self.use_compress = pack.int("use_compress") != 0
        self.qos = pack.int("qos") != 0
        self.udp = pack.int("use_udp_acceleration") != 0
        self.vlan_id = pack.int("vlan_id")
        self.message = _message(pack)
        self.policy = _policy(pack)


class Redirect:
    """The cluster's controller sends us to a member.

    `ip`: dotted quad. `ports`: at least one. `ticket`: 20 bytes, good once within 60 s.
    `certificate`: the DER bytes that the member must present. `message`: cleaned.
    """

    __slots__ = ("certificate", "ip", "message", "ports", "ticket")

    def __init__(self, pack: Pack) -> None:
        """Raises HandshakeError if the redirect lacks anything."""
        ip = pack.ip("Ip")
        if ip is None or ip == "0.0.0.0":
            raise HandshakeError("the server redirects to no IPv4 address")
        self.ip = ip
        self.ports = [port for port in pack.ints("Port")[:PORTS_MAX] if 0 < port < 65536]
        if not self.ports:
            raise HandshakeError(f"the server redirects to no port of {ip}")
        self.ticket = pack.data("Ticket")
        if len(self.ticket) != TICKET_BYTES:
            raise HandshakeError(f"the server redirects to {ip} without a ticket")
        self.certificate = pack.data("Cert")
        if not 0 < len(self.certificate) <= CERTIFICATE_MAX_BYTES:
            raise HandshakeError(f"the server redirects to {ip} without its certificate")
        self.message = _message(pack)

    def port(self, current: int) -> int:
        """Return the port to use: the current one if the member has it, else its first."""
        return current if current in self.ports else self.ports[0]


class Resumed:
    """An additional connection was taken; `direction` is DIRECTION_BOTH unless half duplex."""

    __slots__ = ("direction",)

    def __init__(self, direction: int) -> None:
        self.direction = direction


def parse_reply(pack: Pack) -> Welcome | Redirect | None:
    """Read the answer to a login; None means "wait for the next one" (noop).

    Raises ServerError for a refusal, HandshakeError for an answer that cannot be used.
    """
    if is_noop(pack):
        return None
    raise_refusal(pack)
    if pack.int("Redirect"):
        return Redirect(pack)
    return Welcome(pack)


def parse_additional_reply(pack: Pack) -> Resumed | None:
    """Read the answer to an additional connection; None as in `parse_reply`.

    Raises ServerError (13, 14: log in anew; 15: keep the session, add no more),
    HandshakeError for a direction that does not exist.
    """
    if is_noop(pack):
        return None
    raise_refusal(pack)
    direction = pack.int("direction")
    if direction > DIRECTION_TO_SERVER:
        raise HandshakeError(f"the server gave a connection the unknown direction {direction}")
    return Resumed(direction)


def _message(pack: Pack) -> str:
    raw = pack.data("Msg")[:MESSAGE_MAX_BYTES]
    return clean(raw.decode("utf-8", "replace")).strip()


def _policy(pack: Pack) -> dict[str, int]:
    absent = -1
    policy = {}
    for name in POLICY_NAMES.split():
        value = pack.int(f"policy:{name}", absent)
        if value != absent:
            policy[name] = value
    return policy
