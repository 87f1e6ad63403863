"""A fake server in the server's namespace, and a run of sevpn in the client's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lab.client import Sevpn, flags
from lab.topology import SERVER_IP, Topology
from support.fakeserver import FakeServer, Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.tls_certs import Pair

    Script = Callable[[Visit], object]

SPACE_BYTES = 400 << 20
QUICK_S = 6.0
TAP = "svf0"


class Trial:
    """A fake server in the server's namespace and a run of sevpn in the client's."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology

    def server(self, *scripts: Script, pair: Pair | None = None) -> FakeServer:
        namespace = self.topology.server.name
        return FakeServer(*scripts, pair=pair, address=SERVER_IP, namespace=namespace)

    def client(self, server: FakeServer, *further: str) -> Sevpn:
        arguments = flags("-port", str(server.port), "-no-dhcp", *further, tap=TAP)
        return Sevpn(
            self.topology.client,
            *arguments,
            prefix=("prlimit", f"--as={SPACE_BYTES}", "--core=0", "--"),
        )

    def fails(self, code: int, *scripts: Script, limit_s: float = QUICK_S) -> str:
        """Run with -once until it ends; return its one error line."""
        with self.server(*scripts) as server, self.client(server, "-once") as run:
            before_s = time.monotonic()
            line = run.expect_exit(code, limit_s + 10)
            assert time.monotonic() - before_s < limit_s
            assert_clean(run)
            return line


def assert_clean(run: Sevpn) -> None:
    """Nothing of what a server sends may play with a terminal or forge a line."""
    for line in run.process.lines:
        assert line.text.isprintable(), repr(line.text)
        assert not line.text.startswith("error: forged")
    assert "Traceback" not in run.log
