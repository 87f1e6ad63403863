"""The kill runner, a scripted server and the host they work on, as one thing to test with."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.client import TAP
from lab.topology import CLIENT_GATEWAY, SERVER_IP
from support.kill_runner import OTHER_GATEWAY
from support.tls_certs import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.topology import Topology

TESTS = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
PORT = 8443
STATE_DIR = "/run/sevpn"
EVERYTHING = (
    *("-accept-default-gateway", "-accept-static-routes", "-accept-dns"),
    *("-policy-route-table", "200"),
)
RESOLV = "/etc/resolv.conf"
# Together with a value; a kernel without IPv6 has no such switch.
_ACCEPT_RA = ("sh", "-c", "echo $1 >/proc/sys/net/ipv6/conf/default/accept_ra", "sh")


class Answer(NamedTuple):
    """How a run ended: its exit code (-9 = killed), the step it died or failed at, its log."""

    code: int
    step: str
    steps: int
    log: str


class KillRig:
    """Orders runs of the whole program in the client's namespace."""

    def __init__(self, topology: Topology, runner: subprocess.Popen[str]) -> None:
        self.host = topology.client
        self._topology = topology
        self._runner = runner

    def order(self, **order: Any) -> Answer:
        """Have something done."""
        assert self._runner.stdin is not None
        assert self._runner.stdout is not None
        self._runner.stdin.write(json.dumps(order) + "\n")
        self._runner.stdin.flush()
        line = self._runner.stdout.readline()
        assert line, f"the runner ended: {self._runner.poll()}"
        return Answer(**json.loads(line))

    def run(self, phase: str, at: int = -1, errno: int = 0, **order: Any) -> Answer:
        """Run sevpn; at step `at` of a phase it is killed, or the step fails with `errno`."""
        arguments = [
            *("-host", SERVER_IP, "-port", str(PORT), "-user", phase, "-pass", "x", "-insecure"),
            *("-tap", TAP, "-reconnect-delay", "10ms", *EVERYTHING),
        ]
        return self.order(do="run", phase=phase, arguments=arguments, at=at, errno=errno, **order)

    def cleanup(self) -> Answer:
        """Do what `sevpn cleanup` does."""
        return self.order(do="cleanup")

    def state_files(self) -> list[str]:
        """Return what is in the state directory."""
        directory = self.host.path(STATE_DIR)
        return sorted(os.listdir(directory)) if directory.exists() else []

    def remove_other_gateway(self) -> None:
        """Take back what the phase "roam" did to the host's network."""
        way = ("default", "via", OTHER_GATEWAY, "metric", "60")
        self.host.run("ip", "route", "del", *way, check=False)

    def make_resolv(self, kind: str) -> None:
        """Make resolv.conf a "file", a "symlink" or a "mount"."""
        self._topology.restore_resolv_conf()
        path = self.host.path(RESOLV)
        if kind == "symlink":
            path.unlink()
            self.host.path("/run/stub.conf").write_text("nameserver 127.0.0.53\n")
            path.symlink_to("/run/stub.conf")
        elif kind == "mount":
            self.host.path("/run/mounted.conf").write_text(f"nameserver {CLIENT_GATEWAY}\n")
            self.host.run("mount", "--bind", "/run/mounted.conf", RESOLV)


@contextlib.contextmanager
def kill_rig(topology: Topology) -> Iterator[KillRig]:
    """Start server and runner; everything is gone and as before at the end."""
    good = certificates().good
    server = topology.server.start(
        *(sys.executable, "-m", "support.scripted_server"),
        *(str(PORT), str(good.cert), str(good.key)),
        env=ENVIRONMENT,
    )
    runner = None
    router = topology.router
    try:
        server.wait_line("^listening$", 10.0)
        router.ip_batch(f"addr add {OTHER_GATEWAY}/24 dev c0\n")
        topology.client.run(*_ACCEPT_RA, "1", check=False)  # as on most hosts
        directory = topology.scratch / "kill"
        directory.mkdir(exist_ok=True)
        runner = subprocess.Popen(
            topology.client.wrap([sys.executable, "-m", "support.kill_runner", str(directory)]),
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
        yield KillRig(topology, runner)
    finally:
        if runner is not None:
            runner.kill()
            runner.communicate()
        topology.client.run(*_ACCEPT_RA, "0", check=False)
        router.run("ip", "addr", "del", f"{OTHER_GATEWAY}/24", "dev", "c0", check=False)
        server.kill()
        topology.restore_resolv_conf()
