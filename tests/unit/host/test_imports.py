"""What the short-lived child loads: the codecs, and nothing of pyroute2's weight."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.no_sanitizer

# What `import pyroute2` brings, and what the static executable does not have.
TOO_HEAVY = {
    *(
        "asyncio",
        "concurrent",
        "ctypes",
        "dataclasses",
        "email",
        "http",
        "inspect",
        "logging.config",
    ),
    *("multiprocessing", "pickle", "platform", "sqlite3", "ssl", "subprocess", "tempfile"),
    *("unittest", "urllib", "pyroute2.iproute", "pyroute2.ndb", "pyroute2.netlink.nlsocket"),
}
MOST_MODULES = 130

PROGRAM = """
import sys
before = set(sys.modules)
from sevpn.host import codec, worker
codec.encode_link(codec.Link(1, "02:00:00:00:00:01", 1500, True))
print(*sorted(set(sys.modules) - before))
print(*(line.split(":")[1].strip() for line in open("/proc/self/status") if "Rss" in line[:7]))
"""


def test_the_child_loads_only_the_codecs() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    modules, memory = result.stdout.splitlines()
    loaded = set(modules.split())
    assert loaded.isdisjoint(TOO_HEAVY), sorted(loaded & TOO_HEAVY)
    assert len(loaded) <= MOST_MODULES, sorted(loaded)
    print(f"{len(loaded)} modules, anonymous and file memory {memory}")


def test_the_plan_is_lean() -> None:
    """The long-lived process imports these three, and no child's module through them."""
    program = (
        "import sys; before = set(sys.modules);"
        "from sevpn.host import plan, refuse, lock;"
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    others = {name for name in result.stdout.split() if not name.startswith("sevpn")}
    assert others <= {"__future__", "fcntl", "posix"}
