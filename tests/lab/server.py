"""A real SoftEther server in the server namespace, run and configured by its own tools.

`SoftEther(topology.server)` starts `vpnserver execsvc` with a small configuration file of
ours (nothing that would ask the internet, no limit on quick reconnects), then lets
`vpncmd` do the rest in one batch. Hubs: DEFAULT, bridged to the tap `tap_lan` that gets
10.77.0.1/24 and stands for the office LAN; NAT with SecureNAT and its DHCP server
(192.168.30.0/24); OFF, which is offline. A start takes about a second.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import signal
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from lab.process import LabError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from lab.process import Process
    from lab.topology import Namespace

HUB = "DEFAULT"
HUB_NAT = "NAT"
HUB_OFFLINE = "OFF"
LAN_TAP = "tap_lan"
LAN_IP = "10.77.0.1"
LAN_PREFIX_LEN = 24
FAR_IP = "203.0.113.7"  # a host behind the LAN: reachable only through the tunnel
NAT_IP = "192.168.30.1"

USER, PASSWORD = "alice", "correct horse"
USER_QUICK = "quick"  # policy TimeOut 5: the shortest dead-peer time a server may ask for
USER_ANONYMOUS = "guest"  # the server takes any password, also one sent in plain

_ADMIN_PASSWORD = "x"
_CONFIG = """declare root
{
	declare DDnsClient
	{
		bool Disabled true
	}
	declare ListenerList
	{
		declare Listener0
		{
			bool DisableDos true
			bool Enabled true
			uint Port 443
		}
		declare Listener1
		{
			bool DisableDos true
			bool Enabled true
			uint Port 992
		}
	}
	declare ServerConfiguration
	{
		bool DisableDosProtection true
		bool DisableGetHostNameWhenAcceptTcp true
		bool DisableNatTraversal true
		bool EnableVpnAzure false
		bool EnableVpnOverDns false
		bool EnableVpnOverIcmp false
		bool DontBackupConfig true
		string PortsUDP $
		bool UseKeepConnect false
	}
}
"""


class Session(NamedTuple):
    """One row of the server's session list."""

    name: str
    user: str
    source: str


class SoftEther:
    """The running server; a context manager."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.process: Process | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._cleanup.callback(self.kill)
        try:
            config = self.namespace.path("/var/lib/softether/vpn_server.config")
            config.write_text(_CONFIG, encoding="ascii")
            self.start(wait_lan=False)
            self._set_up()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def _set_up(self) -> None:
        self._vpncmd(["ServerPasswordSet " + _ADMIN_PASSWORD], password="")
        users = (USER, USER_QUICK)
        named = [line for user in users for line in self._user_lines(user, PASSWORD)]
        common = [
            *named,
            *self._create_lines(USER_ANONYMOUS),
            f"UserAnonymousSet {USER_ANONYMOUS}",
            f"UserPolicySet {USER_QUICK} /NAME:TimeOut /VALUE:5",
            "LogDisable packet",
        ]
        with contextlib.suppress(LabError):
            self.command(f"HubCreate {HUB} /PASSWORD:")
        self.command(
            f"BridgeCreate {HUB} /DEVICE:lan /TAP:yes",
            f"HubCreate {HUB_NAT} /PASSWORD:",
            f"HubCreate {HUB_OFFLINE} /PASSWORD:",
            f"Hub {HUB}",
            *common,
            f"Hub {HUB_NAT}",
            *common,
            "SecureNatEnable",
            # Else SecureNAT looks for a network of its own on the outer interface.
            "ExtOptionSet DisableKernelModeSecureNAT /VALUE:1",
            "ExtOptionSet DisableIpRawModeSecureNAT /VALUE:1",
            f"Hub {HUB_OFFLINE}",
            *common,
            "Offline",
            "Flush",
        )
        self.namespace.ip_batch(f"addr replace {FAR_IP}/32 dev lo\n")
        self._wait_lan()

    def start(self, *, wait_lan: bool = True) -> None:
        """Start the server process and wait until it listens."""
        self.process = self.namespace.start("vpnserver", "execsvc")
        self._wait(self._is_listening, "vpnserver to listen on port 443")
        if wait_lan:
            self._wait_lan()

    def _is_listening(self) -> bool:
        return ":443 " in self.namespace.run("ss", "-Hltn").stdout

    def _wait_lan(self) -> None:
        """Wait for the local bridge's tap and give it its address (it is made anew each time)."""
        self._wait(lambda: self.namespace.has_link(LAN_TAP), f"the server's {LAN_TAP}")
        self.namespace.ip_batch(
            f"addr replace {LAN_IP}/{LAN_PREFIX_LEN} dev {LAN_TAP}\nlink set {LAN_TAP} up\n"
        )

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something of the server's; when it does not come, tell what the server said."""
        try:
            wait_for(condition, 15.0, what)
        except LabError as error:
            said = [self.process.describe()] if self.process else []
            for log in sorted(self.namespace.path("/var/log/softether").rglob("*.log")):
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                said += [f"{log.name}:", *(f"  {line}" for line in lines[-20:])]
            raise LabError("\n".join([str(error), *said])) from None

    def stop(self) -> None:
        """End the server by SIGTERM, which saves its configuration."""
        if self.process is not None:
            self.process.stop(15.0)
            self.kill()

    def kill(self) -> None:
        """End the server at once, its watchdog first."""
        if self.process is not None:
            self.process.kill()
            self.process = None
        for pid in self.namespace.pids("vpnserver"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart(self) -> None:
        """Kill the server and start it again."""
        self.kill()
        self.start()

    def command(self, *lines: str, hub: str = "") -> str:
        """Run vpncmd commands as the server's administrator; return what they printed.

        Raises LabError when one fails.
        """
        select = [f"Hub {hub}"] if hub else []
        return self._vpncmd([*select, *lines], _ADMIN_PASSWORD)

    def _vpncmd(self, lines: Sequence[str], password: str) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".vpncmd", encoding="utf-8") as script:
            script.write("\n".join(lines) + "\n")
            script.flush()
            secret = [f"/PASSWORD:{password}"] if password else []
            done = self.namespace.run(
                *(
                    "env",
                    "LC_ALL=C.UTF-8",
                    "vpncmd",
                    "localhost:443",
                    "/SERVER",
                    *secret,
                    "/CSV",
                    f"/IN:{script.name}",
                ),
                check=False,
            )
        if done.returncode or re.search(r"Error code: \d+", done.stdout):
            raise LabError(f"vpncmd: {done.stdout}\n{done.stderr}")
        return done.stdout

    @staticmethod
    def _create_lines(user: str) -> list[str]:
        return [f"UserCreate {user} /GROUP:none /REALNAME:none /NOTE:none"]

    def _user_lines(self, user: str, password: str) -> list[str]:
        quoted = f'"{password}"' if password else ""
        return [*self._create_lines(user), f"UserPasswordSet {user} /PASSWORD:{quoted}"]

    def create_user(self, user: str, password: str, hub: str = HUB) -> None:
        """Add a user with a password."""
        self.command(*self._user_lines(user, password), hub=hub)

    def set_policy(self, user: str, name: str, value: str | int, hub: str = HUB) -> None:
        """Set one item of a user's policy: ("TimeOut", 5), ("DHCPForce", "yes"), ..."""
        self.command(f"UserPolicySet {user} /NAME:{name} /VALUE:{value}", hub=hub)

    def sessions(self, hub: str = HUB) -> list[Session]:
        """Return the connected sessions of people.

        Not those of SecureNAT and the bridge, and not those that have lost their connection:
        there is no logout, so the server keeps such a session until it times out.
        """
        text = self.command("SessionList", hub=hub)
        rows = list(csv.reader(io.StringIO(text)))
        start = next(n for n, row in enumerate(rows) if row and row[0] == "Session Name")
        head = rows[start]
        column = {name: number for number, name in enumerate(head)}
        return [
            Session(row[0], row[column["User Name"]], row[column["Source Host Name"]])
            for row in rows[start + 1 :]
            if len(row) == len(head)
            and row[column["User Name"]] not in {"Local Bridge", "SecureNAT"}
            and not row[column["TCP Connections"]].startswith("0 ")
        ]

    def disconnect(self, session: str, hub: str = HUB) -> None:
        """End a session as an administrator."""
        self.command(f"SessionDisconnect {session}", hub=hub)

    def hub_offline(self, hub: str = HUB) -> None:
        """Take a hub offline: its sessions end."""
        self.command("Offline", hub=hub)

    def hub_online(self, hub: str = HUB) -> None:
        """Bring a hub back."""
        self.command("Online", hub=hub)
        if hub == HUB:
            self._wait_lan()

    def set_certificate(self, cert: Path, key: Path) -> None:
        """Make the server show another certificate from the next connection on."""
        self.command(f"ServerCertSet /LOADCERT:{cert} /LOADKEY:{key}")
