"""The whole exception tree and the exit codes.

Layer 0: imports nothing. The class of an error says who must act; the supervisor
decides from the class alone whether to retry. Every message is one line; `hint` is
the next thing to try.
"""

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_HOST = 4
EXIT_NETWORK = 5
EXIT_CERTIFICATE = 6
EXIT_PROTOCOL = 7
EXIT_LEASE = 8
EXIT_NOT_READY = 9  # sevpn wait: the time is up
EXIT_NOT_RUNNING = 10  # sevpn status, sevpn wait: there is nobody to ask


class SevpnError(Exception):
    """Base of every error a user or the network can cause; never raised itself.

    `str(error)` is one line for a person; `hint` the next thing to try ("" = none).
    """

    exit_code = EXIT_INTERNAL
    patience_s = 0.0  # the least time before another try makes sense

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(SevpnError):
    """The user must act: a flag or its value is wrong."""

    exit_code = EXIT_USAGE


class ProtocolError(SevpnError):
    """The peer does not speak the protocol, or broke it."""

    exit_code = EXIT_PROTOCOL


class PackError(ProtocolError):
    """Bytes that are no Pack (protocol.md 2), or values that cannot be one."""


class BlockError(ProtocolError):
    """A tunnel stream that breaks the framing (protocol.md 6.2)."""


class HttpError(ProtocolError):
    """An answer that is not the HTTP this protocol uses (protocol.md 1.3)."""


class HandshakeError(ProtocolError):
    """A Hello, Welcome or redirect that lacks what it must have."""


class ServerError(SevpnError):
    """The server refused: `code` is its number of protocol.md 5.4."""

    exit_code = EXIT_REFUSED

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


class BusyError(ServerError):
    """The server refused for now: the hub is offline, a limit is reached. Worth another try."""

    exit_code = EXIT_NETWORK


class LeaseError(SevpnError):
    """No DHCP server offered a usable lease."""

    exit_code = EXIT_LEASE


class TransportError(SevpnError):
    """The network must change: resolving, connecting, TLS, or a lost connection."""

    exit_code = EXIT_NETWORK


class CertificateError(SevpnError):
    """The server's certificate was not accepted."""

    exit_code = EXIT_CERTIFICATE


class HostError(SevpnError):
    """This host must change: no TUN, no permission, a refused netlink message."""

    exit_code = EXIT_HOST

    def __init__(self, message: str, hint: str = "", errno: int = 0) -> None:
        super().__init__(message, hint)
        self.errno = errno


class NotReadyError(SevpnError):
    """The time to wait for a usable session is up."""

    exit_code = EXIT_NOT_READY


class NotRunningError(SevpnError):
    """No sevpn runs that could be asked."""

    exit_code = EXIT_NOT_RUNNING
