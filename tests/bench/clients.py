"""The clients that are compared: each `with contestant(...) as run` is one connected session."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

from lab import official
from lab.client import TAP, Sevpn, flags
from lab.process import status_kb, wait_for
from lab.server import LAN_IP, PASSWORD, USER
from lab.topology import SERVER_IP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.topology import Namespace

OFFICIAL_IP = "10.77.0.40"  # outside of the DHCP range
# The official client starts to use UDP about ten seconds after its login.
UDP_PATIENCE_S = 30.0


class Run(NamedTuple):
    """A connected client whose tunnel carries traffic."""

    namespace: Namespace
    pid: int
    tap: str
    address: str

    def memory_kb(self) -> tuple[int, int]:
        """Return VmRSS and RssAnon."""
        memory = status_kb(self.pid)
        return memory["VmRSS"], memory["RssAnon"]


@contextlib.contextmanager
def official_client(
    namespace: Namespace, *, udp: bool, address: str = OFFICIAL_IP, reach: str = LAN_IP
) -> Iterator[Run]:
    """The official client in one of its modes, really in it."""
    client = official.OfficialClient(namespace, SERVER_IP, USER, PASSWORD, udp_acceleration=udp)
    with client:
        namespace.ip_batch(
            f"addr add {address}/24 dev {official.TAP}\nlink set {official.TAP} up\n"
        )
        namespace.wait_ping(reach)
        if udp:
            wait_for(
                lambda: _uses_udp(client), UDP_PATIENCE_S, "the official client to use UDP", 0.3
            )
        yield Run(namespace, client.pid(), official.TAP, address)


def _uses_udp(client: official.OfficialClient) -> bool:
    rows = client.command("AccountStatusGet", "bench").splitlines()
    return any("UDP Acceleration is Active" in row and "Yes" in row for row in rows)


@contextlib.contextmanager
def sevpn(namespace: Namespace, *further: str, reach: str = LAN_IP) -> Iterator[Run]:
    """Our client, with its lease; `further` flags are added."""
    with Sevpn(namespace, *flags(*further)) as client:
        address = client.wait_address()
        namespace.wait_ping(reach)
        yield Run(namespace, client.process.pid, TAP, address)
        client.stop()


CONTESTANTS: dict[str, Callable[[Namespace], contextlib.AbstractContextManager[Run]]] = {
    "official, UDP acceleration (its default)": lambda host: official_client(host, udp=True),
    "official, TCP only (its best)": lambda host: official_client(host, udp=False),
    "sevpn": sevpn,
    "sevpn -no-offload": lambda host: sevpn(host, "-no-offload"),
}
OFFICIAL_UDP, OFFICIAL_TCP, SEVPN, PLAIN = CONTESTANTS


def wakeups(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep so far."""
    total = 0
    for status in _thread_files(pid):
        for line in status.splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def _thread_files(pid: int) -> Iterator[str]:
    from pathlib import Path

    for path in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):
            yield path.read_text(encoding="ascii", errors="replace")


def wakeups_per_minute(pid: int, seconds: float) -> float:
    """Return the wake-ups of an idle process, watched for `seconds`."""
    before, began_s = wakeups(pid), time.monotonic()
    time.sleep(seconds)
    return (wakeups(pid) - before) / (time.monotonic() - began_s) * 60
