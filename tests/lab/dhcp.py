"""dnsmasq as the DHCP (and DNS) server of the office LAN behind the hub.

`Dnsmasq(topology.server, range_=("10.77.0.50", "10.77.0.99"), options=[...])`. Its log is
`log()`; `restart(...)` changes the range or the options in mid-flight, which is how a NAK
comes about. dnsmasq gives leases of two minutes at least: `t1_s` and `t2_s` set when clients
renew and rebind, and `lab.smalldhcp` is there for shorter leases and bad manners.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from lab.process import LabError, wait_for
from lab.server import FAR_IP, LAN_IP, LAN_TAP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from lab.process import Process
    from lab.topology import Namespace

RANGE = ("10.77.0.50", "10.77.0.99")
OTHER_RANGE = ("10.77.0.150", "10.77.0.199")

GATEWAY = [f"3,{LAN_IP}"]
NAME_SERVERS = [f"6,{LAN_IP},{FAR_IP}", "15,office.test"]
# One route of every shape: the whole, 8, 12, 25 bits, one host (RFC 3442's encodings).
ROUTES = (
    ("0.0.0.0", 0),
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("198.18.5.128", 25),
    ("203.0.113.7", 32),
)


def route_option(number: int, routes: Sequence[tuple[str, int]], gateway: str = LAN_IP) -> str:
    """Return option 121 or 249 (RFC 3442) for dnsmasq; 249 needs its bytes spelt out."""
    if number == 121:
        return "121," + ",".join(f"{net}/{length},{gateway}" for net, length in routes)
    raw: list[int] = []
    for network, length in routes:
        octets = [int(part) for part in network.split(".")]
        raw += [length, *octets[: (length + 7) // 8], *map(int, gateway.split("."))]
    return f"{number}," + ":".join(f"{octet:02x}" for octet in raw)


class Dnsmasq:
    """A running dnsmasq; a context manager."""

    def __init__(
        self,
        namespace: Namespace,
        *,
        range_: tuple[str, str] = RANGE,
        lease_s: int = 600,
        t1_s: int = 0,
        t2_s: int = 0,
        options: Sequence[str] = (),
        arguments: Sequence[str] = (),
    ) -> None:
        self.namespace = namespace
        self.range_ = range_
        self.lease_s = lease_s
        self.times_s = {58: t1_s, 59: t2_s}
        self.options = list(options)
        self.arguments = list(arguments)
        self.process: Process | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._cleanup.callback(self.stop)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def command(self) -> list[str]:
        """Return the command line."""
        low, high = self.range_
        argv = [
            *("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-dhcp"),
            *("--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root"),
            *("--dhcp-authoritative", "--no-ping"),
            # Not a plain name: dnsmasq would bind to the interface, which each restart of the
            # server makes anew.
            *("--bind-dynamic", f"--interface={LAN_TAP[:-1]}*", "--except-interface=lo"),
            *("--dhcp-leasefile=/run/dnsmasq.leases", "--pid-file"),
            f"--address=/office.test/{LAN_IP}",
            f"--dhcp-range={low},{high},255.255.255.0,{self.lease_s}",
        ]
        for number, time_s in self.times_s.items():
            if time_s:
                argv.append(f"--dhcp-option-force={number},{time_s}")
        # Forced: some clients do not ask for 249, and what is tried here is what they do with it.
        argv += [f"--dhcp-option-force={option}" for option in self.options]
        return [*argv, *self.arguments]

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.process = self.namespace.start(*self.command())
        self.process.wait_line("DHCP, IP range", 5.0)
        wait_for(lambda: ":67 " in self.namespace.run("ss", "-Hlun").stdout, 5.0, "dnsmasq")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def restart(
        self,
        *,
        range_: tuple[str, str] | None = None,
        options: Sequence[str] | None = None,
        forget: bool = False,
    ) -> None:
        """Start it anew with other settings; `forget` drops the leases given so far."""
        self.stop()
        self.range_ = range_ or self.range_
        self.options = list(self.options if options is None else options)
        if forget:
            self.namespace.path("/run/dnsmasq.leases").unlink(missing_ok=True)
        self.start()

    def log(self) -> str:
        """Return what it logged since its last start."""
        return self.process.text() if self.process else ""

    def mark(self) -> int:
        """Return a place in the log, for `wait`."""
        return self._running().mark()

    def wait(self, pattern: str, timeout_s: float = 10.0, after: int = 0) -> re.Match[str]:
        """Return the match of a log line: DHCPDISCOVER, DHCPREQUEST, DHCPACK, DHCPNAK, ..."""
        return self._running().wait_line(pattern, timeout_s, after)

    def acknowledged(self) -> list[tuple[str, str]]:
        """Return (address, MAC) of every DHCPACK, in order."""
        return re.findall(r"DHCPACK\(\S+\) (\S+) (\S+)", self.log())

    def _running(self) -> Process:
        if self.process is None:
            raise LabError("dnsmasq is not running")
        return self.process
