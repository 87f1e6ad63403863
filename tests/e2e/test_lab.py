"""The lab cleans up after itself, whatever happens; else no other test could be believed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.capture import Capture
from lab.client import read_file
from lab.official import TAP as OFFICIAL_TAP
from lab.official import OfficialClient
from lab.process import wait_for
from lab.server import LAN_IP, PASSWORD, USER, SoftEther
from lab.topology import SERVER_IP, SERVER_IP6, Namespace, Topology, leftovers, sweep

if TYPE_CHECKING:
    from lab.process import Process

TESTS = Path(__file__).resolve().parents[1]


def test_namespaces_reach_each_other(host: Namespace) -> None:
    assert host.ping(SERVER_IP)
    assert host.ping(SERVER_IP6)


def test_nothing_is_left_after_an_exception(topology: Topology) -> None:
    known = leftovers()
    inner = Topology(direct=True)

    def fail() -> None:
        with inner:
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert leftovers() == known
    assert not inner.scratch.exists()


def test_a_killed_run_is_swept(topology: Topology) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from lab.topology import Topology\n"
        "with Topology(direct=True) as made:\n"
        "    made.client.start('sleep', '1000')\n"
        "    print(made.client.name, made.scratch, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        name, scratch = run.stdout.readline().split()
        run.send_signal(signal.SIGKILL)
    assert leftovers(run.pid)
    assert name in sweep()
    assert leftovers(run.pid) == []
    assert not Path(scratch).exists()


def test_what_happens_inside_stays_inside(host: Namespace) -> None:
    was = Path("/etc/resolv.conf").read_bytes()
    host.run("sh", "-c", "echo changed >/etc/resolv.conf; touch /etc/sevpn-lab /run/sevpn-lab")
    assert Path("/etc/resolv.conf").read_bytes() == was
    assert not Path("/etc/sevpn-lab").exists()
    assert not Path("/run/sevpn-lab").exists()
    found = read_file(host, "/etc/resolv.conf")
    assert found is not None
    assert found.content == b"changed\n"
    host.run("rm", "/etc/sevpn-lab")


@pytest.fixture(autouse=True)
def resolv_conf_again(topology: Topology, unchanged: None) -> object:
    yield
    topology.restore_resolv_conf()


def test_processes_tell_how_they_ended(host: Namespace) -> None:
    process: Process = host.start("sh", "-c", "echo one; echo two >&2; exit 3")
    assert process.wait() == 3
    assert {(line.stream, line.text) for line in process.lines} == {("out", "one"), ("err", "two")}


def test_official_client(host: Namespace, server: SoftEther, topology: Topology) -> None:
    """The lab works without sevpn: what fails elsewhere is ours."""
    capture = Capture(server.namespace, "tap_lan", topology.scratch / "official.pcap", "icmp")
    with capture, OfficialClient(host, SERVER_IP, USER, PASSWORD):
        host.ip_batch(f"addr add 10.77.0.2/24 dev {OFFICIAL_TAP}\nlink set {OFFICIAL_TAP} up\n")
        host.wait_ping(LAN_IP)
        assert [session.user for session in server.sessions()] == [USER]
    assert ["10.77.0.2", LAN_IP] in capture.rows("icmp.type == 8", "ip.src", "ip.dst")


def test_the_wire_has_length_loss_and_a_bottleneck() -> None:
    """What the distance table stands on. Loss is the same in every run."""
    with Topology(wire=True) as made:
        wire = made.wire

        def ping(count: int) -> tuple[int, float]:
            """Return how many came back, and the shortest round trip in ms."""
            out = made.client.run(
                *("ping", "-q", "-n", "-c", str(count), "-i", "0.01", "-W", "3", SERVER_IP),
                check=False,
            ).stdout
            best = float(out.split("mdev = ")[1].split("/")[0]) if "mdev = " in out else 0.0
            return int(out.split(" received")[0].rsplit(" ", 1)[1]), best

        assert ping(3)[0] == 3
        wire.set(rtt_ms=60.0)
        came, best_ms = ping(10)
        assert came == 10
        assert best_ms >= 60.0
        wire.set(loss=0.5)
        before = wire.counts()
        assert ping(100)[0] < 100
        assert sum(one.lost for one in wire.counts()) > sum(one.lost for one in before)
        wire.set(loss=1.0)
        assert ping(3)[0] == 0
        # 200 frames of 1000 bytes at once do not fit 20 kB of queue.
        wire.set(rate_mbit=1.0, buffer_bytes=20_000)
        assert ping(1)[0] == 1
        burst = (
            "import socket as s; u = s.socket(2, 2); "
            f"[u.sendto(bytes(1000), ('{SERVER_IP}', 9)) for _ in range(200)]"
        )
        made.client.run("python3", "-c", burst)
        wait_for(lambda: wire.counts()[0].full > 0, 20.0, "a full queue")
