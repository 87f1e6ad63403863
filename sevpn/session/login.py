"""Dial and log in: from a host name to a stream in tunnel mode.

Layer 3. Drives the pure `proto.handshake` machine over a connection, follows redirects to
cluster members, and resumes a session whose connection was lost.
"""

import posix
import time

from sevpn import log
from sevpn.constants import (
    NEGOTIATION_TIMEOUT_S,
    PLAIN_LOGIN_TIMEOUT_S,
    REDIRECT_MAX_HOPS,
)
from sevpn.errors import HandshakeError, ServerError, TransportError
from sevpn.io.connect import Connection, Dialer, show
from sevpn.io.files import os_title
from sevpn.io.loop import Loop, now_s
from sevpn.io.resolve import Address, parse_literal, resolve
from sevpn.proto.handshake import Handshake
from sevpn.proto.login import AdditionalConnect, Login
from sevpn.proto.welcome import Redirect, Welcome
from sevpn.session.identity import unique_id
from sevpn.session.state import AUTHENTICATING, CONNECTING

# A resumed session has to be quick: better to try again than to wait for lost SYNs.
RESUME_CONNECT_TIMEOUT_S = 3.0
# We use one connection, but after a change of the local network the server counts the old
# one until it times out: so many changes in a row are possible, and one more.
CONNECTIONS_WANTED = 4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn.config import Config


class Established:
    """A session the server has let in: its connection and what it said."""

    __slots__ = ("certificate", "connection", "is_redirected", "product", "rest", "welcome")

    def __init__(
        self,
        connection: Connection,
        welcome: Welcome,
        rest: bytes,
        certificate: bytes,
        product: str,
        is_redirected: bool = False,
    ) -> None:
        self.connection = connection
        self.welcome = welcome
        self.rest = rest  # tunnel bytes that came behind the welcome
        self.certificate = certificate
        self.product = product
        self.is_redirected = is_redirected  # to an address that the host name does not tell


def _http_date() -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())


async def _negotiate(
    loop: Loop, connection: Connection, machine: Handshake, timeout_s: float
) -> None:
    """Turn the machine until it has a result. Raises ProtocolError, ServerError, …"""
    stream = connection.stream
    deadline_s = now_s() + timeout_s
    where = show(connection.address, connection.port)
    noops = 0
    while True:
        data = machine.bytes_to_send()
        if data:
            stream.write(data)
            while not stream.flush():
                if not await loop.writable(stream.fileno(), deadline_s):
                    raise TransportError(f"{where} takes no more data", "try again later")
        if machine.result is not None:
            return
        got = stream.read()
        if got is None:
            # The clock is asked as well: records without content may come without end.
            if now_s() >= deadline_s or not await loop.readable(stream.fileno(), deadline_s):
                raise TransportError(
                    f"no answer from {where} ({machine.state})",
                    "is this a SoftEther server? is it overloaded?",
                )
        elif got == b"":
            raise TransportError(
                f"{where} closed the connection ({machine.state})",
                "is this a SoftEther server? it also does this after many quick reconnects",
            )
        else:
            machine.receive(got)
            if machine.noops > noops:  # the server asks for patience
                noops = machine.noops
                deadline_s = now_s() + timeout_s


class LoginAgent:
    """Logs in to one hub as one user, as often as it is asked."""

    __slots__ = ("_asked_s", "_config", "_dialer", "_enter", "_has_tried", "_loop")

    def __init__(self, loop: Loop, config: "Config", enter: "Callable[[str], None]") -> None:
        self._enter = enter  # told CONNECTING and AUTHENTICATING
        self._loop = loop
        self._config = config
        from sevpn.flags.pins import parse_pin  # not needed any more afterwards

        pins = [parse_pin(text) for text in config.cert_sha256]
        self._dialer = Dialer(config.insecure, config.ca_file, pins, config.congestion)
        self._has_tried = False
        self._asked_s = 0.0  # when the password was given

    def _login(self, connection: Connection, ticket: bytes) -> Login:
        config = self._config
        return Login(
            config.hub,
            config.user,
            config.password,
            plain=config.plain_password,
            max_connection=CONNECTIONS_WANTED,
            ticket=ticket or None,
            server_name=config.host,
            server_ip=connection.address.text,
            server_port=connection.port,
            client_ip=connection.local[0],
            client_port=connection.local[1],
            hostname=posix.uname().nodename,
            os_title=os_title(),
            os_version=posix.uname().release,
            unique_id=unique_id(config.host, config.hub, config.user, config.state_dir),
        )

    async def log_in(self) -> Established:
        """Resolve, connect, log in. Raises a SevpnError that says who must act."""
        config = self._config
        self._asked_s = now_s()
        where = f"{config.host}:{config.port}"
        (log.debug if self._has_tried else log.info)(f"connecting to {where}")
        self._has_tried = True
        try:
            return await self._log_in()
        except TransportError as error:
            if any(name in posix.environ for name in (b"HTTPS_PROXY", b"https_proxy")):
                error.hint += "; HTTPS_PROXY is set, but sevpn uses no proxy yet"
            raise
        except ServerError as error:
            from sevpn.proto.codes import explain_refusal

            raise explain_refusal(
                error,
                plain_password=config.plain_password,
                has_password=bool(config.password),
                took_s=now_s() - self._asked_s,
            ) from None

    async def _log_in(self) -> Established:
        host, port = self._config.host, self._config.port
        ticket = expected_der = b""
        addresses: list[Address] | None = None
        for _hop in range(REDIRECT_MAX_HOPS + 1):
            self._enter(CONNECTING)
            connection = await self._dialer.connect(self._loop, host, port, addresses, expected_der)
            try:
                certificate = connection.stream.peer_certificate()
                log.info(
                    f"connected to {show(connection.address, port)} ({connection.stream.cipher()})"
                )
                self._enter(AUTHENTICATING)
                self._asked_s = now_s()
                machine = Handshake(
                    self._login(connection, ticket), connection.address.text, _http_date(), _random
                )
                slow = self._config.plain_password
                await _negotiate(
                    self._loop,
                    connection,
                    machine,
                    PLAIN_LOGIN_TIMEOUT_S if slow else NEGOTIATION_TIMEOUT_S,
                )
                result = machine.result
                if isinstance(result, Welcome):
                    product = str(machine.hello) if machine.hello is not None else ""
                    return Established(
                        connection, result, machine.rest, certificate, product, bool(ticket)
                    )
                if not isinstance(result, Redirect):
                    raise HandshakeError("the server's answer to the login makes no sense")
                ticket, expected_der = result.ticket, result.certificate
                host, port = result.ip, result.port(port)
                literal = parse_literal(host)
                if literal is None:
                    raise HandshakeError("the server redirects to something that is no address")
                addresses = [literal]
                log.info(f"redirected to {show(literal, port)}")
            except BaseException:
                connection.close()
                raise
            connection.close()
        raise HandshakeError(
            f"more than {REDIRECT_MAX_HOPS} redirects in a row", "tell the server's administrator"
        )

    async def resume(self, session: Established) -> Established:
        """Attach a new connection to a session that lost its own (protocol.md 6.9).

        Raises ServerError 13 or 14 when the server has forgotten it.
        """
        old = session.connection
        connection = await self._dialer.connect(
            self._loop,
            self._config.host,
            old.port,
            [old.address],
            session.certificate,
            RESUME_CONNECT_TIMEOUT_S,
        )
        try:
            machine = Handshake(
                AdditionalConnect(session.welcome.session_key),
                connection.address.text,
                _http_date(),
                _random,
            )
            await _negotiate(self._loop, connection, machine, NEGOTIATION_TIMEOUT_S)
        except BaseException:
            connection.close()
            raise
        return Established(
            connection,
            session.welcome,
            machine.rest,
            session.certificate,
            session.product,
            session.is_redirected,
        )

    async def has_moved(self, session: Established) -> bool:
        """Tell whether the server's name leads to other addresses only, by now."""
        host = self._config.host
        if session.is_redirected or parse_literal(host) is not None:
            return False
        try:
            found = await resolve(self._loop, host, self._config.port)
        except TransportError:
            return False  # no DNS, no news
        return all(address.text != session.connection.address.text for address in found)


def _random(count: int) -> bytes:
    return posix.urandom(count)
