"""Who this installation is: a MAC and an id that stay the same across runs.

Layer 3. Both are derived, nothing is stored: a read-only container keeps them too.
"""

import posix

from sevpn._sha0 import digest
from sevpn.io.files import read_text

_MACHINE_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_MAC_FIRST_BYTE = b"\x5e"  # as the official client: unicast, locally administered


def machine_name() -> str:
    """Return what tells this machine from others: its machine-id, else its host name."""
    for path in _MACHINE_FILES:
        text = read_text(path).strip()
        if text:
            return text
    return posix.uname().nodename


def _derive(purpose: str, *parts: str) -> bytes:
    # SHA-0 serves as a mixer here; nothing depends on its strength.
    return digest("\0".join((purpose, machine_name(), *parts)).encode("utf-8", "surrogateescape"))


def used_macs() -> set[bytes]:
    """Return the MACs of this host's interfaces, as far as /sys tells."""
    found = set()
    try:
        names = posix.listdir("/sys/class/net")
    except OSError:
        names = []
    for name in names:
        text = read_text(f"/sys/class/net/{name}/address").strip()
        try:
            found.add(bytes.fromhex(text.replace(":", "")))
        except ValueError:
            continue
    return found


def stable_mac(host: str, hub: str, user: str) -> bytes:
    """Return the MAC for a session to `hub` as `user`: the same in every run.

    A second session with the same names on this host gets the next one, since a MAC must
    be unique in the hub's network (protocol.md 9.2).
    """
    taken = used_macs()
    for slot in range(64):
        mac = _MAC_FIRST_BYTE + _derive("mac", host, hub.upper(), user.upper(), str(slot))[:5]
        if mac not in taken:
            return mac
    return mac


def unique_id(host: str, hub: str, user: str) -> bytes:
    """Return the 16 bytes that mark this installation's sessions (protocol.md 4.4)."""
    return _derive("id", host, hub.upper(), user.upper())[:16]
