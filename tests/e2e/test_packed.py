"""The files of PyInstaller and Nuitka: they behave as the static binary does.

build/pyinstaller and build/nuitka make them; without them in dist/ there is nothing here to
test, and `build/test --all` makes both first. The whole suite runs with one of them by
SEVPN_BINARY=dist/sevpn-nuitka, as with the static binary. Here: what is special about a file
that unpacks itself, and their rows of the README's table of sizes.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import iperf
from lab.client import ROOT, Sevpn, flags, snapshot
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq
from lab.process import status_kb, wait_for
from lab.server import LAN_IP, PASSWORD
from sevpn import __version__
from sevpn.errors import EXIT_HOST, EXIT_USAGE

if TYPE_CHECKING:
    from lab.server import SoftEther
    from lab.topology import Namespace

PACKED = [
    path for path in (ROOT / "dist/sevpn-pyinstaller", ROOT / "dist/sevpn-nuitka") if path.exists()
]
__test__ = bool(PACKED)  # pytest looks at it: no files, no tests
EVERYTHING = (
    *("-accept-default-gateway", "-accept-static-routes", "-accept-dns"),
    *("-policy-route-table", "200"),
)
REMOVED_WITHIN_S = 5.0
MAX_BYTES = 10_000_000
MAX_START_MS = 1000  # on a busy machine; the table tells the usual time
MAX_RSS_KB = 40_000
LOAD_S = 3.0


@pytest.fixture(params=PACKED, ids=lambda path: path.name)
def packed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of the files, which is also what `Sevpn` runs."""
    path: Path = request.param
    monkeypatch.setenv("SEVPN_BINARY", str(path))
    return path


@pytest.fixture
def unpacked(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which it unpacks itself."""
    directory = tmp_path / "unpacked"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


def wait_removed(directory: Path) -> None:
    wait_for(lambda: not list(directory.iterdir()), REMOVED_WITHIN_S, f"an empty {directory}")


def run(packed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it without the host's network."""
    return subprocess.run(
        ["unshare", "--net", str(packed), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def remover_of(pid: int) -> int:
    """Return the process id of the helper that removes what was unpacked."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text() == "sevpn-remover\n":
            return int(child)
    pytest.fail(f"process {pid} has no remover")


def test_version(packed: Path, unpacked: Path) -> None:
    done = run(packed, "-version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sevpn {__version__}\n", "")
    wait_removed(unpacked)


def test_help(packed: Path) -> None:
    done = run(packed, "-h")
    assert done.returncode == 0
    assert "-accept-default-gateway" in done.stderr


def test_print_config(packed: Path) -> None:
    done = run(packed, "-host", "vpn.example", "-user", "alice", "-print-config")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["host"] == "vpn.example"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-no-such-flag"],
        ["status"],
        ["wait", "-timeout", "0s"],
        ["cleanup", "-no-such-flag"],
        ["-host", "192.0.2.1", "-user", "b", "-pass", "c", "-once"],
        ["-host", "no.such.name.invalid", "-user", "b", "-pass", "c", "-once"],
        ["-host", "bücher.invalid", "-user", "b", "-pass", "c", "-once"],
        ["-host", "192.0.2.1", "-user", "b", "-pass", "c", "-once", "-ca-file", "/none"],
    ],
    ids=" ".join,
)
def test_errors_are_explained(packed: Path, unpacked: Path, arguments: list[str]) -> None:
    done = run(packed, *arguments)
    assert done.returncode > 0
    assert done.stderr.strip()
    for word in ("Traceback", "ModuleNotFoundError", "ImportError", "bug in sevpn"):
        assert word not in done.stderr
    wait_removed(unpacked)


def test_usage_error(packed: Path) -> None:
    assert run(packed, "-port", "x").returncode == EXIT_USAGE


def test_nowhere_to_unpack(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    done = run(packed, "-version")
    assert done.returncode == EXIT_HOST
    assert done.stderr.startswith("error: cannot unpack this program: /nonexistent/")
    assert "TMPDIR" in done.stderr.splitlines()[1]


def test_nothing_may_be_executed_there(packed: Path, tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o noexec none "$1" && TMPDIR=$1 exec "$2" -version'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), str(packed)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (EXIT_HOST, "")
    assert "Permission denied" in done.stderr
    assert "noexec" in done.stderr


def test_closed_output(packed: Path) -> None:
    """The launcher's own file descriptors are not taken for a closed standard output.

    A difference: a program of Nuitka opens /dev/null in the place of what is closed, before
    anything of ours runs, so that it cannot tell that nobody got its answer.
    """
    done = subprocess.run(
        ["sh", "-c", 'exec "$1" -version >&-', "sh", str(packed)], capture_output=True, text=True
    )
    if packed.name == "sevpn-nuitka":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == EXIT_HOST
        assert "cannot write to standard output" in done.stderr


def test_the_umask_is_the_callers(packed: Path, unpacked: Path) -> None:
    """What sevpn writes must be as readable as when it is not packed: resolv.conf."""
    script = 'umask 027; exec "$1" -host 192.0.2.1 -user b -pass c'
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script, "sh", str(packed)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            program = Path(f"/proc/{process.pid}/exe")
            wait_for(lambda: program.readlink().is_relative_to(unpacked), 5.0, "the program")
            assert "Umask:\t0027" in Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_in_a_session(
    host: Namespace, server: SoftEther, packed: Path, unpacked: Path, number: signal.Signals
) -> None:
    """One program and a small helper; no password in any process; nothing left by any end."""
    before = snapshot(host)
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        with Sevpn(host, *flags(*EVERYTHING)) as session:
            session.wait_line("ready")
            host.wait_ping(LAN_IP)
            for pid in (session.process.pid, remover_of(session.process.pid)):
                assert PASSWORD.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert len(list(unpacked.iterdir())) == 1
            if number != signal.SIGKILL:
                session.stop(number)
            else:
                session.process.signal(number)
                session.process.wait()
                assert before.differences(snapshot(host))
                with Sevpn(host, *flags(*EVERYTHING)) as following:
                    following.wait_line("ready")
                    following.stop()
    wait_removed(unpacked)


def test_killed_while_it_unpacks(packed: Path, unpacked: Path) -> None:
    with subprocess.Popen([packed, "-version"], stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: list(unpacked.iterdir()), 5.0, "the directory", poll_s=0.001)
        process.kill()
    wait_removed(unpacked)


@pytest.mark.timeout(300)
def test_figures(host: Namespace, server: SoftEther, dhcp: Dnsmasq, packed: Path) -> None:
    """Size, start and memory: the README's rows."""
    starts_ms = []
    for _ in range(7):
        before_s = time.monotonic()
        subprocess.run([packed, "-version"], stdout=subprocess.DEVNULL, check=True)
        starts_ms.append(1000 * (time.monotonic() - before_s))
    with Sevpn(host, *flags()) as session:
        session.wait_address()
        host.wait_ping(LAN_IP)
        helper = remover_of(session.process.pid)
        memory = []
        with iperf.IperfServer(server.namespace, LAN_IP):
            for down in (False, True):
                client = host.start(*iperf.command(LAN_IP, seconds=LOAD_S, down=down))
                time.sleep(LOAD_S - 0.5)
                memory.append(session.memory_kb())
                client.wait(LOAD_S + 10)
        helper_kb = status_kb(helper)
        session.stop()
    rss_kb = max(kb["VmRSS"] for kb in memory)
    anon_kb = max(kb["RssAnon"] for kb in memory)
    start_ms = statistics.median(starts_ms)
    size_bytes = packed.stat().st_size
    print("\n| file | size | start | RSS, RssAnon under load | helper's RSS, RssAnon |")
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| {packed.name} | {size_bytes / 1e6:.1f} MB | {start_ms:.0f} ms"
        f" | {rss_kb / 1000:.1f}, {anon_kb / 1000:.1f} MB"
        f" | {helper_kb['VmRSS'] / 1000:.1f}, {helper_kb['RssAnon'] / 1000:.1f} MB |"
    )
    assert size_bytes <= MAX_BYTES
    assert start_ms <= MAX_START_MS
    assert rss_kb <= MAX_RSS_KB
