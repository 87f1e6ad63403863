"""Who this installation is: a MAC and an id that stay the same across runs.

Layer 3. Both are derived from what tells this machine from others: its machine-id. Without
one (OpenWrt, containers) it is the host name with a built-in network card's own address, as
many machines share a name; and that is kept where the state directory outlives a start.
"""

import _socket
import posix
import time

from sevpn._sha0 import digest
from sevpn.io.files import read_text

_MACHINE_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_KEPT_NAME = "identity"
_KEPT_HEAD = "sevpn identity 1: "  # the format's version
_VOLATILE = ("/run/", "/var/run/", "/tmp/", "/dev/shm/")  # noqa: S108 (nothing is written there)
_TURN_NAME, _TURN_PAUSE_S, _TURN_TRIES = b"\0sevpn-mac", 0.005, 100
_MAC_FIRST_BYTE = b"\x5e"  # as the official client: unicast, locally administered


def machine_name(state_dir: str) -> str:
    """Return what tells this machine from others."""
    for path in _MACHINE_FILES:
        text = read_text(path).strip()
        if text:
            return text
    kept = read_text(f"{state_dir}/{_KEPT_NAME}", 512)
    if kept.startswith(_KEPT_HEAD) and kept.endswith("\n"):
        return kept[len(_KEPT_HEAD) : -1]
    name = f"{posix.uname().nodename} {hardware_address()}".rstrip()
    if not state_dir.startswith(_VOLATILE):
        _keep(state_dir, name)
    return name


def hardware_address() -> str:
    """Return the address burnt into the first network card by name, "" without one."""
    try:
        names = posix.listdir("/sys/class/net")
    except OSError:
        names = []
    for name in sorted(names):
        place = f"/sys/class/net/{name}"
        # NET_ADDR_PERM; a card has a device, what is made by software has none.
        if read_text(f"{place}/addr_assign_type").strip() == "0":
            try:
                posix.stat(f"{place}/device")
            except OSError:
                continue
            return read_text(f"{place}/address").strip()
    return ""


def _keep(state_dir: str, name: str) -> None:
    """Write the name for the next start; that this cannot be done is no trouble."""
    path = f"{state_dir}/{_KEPT_NAME}"
    try:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        fd = posix.open(path, flags, 0o600)
    except OSError:
        return  # no such directory yet, or not ours to write
    line = f"{_KEPT_HEAD}{name}\n".encode("utf-8", "surrogateescape")
    try:
        is_whole = posix.write(fd, line) == len(line)
    except OSError:  # a full disk
        is_whole = False
    posix.close(fd)
    if not is_whole:
        # What was cut short would keep a later start from writing it.
        try:
            posix.unlink(path)
        except OSError:
            pass


def _derive(state_dir: str, purpose: str, *parts: str) -> bytes:
    # SHA-0 serves as a mixer here; nothing depends on its strength.
    text = "\0".join((purpose, machine_name(state_dir), *parts))
    return digest(text.encode("utf-8", "surrogateescape"))


def used_macs(but_of: str = "") -> set[bytes]:
    """Return the MACs of this host's interfaces, but of one, as far as /sys tells."""
    found = set()
    try:
        names = posix.listdir("/sys/class/net")
    except OSError:
        names = []
    for name in names:
        text = read_text(f"/sys/class/net/{name}/address").strip()
        try:
            mac = bytes.fromhex(text.replace(":", ""))
        except ValueError:
            continue
        if name != but_of:
            found.add(mac)
    return found


def stable_mac(
    host: str, hub: str, user: str, state_dir: str = "/run/sevpn", *, but_of: str = ""
) -> bytes:
    """Return the MAC for a session to `hub` as `user`: the same in every run.

    A second session with the same names on this host gets the next one, since a MAC must
    be unique in the hub's network (protocol.md 9.2). What the interface `but_of` has is free.
    """
    taken = used_macs(but_of)
    names = (host, hub.upper(), user.upper())
    for slot in range(64):
        mac = _MAC_FIRST_BYTE + _derive(state_dir, "mac", *names, str(slot))[:5]
        if mac not in taken:
            return mac
    return mac


class MacTurn:
    """While entered, no other run of this network namespace chooses a MAC.

    Two that begin in the same instant would both find the same one free. A name in the
    namespace of abstract sockets is what lives just where the interfaces do, needs no file
    and ends with the process. Who holds it for long is none of us, and is not waited for.
    """

    __slots__ = ("_sock",)

    def __enter__(self) -> "MacTurn":
        kind = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC
        self._sock: _socket.socket | None = None
        try:
            self._sock = _socket.socket(_socket.AF_UNIX, kind, 0)
        except OSError:
            return self  # no descriptor is left: others will say so
        for _ in range(_TURN_TRIES):
            try:
                self._sock.bind(_TURN_NAME)
                break
            except OSError:
                time.sleep(_TURN_PAUSE_S)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._sock is not None:
            self._sock.close()


def unique_id(host: str, hub: str, user: str, state_dir: str = "/run/sevpn") -> bytes:
    """Return the 16 bytes that mark this installation's sessions (protocol.md 4.4)."""
    return _derive(state_dir, "id", host, hub.upper(), user.upper())[:16]
