"""The official client (Debian's softether-vpnclient) in the client namespace, to compare with.

It makes the TAP `vpn_lab`; who uses it gives that an address. Its TCP-only mode is its
fastest; `udp_acceleration=True` is its default.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from lab.process import LabError, status_kb, wait_for

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lab.process import Process
    from lab.topology import Namespace

TAP = "vpn_lab"
_ACCOUNT = "bench"


class OfficialClient:
    """vpnclient with one connected account; a context manager."""

    def __init__(
        self,
        namespace: Namespace,
        host: str,
        user: str,
        password: str,
        *,
        hub: str = "DEFAULT",
        udp_acceleration: bool = False,
    ) -> None:
        self.namespace = namespace
        self.account = (host, user, password, hub)
        self.udp_acceleration = udp_acceleration
        self.process: Process
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._cleanup.callback(self.close)
        try:
            self.process = self.namespace.start("vpnclient", "execsvc")
            wait_for(
                lambda: ":9931 " in self.namespace.run("ss", "-Hltn").stdout, 15.0, "vpnclient"
            )
            # It listens before it answers, or is the one before it that is about to end.
            wait_for(self._answers, 15.0, "vpnclient to answer", 0.2)
            self._connect()
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

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
        for pid in self.namespace.pids("vpnclient"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.namespace.has_link(TAP), 5.0, "the official client's end")
        self.namespace.path("/var/lib/softether/vpn_client.config").unlink(missing_ok=True)

    def command(self, *words: str, check: bool = True) -> str:
        """Run one vpncmd command of the client; return what it printed."""
        done = self.namespace.run("vpncmd", "localhost", "/CLIENT", "/CMD", *words, check=False)
        if check and done.returncode:
            raise LabError(f"vpncmd {words}: {done.stdout}")
        return done.stdout

    def _answers(self) -> bool:
        return "Error code" not in self.command("VersionGet", check=False)

    def _connect(self) -> None:
        host, user, password, hub = self.account
        self.command("NicCreate", TAP.removeprefix("vpn_"))
        self.command(
            *("AccountCreate", _ACCOUNT, f"/SERVER:{host}:443", f"/HUB:{hub}"),
            *(f"/USERNAME:{user}", f"/NICNAME:{TAP.removeprefix('vpn_')}"),
        )
        self.command("AccountPasswordSet", _ACCOUNT, f"/PASSWORD:{password}", "/TYPE:standard")
        if not self.udp_acceleration:
            self._switch_udp_off()
        self.command("AccountConnect", _ACCOUNT)
        wait_for(self._is_connected, 20.0, "the official client's session", 0.2)

    def _is_connected(self) -> bool:
        status = self.command("AccountStatusGet", _ACCOUNT, check=False)
        return "Session Established" in status

    def _switch_udp_off(self) -> None:
        """Export the account, change the setting, import it: there is no command for it."""
        # vpncmd takes only a path relative to where it runs: the root of the namespace.
        exported = self.namespace.path("/run/account.vpn")
        self.command("AccountExport", _ACCOUNT, "/SAVEPATH:run/account.vpn")
        text = exported.read_text(encoding="utf-8-sig")
        exported.write_text(
            text.replace("NoUdpAcceleration false", "NoUdpAcceleration true"),
            encoding="utf-8-sig",
        )
        self.command("AccountDelete", _ACCOUNT)
        self.command("AccountImport", "run/account.vpn")

    def pid(self) -> int:
        """Return the process that moves the frames (the watchdog's child)."""
        return max(self.namespace.pids("vpnclient"), key=lambda pid: status_kb(pid)["VmRSS"])
