"""Our login: who we are, what we ask for, what we tell of ourselves.

Layer 1, pure. The set of elements is the recommended one of protocol.md 4.4. We always
ask for encryption and never for compression, half duplex, QoS or bridge mode: frames
then travel as they are, both ways on one connection.
"""

from __future__ import annotations

from sevpn import _sha0
from sevpn.constants import CLIENT_BUILD, CLIENT_NAME, CLIENT_VERSION, SESSION_KEY_BYTES
from sevpn.errors import HandshakeError, UsageError
from sevpn.proto.address import ipv6_bytes
from sevpn.proto.auth import hash_password, secure_password, wire_bytes
from sevpn.proto.pack import Pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.proto.hello import Hello

AUTH_ANONYMOUS = 0  # protocol.md 4.2
AUTH_PASSWORD = 1
AUTH_PLAIN_PASSWORD = 2
AUTH_TICKET = 99

TEXT_MAX_BYTES = 255  # hub, user, password (protocol.md 4.1)


class Login:
    """What a login needs; plain attributes, to be set before the handshake starts.

    Auth, the first that applies: `ticket` (20 bytes, after a redirect) -> ticket;
    `plain` -> the password itself; `hashed_password` (20 bytes) or `password` (also "")
    -> hashed; all None -> anonymous.

    The rest is shown to the server's operator only: `server_name` as configured,
    addresses as text (IPv4 or IPv6) and ports of this TCP connection, `hostname`,
    `os_title`, `os_version`; and `unique_id`, 16 stable random bytes of this
    installation or b"": sessions that share it are not counted against each other.
    """

    __slots__ = (
        "client_ip",
        "client_port",
        "hashed_password",
        "hostname",
        "hub",
        "max_connection",
        "os_title",
        "os_version",
        "password",
        "plain",
        "server_ip",
        "server_name",
        "server_port",
        "ticket",
        "unique_id",
        "user",
    )

    def __init__(
        self,
        hub: str,
        user: str,
        password: str | None = None,
        *,
        hashed_password: bytes | None = None,
        plain: bool = False,
        ticket: bytes | None = None,
        max_connection: int = 1,
        server_name: str = "",
        server_ip: str = "0.0.0.0",
        server_port: int = 443,
        client_ip: str = "0.0.0.0",
        client_port: int = 0,
        hostname: str = "",
        os_title: str = "Linux",
        os_version: str = "",
        unique_id: bytes = b"",
    ) -> None:
        """Raises UsageError for a hub, user or password over 255 bytes."""
        for what, text in (("hub", hub), ("user name", user), ("password", password or "")):
            if len(wire_bytes(text)) > TEXT_MAX_BYTES:
                raise UsageError(f"the {what} is longer than {TEXT_MAX_BYTES} bytes")
        self.hub = hub
        self.user = user
        self.password = password
        self.hashed_password = hashed_password
        self.plain = plain
        self.ticket = ticket
        self.max_connection = max_connection
        self.server_name = server_name
        self.server_ip = server_ip
        self.server_port = server_port
        self.client_ip = client_ip
        self.client_port = client_port
        self.hostname = hostname
        self.os_title = os_title
        self.os_version = os_version
        self.unique_id = unique_id

    def with_ticket(self, ticket: bytes) -> Login:
        """Return the same login for the cluster member that a redirect names."""
        login = Login(self.hub, self.user)
        for name in self.__slots__:
            setattr(login, name, getattr(self, name))
        login.ticket = ticket
        return login


class AdditionalConnect:
    """Join or resume a session on a new connection (protocol.md 6.7, 6.9)."""

    __slots__ = ("session_key",)

    def __init__(self, session_key: bytes) -> None:
        if len(session_key) != SESSION_KEY_BYTES:
            raise HandshakeError(f"a session key has {SESSION_KEY_BYTES} bytes")
        self.session_key = session_key


def build_login(login: Login, hello: Hello, padding: bytes) -> Pack:
    """Return the login Pack that answers `hello`; `padding` is 0..999 random bytes.

    Raises HandshakeError for `plain` without a password, ValueError for addresses that
    are none.
    """
    pack = Pack()
    pack.add_str("method", "login")
    pack.add_str("hubname", login.hub)
    pack.add_str("username", login.user)
    _add_auth(pack, login, hello)
    _add_client(pack)
    pack.add_str("hello", CLIENT_NAME)
    pack.add_int("version", CLIENT_VERSION)
    pack.add_int("build", CLIENT_BUILD)
    pack.add_int("client_id", 0)
    pack.add_int("protocol", 0)
    pack.add_int("max_connection", login.max_connection)
    pack.add_int("use_encrypt", 1)  # absent or 0 would mean a tunnel in the clear
    pack.add_int("use_compress", 0)
    pack.add_int("half_connection", 0)
    pack.add_int("qos", 0)
    pack.add_int("require_bridge_routing_mode", 0)
    pack.add_int("require_monitor_mode", 0)
    if login.unique_id:
        pack.add_data("unique_id", _sha0.digest(login.unique_id))
    _add_node(pack, login, hello)
    _add_os(pack, login)
    pack.add_data("pencore", padding)
    return pack


def build_additional(connect: AdditionalConnect, padding: bytes) -> Pack:
    """Return the Pack that joins a session; `padding` is 0..999 random bytes."""
    pack = Pack()
    pack.add_str("method", "additional_connect")
    pack.add_data("session_key", connect.session_key)
    _add_client(pack)
    pack.add_data("pencore", padding)
    return pack


def build_acknowledgement(padding: bytes) -> Pack:
    """Return the Pack that answers a redirect: padding only (protocol.md 5.3)."""
    pack = Pack()
    pack.add_data("pencore", padding)
    return pack


def _add_auth(pack: Pack, login: Login, hello: Hello) -> None:
    if login.ticket is not None:
        pack.add_int("authtype", AUTH_TICKET)
        pack.add_data("ticket", login.ticket)
    elif login.plain:
        if login.password is None:
            raise HandshakeError("a plain login needs the password itself", "give -pass")
        pack.add_int("authtype", AUTH_PLAIN_PASSWORD)
        pack.add_str("plain_password", login.password)
    elif login.hashed_password is not None:
        pack.add_int("authtype", AUTH_PASSWORD)
        pack.add_data("secure_password", secure_password(login.hashed_password, hello.random))
    elif login.password is not None:
        hashed = hash_password(login.password, login.user)
        pack.add_int("authtype", AUTH_PASSWORD)
        pack.add_data("secure_password", secure_password(hashed, hello.random))
    else:
        pack.add_int("authtype", AUTH_ANONYMOUS)


def _add_client(pack: Pack) -> None:
    pack.add_str("client_str", CLIENT_NAME)
    pack.add_int("client_ver", CLIENT_VERSION)
    pack.add_int("client_build", CLIENT_BUILD)


def _add_node(pack: Pack, login: Login, hello: Hello) -> None:
    """Add the node block. `HubName` is left out: it would repeat `hubname`."""
    pack.add_str("ClientProductName", CLIENT_NAME)
    pack.add_str("ServerProductName", hello.product)
    pack.add_str("ClientOsName", login.os_title)
    pack.add_str("ClientOsVer", login.os_version)
    pack.add_str("ClientOsProductId", "--")
    pack.add_str("ClientHostname", login.hostname)
    pack.add_str("ServerHostname", login.server_name)
    pack.add_str("ProxyHostname", "")
    pack.add_int("ClientProductVer", _swapped(CLIENT_VERSION))
    pack.add_int("ClientProductBuild", _swapped(CLIENT_BUILD))
    pack.add_int("ServerProductVer", _swapped(hello.version))
    pack.add_int("ServerProductBuild", _swapped(hello.build))
    pack.add_int("ClientPort", _swapped(login.client_port))
    pack.add_int("ServerPort2", _swapped(login.server_port))
    pack.add_int("ProxyPort", 0)
    _add_address(pack, "ClientIpAddress", login.client_ip)
    _add_address(pack, "ServerIpAddress", login.server_ip)
    _add_address(pack, "ProxyIpAddress", "0.0.0.0")
    if login.unique_id:
        pack.add_data("UniqueId", login.unique_id)


def _add_os(pack: Pack, login: Login) -> None:
    names = "IsWindows IsNT IsServer IsBeta VerMajor VerMinor Build ServicePack"
    for name in names.split():
        pack.add_int(f"V_{name}", 0)
    pack.add_str("V_Title", login.os_title)


def _add_address(pack: Pack, name: str, address: str) -> None:
    """Add both forms of a node block's address: the group is 0 for IPv6."""
    is_ipv6 = ":" in address
    pack.add_ip(name, "0.0.0.0" if is_ipv6 else address)
    pack.add_data(f"{name}6", ipv6_bytes(address) if is_ipv6 else bytes(16))


def _swapped(value: int) -> int:
    """Return a u32 with its bytes reversed: the node block is little-endian (4.4)."""
    return int.from_bytes(value.to_bytes(4, "little"), "big")
