"""What a running session has loaded and how much memory it takes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from lab.client import Sevpn, flags
from lab.process import wait_for
from lab.server import LAN_IP

if TYPE_CHECKING:
    from pathlib import Path

    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace

# The modules the contract of the long-lived process allows, beside sevpn's own.
ALLOWED = {
    *("_frozen_importlib", "_frozen_importlib_external", "_imp", "_io", "_warnings", "_weakref"),
    *("_thread", "builtins", "encodings", "codecs", "_codecs", "io", "abc", "_abc", "marshal"),
    *("sys", "time", "errno", "posix", "fcntl", "select", "_socket", "_struct", "struct"),
    *("_signal", "math", "zipimport", "__main__", "_sitebuiltins", "__future__", "cython_runtime"),
}
PREFIXES = ("sevpn", "encodings.", "_cython_")
# What CPython itself loads before our first line: `site` and what it needs.
STARTUP = ("site", "os", "stat", "_stat", "_collections_abc", "posixpath", "genericpath", "os.path")
NEVER = {
    *("re", "enum", "socket", "typing", "collections", "dataclasses", "json", "logging"),
    *("argparse", "asyncio", "contextlib", "functools", "ipaddress", "subprocess", "ssl"),
    *("pyroute2", "ctypes", "threading", "random", "hashlib", "traceback", "sevpn.host.worker"),
}


@pytest.mark.skipif(
    bool(os.environ.get("SEVPN_BINARY")), reason="the static binary has a test of its own"
)
def test_modules_of_a_session(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, tmp_path: Path
) -> None:
    dump = tmp_path / "modules"
    prefix = ("env", f"SEVPN_DEBUG_MODULES={dump}")
    with Sevpn(host, *flags("-accept-default-gateway", "-accept-dns"), prefix=prefix) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        wait_for(dump.exists, 5.0, "the list of modules")
        loaded = set(dump.read_text(encoding="utf-8").split())
        memory = run.memory_kb()
        run.stop()
    ours = sorted(name for name in loaded if name.startswith("sevpn"))
    print(f"\n{len(loaded)} modules, {len(ours)} of them ours, Python {sys.version.split()[0]}")
    print(f"resident {memory['VmRSS']} kB, anonymous {memory['RssAnon']} kB")
    assert not loaded & NEVER
    others = {n for n in loaded - ALLOWED - set(STARTUP) if not n.startswith(PREFIXES)}
    print("further:", *sorted(others))
    assert not others


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
