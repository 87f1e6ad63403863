"""What a running session has loaded and how much memory it takes."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from lab.client import Sevpn, flags
from lab.process import wait_for
from lab.server import LAN_IP

if TYPE_CHECKING:
    from pathlib import Path

    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace

# What the long-lived process may load beside sevpn's own modules: built in, or small.
ALLOWED = {
    *("_frozen_importlib", "_frozen_importlib_external", "_imp", "_io", "_warnings", "_weakref"),
    *("_thread", "builtins", "encodings", "codecs", "_codecs", "io", "abc", "_abc", "marshal"),
    *("sys", "time", "errno", "posix", "fcntl", "select", "_socket", "_struct", "struct"),
    *("gc", "_signal", "math", "zipimport", "__main__", "_sitebuiltins", "__future__"),
    "cython_runtime",
}
PREFIXES = ("sevpn", "encodings.", "_cython_")
NEVER = {
    *("re", "enum", "socket", "typing", "collections", "dataclasses", "json", "logging"),
    *("argparse", "asyncio", "contextlib", "functools", "ipaddress", "subprocess", "ssl"),
    *("pyroute2", "ctypes", "threading", "random", "hashlib", "traceback", "sevpn.host.worker"),
}


# Runs the command as `python -m sevpn` does; on SIGWINCH it writes what is loaded. Only
# modules that are built in are used for it.
_TELLING = """
import _signal, posix, sys
path = sys.argv.pop(1)
def tell(number, frame):
    fd = posix.open(path + ".new", posix.O_WRONLY | posix.O_CREAT)
    posix.write(fd, " ".join(sys.modules).encode())
    posix.close(fd)
    posix.rename(path + ".new", path)
_signal.signal(_signal.SIGWINCH, tell)
from sevpn.cli import main
sys.exit(main())
"""


def test_modules_of_a_session(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, tmp_path: Path
) -> None:
    dump = tmp_path / "modules"
    # The package, also where the other tests run the binary: that has a test of its own.
    command = (sys.executable, "-c", _TELLING, str(dump))
    with Sevpn(host, *flags("-accept-default-gateway", "-accept-dns"), command=command) as run:
        run.wait_line("ready")
        host.wait_ping(LAN_IP)
        run.process.signal(signal.SIGWINCH)
        wait_for(dump.exists, 5.0, "the list of modules")
        loaded = set(dump.read_text(encoding="utf-8").split())
        memory = run.memory_kb()
        run.stop()
    ours = sorted(name for name in loaded if name.startswith("sevpn"))
    print(f"\n{len(loaded)} modules, {len(ours)} of them ours, Python {sys.version.split()[0]}")
    print(f"resident {memory['VmRSS']} kB, anonymous {memory['RssAnon']} kB")
    # What this Python loads by itself (site, .pth files) is not our doing.
    bare = host.run(sys.executable, "-c", "import sys; print(*sys.modules)").stdout.split()
    added = loaded.difference(bare)
    assert not added & NEVER
    assert {name for name in added - ALLOWED if not name.startswith(PREFIXES)} == set()


def test_memory_does_not_grow(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """Ten thousand packets and a few reconnects: what was needed once is enough."""
    with Sevpn(host, *flags()) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        host.run("ping", "-q", "-f", "-c", "2000", LAN_IP)
        mark = dhcp.mark()
        server.disconnect(server.sessions()[0].name)
        dhcp.wait("DHCPACK", 6.0, mark)
        host.wait_ping(LAN_IP)
        first_kb = run.memory_kb()["RssAnon"]
        host.run("ping", "-q", "-f", "-c", "10000", LAN_IP)
        for _ in range(2):
            mark = dhcp.mark()
            server.disconnect(server.sessions()[0].name)
            dhcp.wait("DHCPACK", 6.0, mark)
            host.wait_ping(LAN_IP)
        last_kb = run.memory_kb()["RssAnon"]
        print(f"\nanonymous memory: {first_kb} kB, later {last_kb} kB")
        assert last_kb - first_kb < 256
        run.stop()
