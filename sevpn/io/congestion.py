"""Which congestion control sends on our connection: the host's, or the one asked for.

Layer 2. It decides about what we send only; what the server sends is the server's matter.
Set after the connect, as a route's own setting (`ip route ... congctl`) wins until then.
"""

import _socket
import errno

from sevpn import log

AUTO = "auto"
# On a line that loses packets without being full (radio, far away) bbr keeps its rate where
# those that take each loss for a full line fall to a small part of it (README, "Over distance").
AUTO_NAME = "bbr"
_ALLOWED = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
_TCP_CONGESTION = 13
_NAME_BYTES = 16  # TCP_CA_NAME_MAX
_said: set[str] = set()


def of_socket(sock: _socket.socket) -> str:
    """Return the name of what is in force, "" when the kernel does not tell."""
    try:
        name = sock.getsockopt(_socket.IPPROTO_TCP, _TCP_CONGESTION, _NAME_BYTES)
    except OSError:
        return ""
    return name.split(b"\0", 1)[0].decode("ascii", "replace")


def choose(sock: _socket.socket, wanted: str) -> None:
    """Set what was asked for: a name of the kernel's, AUTO, or "" for the host's own.

    What the kernel refuses is said once: the host's own serves as well.
    """
    name = AUTO_NAME if wanted == AUTO else wanted
    if not name:
        return
    try:
        sock.setsockopt(_socket.IPPROTO_TCP, _TCP_CONGESTION, name.encode())
    except OSError as error:
        if wanted in _said:
            return
        _said.add(wanted)
        if error.errno == errno.ENOENT:
            why, hint = "this kernel has none of that name", f"modprobe tcp_{name}, if there is one"
        else:
            why, hint = str(error.strerror), f"run as root, or add {name} to {_ALLOWED}"
        say = log.info if wanted == AUTO else log.warning
        say(f"-congestion {wanted}: {name}: {why}; {of_socket(sock)} is used ({hint})")
